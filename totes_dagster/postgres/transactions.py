"""Transactions with the platform's own settings, whatever the server, the database or the role has set.

All settings are local to the transaction. A pooler may give the session to another client after the commit (PgBouncer,
`pool_mode=transaction`), which must not inherit them.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

READ_COMMITTED = sql.SQL("read committed")
REPEATABLE_READ = sql.SQL("repeatable read")

_SETTINGS: dict[str, tuple[str, ...]] = {
    # How long a statement or a transaction may take; first, because they apply from the next statement on.
    "statement_timeout": ("12h",),
    "lock_timeout": ("0",),
    "exit_on_error": ("off",),
    "client_min_messages": ("error",),
    # How values are converted to and from text.
    "bytea_output": ("hex",),
    "client_encoding": ("UTF8",),  # in which `columns.py` receives text
    "datestyle": ("ISO, YMD",),
    "extra_float_digits": ("1",),
    "intervalstyle": ("postgres",),
    "lc_monetary": ("C",),
    "timezone": ("UTC",),
    "xmloption": ("content",),
    # How statements are interpreted.
    "array_nulls": ("on",),
    "quote_all_identifiers": ("off",),
    # Temporary tables last: a pooled session may contain those of another client.
    "search_path": ("pg_catalog", "pg_temp"),
    "row_security": ("off",),  # makes a query fail if it would return only some of the rows
    "standard_conforming_strings": ("on",),
    "transform_null_equals": ("off",),
}

_SETTINGS_SINCE: dict[int, dict[str, tuple[str, ...]]] = {
    170000: {"transaction_timeout": ("0",), "restrict_nonsystem_relation_kind": ("",)}
}
"""Settings that older servers do not have, by the first version that has them."""

IDLE_LIMIT = "15min"
"""How long a transaction may be idle before the server ends it: a transaction whose process was stopped, or whose host
is gone, must not keep its locks and its snapshot forever."""

SNAPSHOT_LIMIT = "6h"
"""The same limit for a transaction in a snapshot, which waits for other connections or for whoever takes its rows."""


def begin_statement(
    version: int, *, isolation: sql.SQL = READ_COMMITTED, read_only: bool = False, idle: str = IDLE_LIMIT
) -> sql.Composed:
    """SQL that begins a transaction with the platform's settings; it does not take a snapshot yet.

    Args:
        version: the server's version as a number: 130020, 180004.
        isolation: isolation level.
        read_only: whether the transaction is read-only.
        idle: how long it may be idle, in PostgreSQL's notation.
    """
    # For writing, the server's default applies: it may be read-only to protect a disk that is nearly full.
    access = sql.SQL(" read only" if read_only else "")
    return sql.SQL("begin isolation level {}{} not deferrable; {}").format(
        isolation, access, _settings_of(version, idle)
    )


@contextmanager
def transaction(
    connection: psycopg.Connection,
    *,
    isolation: sql.SQL = READ_COMMITTED,
    read_only: bool = False,
    idle: str = IDLE_LIMIT,
) -> Iterator[psycopg.Connection]:
    """A transaction on a connection in autocommit mode: committed at the end of the block, rolled back if it raises.

    For the other arguments, see `begin_statement`.
    """
    version = connection.info.server_version
    begin: sql.Composed = begin_statement(version, isolation=isolation, read_only=read_only, idle=idle)
    connection.execute(begin)
    try:
        yield connection
    except BaseException:
        with suppress(psycopg.Error):  # the connection was lost; the error that ended the block is raised instead
            connection.rollback()
        raise
    connection.commit()


def _settings_of(version: int, idle: str) -> sql.Composed:
    """Statements that apply the platform's settings to the current transaction, on a server of this version."""
    settings = {"idle_in_transaction_session_timeout": (idle,), **_SETTINGS}
    for since, newer in _SETTINGS_SINCE.items():
        if version >= since:
            settings |= newer
    return sql.SQL("; ").join(
        sql.SQL("set local {} to {}").format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, values)))
        for name, values in settings.items()
    )
