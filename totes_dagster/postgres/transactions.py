"""Transactions with settings of our own, whatever the server, the database or the role has set.

Everything is set for the transaction alone. A connection may be lent by a pooler that hands it to somebody else after
our commit (PgBouncer, `pool_mode=transaction`), and what we left in the session would hit them.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

import psycopg
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg import sql

READ_COMMITTED = sql.SQL("read committed")
REPEATABLE_READ = sql.SQL("repeatable read")

_SETTINGS: dict[str, tuple[str, ...]] = {
    # How long a statement or a transaction may live; first, for they hold from the next statement on.
    "statement_timeout": ("12h",),
    "lock_timeout": ("0",),
    "exit_on_error": ("off",),
    # The bulk driver prints what it is told besides.
    "client_min_messages": ("error",),
    # What a value looks like as text, and what a text means as a value.
    "bytea_output": ("hex",),
    "client_encoding": ("UTF8",),  # the bulk driver takes what it is sent for that
    "datestyle": ("ISO, YMD",),
    "extra_float_digits": ("1",),
    "intervalstyle": ("postgres",),
    "lc_monetary": ("C",),
    "timezone": ("UTC",),
    "xmloption": ("content",),
    # What a statement means.
    "array_nulls": ("on",),
    "quote_all_identifiers": ("off",),
    # PostgreSQL's own first, and temporary tables last: a session that a pooler lends may have somebody else's.
    "search_path": ("pg_catalog", "pg_temp"),
    "row_security": ("off",),  # a query that would be shown only some of the rows fails
    "standard_conforming_strings": ("on",),
    "transform_null_equals": ("off",),
}

_SETTINGS_SINCE: dict[int, dict[str, tuple[str, ...]]] = {
    170000: {"transaction_timeout": ("0",), "restrict_nonsystem_relation_kind": ("",)}
}
"""Settings that older servers do not know, by the first version that does."""

IDLE_LIMIT = "15min"
"""How long a transaction of ours may do nothing before the server ends it: one whose process was stopped, or whose host
has vanished, must not keep its locks and its snapshot for ever."""

SNAPSHOT_LIMIT = "6h"
"""The same for a transaction that holds a snapshot for others, and does nothing else meanwhile."""

_versions: WeakKeyDictionary[adbc.Connection, int] = WeakKeyDictionary()


def begin_statement(
    version: int, *, isolation: sql.SQL = READ_COMMITTED, read_only: bool = False, idle: str = IDLE_LIMIT
) -> sql.Composed:
    """SQL that begins a transaction with settings of our own; takes no snapshot.

    Args:
        version: the server's version as a number: 130020, 180004.
        isolation: isolation level.
        read_only: whether the transaction may not write.
        idle: how long it may do nothing, as PostgreSQL spells it.
    """
    return sql.SQL("begin {}; {}").format(_characteristics(isolation, read_only=read_only), _settings(version, idle))


@contextmanager
def transaction(
    connection: psycopg.Connection,
    *,
    isolation: sql.SQL = READ_COMMITTED,
    read_only: bool = False,
    idle: str = IDLE_LIMIT,
) -> Iterator[psycopg.Connection]:
    """A transaction on a connection in autocommit mode, committed at the end of the block, rolled back if it raises."""
    version = connection.info.server_version
    begin: sql.Composed = begin_statement(version, isolation=isolation, read_only=read_only, idle=idle)
    connection.execute(begin)
    try:
        yield connection
    except BaseException:
        with suppress(psycopg.Error):  # of a connection that was lost; the error that ended the block is what counts
            connection.rollback()
        raise
    connection.commit()


def set_up_bulk_transaction(
    connection: adbc.Connection,
    *,
    isolation: sql.SQL = READ_COMMITTED,
    read_only: bool = False,
    snapshot: str | None = None,
) -> None:
    """Give our settings to the transaction that an ADBC connection has just begun by itself.

    Args:
        connection: one that has run no statement since it was made, committed or rolled back.
        isolation: isolation level.
        read_only: whether the transaction may not write.
        snapshot: name of an exported snapshot to work in.

    Raises:
        adbc_driver_manager.Error: the server refuses, for example because the snapshot is gone.
    """
    statements = [sql.SQL("set transaction {}").format(_characteristics(isolation, read_only=read_only))]
    if snapshot is not None:
        statements.append(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
    statements.append(_settings(version_of(connection), IDLE_LIMIT))
    with connection.cursor() as cursor:
        # As an update the driver hands over the text as it is. What it executes as a query it prepares, and prepared
        # statements come one at a time.
        cursor.adbc_statement.set_sql_query(sql.SQL("; ").join(statements).as_string(None))
        cursor.adbc_statement.execute_update()


def version_of(connection: adbc.Connection) -> int:
    """The version of the server as a number: 130020, 180004. It is asked once for each connection."""
    if connection not in _versions:
        _versions[connection] = int(connection.adbc_get_info()["vendor_version"])
    return _versions[connection]


def end_bulk_transaction(connection: adbc.Connection) -> None:
    """Roll back the transaction of an ADBC connection; the driver begins the next one."""
    with suppress(adbc_errors.Error):  # of a connection that was lost
        connection.rollback()


def _characteristics(isolation: sql.SQL, *, read_only: bool) -> sql.Composed:
    # Where we write, the server's own default stays: it may be read-only to protect a disk that is nearly full.
    access = sql.SQL(" read only" if read_only else "")
    return sql.SQL("isolation level {}{} not deferrable").format(isolation, access)


def _settings(version: int, idle: str) -> sql.Composed:
    settings = {"idle_in_transaction_session_timeout": (idle,), **_SETTINGS}
    for since, newer in _SETTINGS_SINCE.items():
        if version >= since:
            settings |= newer
    return sql.SQL("; ").join(
        sql.SQL("set local {} to {}").format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, values)))
        for name, values in settings.items()
    )
