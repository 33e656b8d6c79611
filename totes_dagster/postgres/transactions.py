"""Transactions with the platform's own settings, whatever the server, the database or the role has set.

All settings are local to the transaction. A pooler may give the session to another client after the commit (PgBouncer,
`pool_mode=transaction`), which must not inherit them.
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
    # How long a statement or a transaction may take; first, because they apply from the next statement on.
    "statement_timeout": ("12h",),
    "lock_timeout": ("0",),
    "exit_on_error": ("off",),
    # The bulk driver prints notices and warnings.
    "client_min_messages": ("error",),
    # How values are converted to and from text.
    "bytea_output": ("hex",),
    "client_encoding": ("UTF8",),  # the bulk driver assumes it
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
"""The same limit for a transaction that only holds a snapshot for other connections."""

_versions: WeakKeyDictionary[adbc.Connection, int] = WeakKeyDictionary()


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
    return sql.SQL("begin {}; {}").format(_characteristics(isolation, read_only=read_only), _settings(version, idle))


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


def set_up_bulk_transaction(
    connection: adbc.Connection,
    *,
    isolation: sql.SQL = READ_COMMITTED,
    read_only: bool = False,
    snapshot: str | None = None,
) -> None:
    """Apply the platform's settings to the transaction that an ADBC connection has implicitly begun.

    Args:
        connection: a connection that has run no statement since it was opened, committed or rolled back.
        isolation: isolation level.
        read_only: whether the transaction is read-only.
        snapshot: name of an exported snapshot to import.

    Raises:
        adbc_driver_manager.Error: the server refuses, for example because the snapshot is gone.
    """
    statements = [sql.SQL("set transaction {}").format(_characteristics(isolation, read_only=read_only))]
    if snapshot is not None:
        statements.append(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
    statements.append(_settings(version_of(connection), IDLE_LIMIT))
    with connection.cursor() as cursor:
        # The driver sends an update as it is. A query it would prepare, and only one statement can be prepared at a
        # time.
        cursor.adbc_statement.set_sql_query(sql.SQL("; ").join(statements).as_string(None))
        cursor.adbc_statement.execute_update()


def version_of(connection: adbc.Connection) -> int:
    """The version of the server as a number: 130020, 180004. It is queried once for each connection."""
    if connection not in _versions:
        _versions[connection] = int(connection.adbc_get_info()["vendor_version"])
    return _versions[connection]


def end_bulk_transaction(connection: adbc.Connection) -> None:
    """Roll back the transaction of an ADBC connection; the driver begins the next one."""
    with suppress(adbc_errors.Error):  # the connection was lost
        connection.rollback()


def _characteristics(isolation: sql.SQL, *, read_only: bool) -> sql.Composed:
    # For writing, the server's default applies: it may be read-only to protect a disk that is nearly full.
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
