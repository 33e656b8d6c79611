"""Taking a snapshot of the source, which all connections of a batch share.

Its rows are read in `reader.py`, its catalogue in `catalogue.py`; the SQL of the censuses is in `census.py`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import CharacterNotInRepertoire, LockNotAvailable, UntranslatableCharacter
from psycopg.rows import dict_row

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.errors import DatabaseBusyError, DatabaseError, TableMissingError
from totes_dagster.ingest.catalogue import catalogue_of, qualified, search_path_of
from totes_dagster.ingest.census import census_statement, censuses
from totes_dagster.ingest.contract import is_table
from totes_dagster.lake.manifest import Census, Snapshot
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.postgres.database import Database
from totes_dagster.postgres.lock_waits import described_sessions
from totes_dagster.postgres.transactions import REPEATABLE_READ, SNAPSHOT_LIMIT, transaction
from totes_dagster.schema.totesys import SOURCE_TABLES

logger = logging.getLogger(__name__)

_ATTEMPTS = 20
_LOCK_TIMEOUT = "500ms"
"""Shorter than PostgreSQL's deadlock_timeout of 1 s, after which another session might be canceled instead."""

IDENTITY = sql.SQL("""
    (select system_identifier from pg_control_system()) as system_identifier,
    pg_postmaster_start_time() as server_started_at,
    pg_is_in_recovery() as in_recovery,
    (select oid::bigint from pg_database where datname = current_database()) as database_oid
""")
"""What distinguishes one database from all others, including those on standbys of its server."""

_PARALLEL_WORKERS = 2

_SNAPSHOT = sql.SQL("""
    select clock_timestamp() as taken_at,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xmax,
           -- After a promotion, the control file shows the new timeline only after the next checkpoint.
           case when pg_is_in_recovery()
                then greatest((select timeline_id from pg_control_checkpoint()),
                              (select min_recovery_end_timeline from pg_control_recovery()))
                else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end as timeline,
           case when not pg_is_in_recovery() then (pg_current_wal_insert_lsn() - '0/0')::bigint end as wal_position,
           current_setting('wal_block_size')::integer as wal_block_size,
           -- The census may use parallel workers, but no more of them than servers allow by default.
           set_config('max_parallel_workers_per_gather',
                      least(current_setting('max_parallel_workers_per_gather')::integer, {})::text, true) as workers,
           {},
           pg_export_snapshot() as exported
""").format(sql.Literal(_PARALLEL_WORKERS), IDENTITY)

_PAGE_HEADER = 40
"""Length of the longest page header in the write-ahead log, in bytes."""


@dataclass(frozen=True)
class ExportedSnapshot:
    """A snapshot of the source in which other connections can read as well, for as long as somebody holds it.

    Attributes:
        source: the source at the server that has the snapshot.
        taken: when it was taken, and what identifies it.
        exported: its name on that server.
        catalogue: the catalogue as the snapshot shows it. The definitions of the declared tables are locked.
    """

    source: Database
    taken: Snapshot
    exported: str
    catalogue: Catalogue


@dataclass(frozen=True)
class SourceSnapshot(ExportedSnapshot):
    """An exported snapshot of the source, and the connection that holds it.

    Attributes:
        connection: in the transaction that exported the snapshot.
        cluster: whose workers may read in it, too; None if no others do.
    """

    connection: psycopg.Connection[Any]
    cluster: Cluster | None = None


@contextmanager
def open_snapshot(
    source: Database, *, undeclared: bool = True, cluster: Cluster | None = None
) -> Iterator[SourceSnapshot]:
    """Take and export one read-only snapshot of the source, held for as long as the block runs.

    The definitions of the declared tables are locked first. Statements that rewrite a table are not MVCC-safe: the
    table looks empty in a snapshot that was taken before. (PostgreSQL's documentation advises this under "Caveats" in
    its chapter on concurrency control.) Undeclared tables are not locked: a lock on every table might exhaust the
    server's lock table, and the source's application would fail too.

    Args:
        source: totesys.
        undeclared: whether the catalogue includes the undeclared tables.
        cluster: whose workers may read in the snapshot, too.

    Raises:
        DatabaseBusyError: other sessions keep changing the tables' definitions.
        DatabaseError: the source cannot be reached, refuses, or closes the connection.
    """
    with source.connect() as connection:
        for _ in range(_ATTEMPTS):
            with transaction(connection, read_only=True):
                path = search_path_of(connection)
                expected = _catalogue(connection, path)
                ((replayed,),) = connection.execute("select (pg_last_wal_replay_lsn() - '0/0')::bigint").fetchall()
            tables = tables_read(expected)
            with transaction(connection, isolation=REPEATABLE_READ, read_only=True, idle=SNAPSHOT_LIMIT):
                if not _try_lock(connection, expected, tables):
                    continue
                catalogue = _catalogue_of_all(connection, path) if undeclared else _catalogue(connection, path)
                if {name: catalogue.tables.get(name) for name in expected.tables} != dict(expected.tables):
                    continue
                snapshot, exported = _export(connection, replayed)
                there = source.at_server_of(connection)
                yield SourceSnapshot(there, snapshot, exported, catalogue, connection, cluster)
                return
        raise DatabaseBusyError(
            f"The definitions of totesys' tables are being changed{_lock_holders(connection, expected)}. Refresh later."
        )


@contextmanager
def without_locks(snapshot: SourceSnapshot) -> Iterator[SourceSnapshot]:
    """Move a snapshot to another connection, which has locked nothing, and end the transaction that held it.

    Raises:
        DatabaseUnavailableError: the snapshot is gone, with its connection.
    """
    with (
        snapshot.source.connect() as connection,
        transaction(connection, isolation=REPEATABLE_READ, read_only=True, idle=SNAPSHOT_LIMIT),
    ):
        connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot.exported)))
        ((exported,),) = connection.execute("select pg_export_snapshot()").fetchall()
        snapshot.connection.rollback()
        yield replace(snapshot, connection=connection, exported=exported)


def identity_of(snapshot: Snapshot) -> tuple[Any, ...]:
    """What `IDENTITY` selects, for the database that a snapshot was taken in."""
    return snapshot.system_identifier, snapshot.server_started_at, snapshot.in_recovery, snapshot.database_oid


def censuses_of(snapshot: SourceSnapshot) -> dict[str, Census]:
    """The censuses of the declared tables in the snapshot, from one scan of each."""
    statement: sql.Composed = census_statement(snapshot.catalogue, tables_read(snapshot.catalogue))
    return censuses(snapshot.catalogue, snapshot.connection.execute(statement).fetchall())


def tables_read(catalogue: Catalogue) -> list[str]:
    """The declared tables that exist in the source, and are tables there."""
    return [name for name in SOURCE_TABLES if name in catalogue.tables and is_table(catalogue.tables[name])]


def _export(connection: psycopg.Connection[Any], replayed: int | None) -> tuple[Snapshot, str]:
    """Take the snapshot and export it.

    Args:
        connection: in a transaction that has taken no snapshot yet.
        replayed: the position up to which a standby had already replayed; None on a primary.
    """
    (fields,) = connection.cursor(row_factory=dict_row).execute(_SNAPSHOT).fetchall()
    exported, page, _ = (fields.pop(name) for name in ("exported", "wal_block_size", "workers"))
    if fields["in_recovery"]:
        fields["wal_position"] = replayed
    elif fields["wal_position"] % page <= _PAGE_HEADER:
        # Nothing was written to this page yet. A standby does not count a page's header before something follows it.
        fields["wal_position"] -= fields["wal_position"] % page
    return Snapshot(**fields), exported


def _catalogue(connection: psycopg.Connection[Any], path: list[str]) -> Catalogue:
    return catalogue_of(connection, path, undeclared=False)


def _catalogue_of_all(connection: psycopg.Connection[Any], path: list[str]) -> Catalogue:
    """The catalogue with undeclared tables, or without them if one of their names cannot be read."""
    try:
        with connection.transaction():
            return catalogue_of(connection, path, undeclared=True)
    except DatabaseError as error:
        if error.facts["sqlstate"] not in {UntranslatableCharacter.sqlstate, CharacterNotInRepertoire.sqlstate}:
            raise
        logger.warning("Undeclared tables are left out: one of their names has no equivalent in UTF-8: %s", error)
        return _catalogue(connection, path)


def _lock_holders(connection: psycopg.Connection[Any], catalogue: Catalogue) -> str:
    """Which sessions have locked which declared tables against readers, as the end of a sentence."""
    with transaction(connection, read_only=True):
        rows = connection.execute(
            """
            select relname, coalesce(pid, 0) from pg_locks join pg_class on pg_class.oid = relation
                 join pg_namespace on pg_namespace.oid = relnamespace
            where granted and mode = 'AccessExclusiveLock' and relname = any (%s) and nspname = any (%s)
                  and pg_locks.database = (select oid from pg_database where datname = current_database())
            """,
            [list(catalogue.tables), list({table.namespace for table in catalogue.tables.values()})],
        ).fetchall()
        if not rows:
            return ""
        tables = ", ".join(sorted({name for name, _ in rows}))
        return f": {described_sessions(connection, sorted({pid for _, pid in rows}))} a lock on {tables}"


def _try_lock(connection: psycopg.Connection[Any], catalogue: Catalogue, tables: list[str]) -> bool:
    """Lock the definitions of tables, without taking a snapshot yet; False if another session holds a lock on one."""
    if tables:
        names = sql.SQL(", ").join(qualified(catalogue, name) for name in tables)
        connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
        try:
            connection.execute(sql.SQL("lock table {} in access share mode").format(names))
        except (DatabaseBusyError, TableMissingError) as error:
            if isinstance(error, DatabaseBusyError) and error.facts["sqlstate"] != LockNotAvailable.sqlstate:
                raise
            return False
        connection.execute("set local lock_timeout = 0")
    return True
