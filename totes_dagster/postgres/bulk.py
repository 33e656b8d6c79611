"""Bulk connections to PostgreSQL, by ADBC. Importing this takes as long as all else of `postgres`, so it comes late."""

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import adbc_driver_postgresql
from adbc_driver_manager import AdbcConnection
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from totes_dagster.errors import PoolerError
from totes_dagster.postgres.transactions import IDLE_LIMIT, READ_COMMITTED, characteristics, settings_of

BulkError = adbc_errors.Error
"""What the driver raises."""

_BULK_OPTIONS = "-c search_path=pg_catalog -c quote_all_identifiers=off -c statement_timeout=0"
"""Settings for the queries by which ADBC reads the server's types while connecting, before the first transaction."""

_OPTIONS_REFUSED = re.compile(r"unsupported startup parameter|command-line options")
"""How PgBouncer and RDS Proxy refuse options, which they would have to set in a shared session."""

_refusing_options: set[str] = set()
"""Connection strings that lead to such a pooler. They contain passwords: never print them."""

_versions: WeakKeyDictionary[adbc.Connection, int] = WeakKeyDictionary()


def bulk_connection(name: str, conninfo: str) -> adbc.Connection:
    """An ADBC connection for which `_BULK_OPTIONS` apply when the driver reads the server's types.

    Raises:
        PoolerError: a pooler refuses these options, and the server's own settings do not allow to do without them.
    """
    connection = _with_options(conninfo) if conninfo not in _refusing_options else None
    if connection is None:
        connection = _adbc_connection(conninfo)
        _refusing_options.add(conninfo)
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('quote_all_identifiers')")
        (quotes,) = cursor.fetchone()
    connection.rollback()
    if quotes != "off":  # if the driver has not recognized the types, it is not even a string
        connection.close()
        _types_of.cache_clear()
        raise PoolerError(
            f"{name} has quote_all_identifiers = on, and the connection pooler in between does not allow turning it "
            f"off while connecting, which bulk transfers need. Turn it off for the user of {name} with alter role … "
            "set."
        )
    return connection


class _KnownTypes:
    """ADBC's database object, which knows a server's types and holds no connection; it outlives its connections."""

    def __init__(self, conninfo: str) -> None:
        self.driver = adbc_driver_postgresql.connect(conninfo)

    def close(self) -> None:
        """Called by each connection when it is closed."""


@lru_cache(maxsize=8)
def _types_of(conninfo: str) -> _KnownTypes:
    """Ask a server for all its types, in a session of its own; once, because this takes ADBC some 50 ms.

    Types that are created later are not known. No query reads values of such types.
    """
    return _KnownTypes(conninfo)


def _adbc_connection(conninfo: str) -> adbc.Connection:
    types: Any = _types_of(conninfo)
    return adbc.Connection(types, AdbcConnection(types.driver))


def _with_options(conninfo: str) -> adbc.Connection | None:
    """An ADBC connection with `_BULK_OPTIONS`; None if a pooler refuses them."""
    given = str(conninfo_to_dict(conninfo).get("options") or "")
    try:
        return _adbc_connection(make_conninfo(conninfo, options=f"{given} {_BULK_OPTIONS}".strip()))
    except BulkError as error:
        if not _OPTIONS_REFUSED.search(str(error)):
            raise
    return None


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
    statements = [sql.SQL("set transaction {}").format(characteristics(isolation, read_only=read_only))]
    if snapshot is not None:
        statements.append(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
    statements.append(settings_of(version_of(connection), IDLE_LIMIT))
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
    with suppress(BulkError):  # the connection was lost
        connection.rollback()
