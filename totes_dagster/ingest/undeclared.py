"""Taking the census of the source's undeclared tables: best effort, because they must never stop the declared ones.

Each is counted in its own transaction, which locks nothing else: a source may have thousands of them, and its
application needs the server's lock table too.
"""

import logging
from collections.abc import Iterable

import psycopg
from psycopg import sql

from totes_dagster.errors import DatabaseError
from totes_dagster.ingest.catalogue import is_as_in_snapshot, qualified
from totes_dagster.ingest.census import census_statement, censuses
from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.lake.manifest import Census
from totes_dagster.postgres.named_errors import reason_of
from totes_dagster.postgres.transactions import REPEATABLE_READ, begin_statement

logger = logging.getLogger(__name__)

CHANGED = "its definition was changed since the snapshot was taken"


def count_undeclared(snapshot: SourceSnapshot, tables: Iterable[str]) -> tuple[dict[str, Census], dict[str, str]]:
    """Take the census of undeclared tables in a snapshot.

    Returns:
        The censuses by table, and the reasons why the other tables could not be counted.

    Raises:
        DatabaseUnavailableError: the connection was lost.
    """
    counted: dict[str, Census] = {}
    failed: dict[str, str] = {}
    tables = list(tables)
    if not tables:
        return counted, failed
    with snapshot.source.connect() as connection:
        for name in tables:
            try:
                census = _census_of(connection, snapshot, name)
            except DatabaseError as error:
                if connection.closed:
                    raise
                connection.rollback()
                failed[name] = reason_from(error)
            else:
                if census is None:
                    failed[name] = CHANGED
                else:
                    counted[name] = census
    return counted, failed


def reason_from(error: DatabaseError) -> str:
    """Why a table is not captured, in the server's own words."""
    cause = error.__cause__
    return reason_of(cause) if isinstance(cause, psycopg.Error) else str(error)


def _census_of(connection: psycopg.Connection, snapshot: SourceSnapshot, table: str) -> Census | None:
    """The census of one table; None if it was changed since the snapshot was taken."""
    # All statements in one round trip, because there may be thousands of tables.
    statements = [
        begin_statement(connection.info.server_version, isolation=REPEATABLE_READ, read_only=True),
        sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot.exported)),
        sql.SQL("lock table {} in access share mode nowait").format(qualified(snapshot.catalogue, table)),
        is_as_in_snapshot(snapshot.catalogue, table),
        census_statement(snapshot.catalogue, [table]),
        sql.SQL("commit"),
    ]
    cursor = connection.execute(sql.SQL("; ").join(statements))
    *_, (is_same,), (row,) = (cursor.fetchall() for _ in cursor.results() if cursor.description)
    return censuses(snapshot.catalogue, [row])[table] if is_same[0] else None
