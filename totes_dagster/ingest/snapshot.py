"""Looking at the source: one snapshot of it for all connections of a batch, and how far it has come.

Its rows are read in `follower.py`, its catalogue in `source_catalogue.py`, and what they count to in `census.py`.
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
"""Below PostgreSQL's own deadlock_timeout of 1 s, after which it might be the others who are cancelled."""

IDENTITY = sql.SQL("""
    (select system_identifier from pg_control_system()) as system_identifier,
    pg_postmaster_start_time() as server_started_at,
    pg_is_in_recovery() as in_recovery
""")
"""What tells one server from all others, its standbys included."""

_SNAPSHOT = sql.SQL("""
    select clock_timestamp() as taken_at,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xmax,
           -- A primary knows its timeline at once, the control file only after the next checkpoint.
           case when pg_is_in_recovery()
                then greatest((select timeline_id from pg_control_checkpoint()),
                              (select min_recovery_end_timeline from pg_control_recovery()))
                else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end as timeline,
           (select oid::bigint from pg_database where datname = current_database()) as database_oid,
           case when not pg_is_in_recovery() then (pg_current_wal_insert_lsn() - '0/0')::bigint end as wal_position,
           current_setting('wal_block_size')::integer as wal_block_size,
           {},
           pg_export_snapshot() as exported
""").format(IDENTITY)

_PAGE_HEADER = 40
"""The longest header of a page of the write-ahead log, in bytes."""


@dataclass(frozen=True)
class SourceSnapshot:
    """An exported snapshot of the source, and the connection that holds it.

    Attributes:
        connection: in the transaction that exported the snapshot.
        source: the source at the server that the connection has reached, for the connections that read in the snapshot.
        taken: when it was taken, and what tells it from other snapshots.
        exported: its name on that server.
        catalogue: of all tables, as the snapshot shows it. The definitions of the declared ones are locked.
    """

    connection: psycopg.Connection[Any]
    source: Database
    taken: Snapshot
    exported: str
    catalogue: Catalogue


@contextmanager
def open_snapshot(source: Database, *, undeclared: bool = True) -> Iterator[SourceSnapshot]:
    """Take and export one read-only snapshot of the source, held for as long as the block runs.

    The declared tables are locked against changes of their definition first. Statements that rewrite a table do not
    honour snapshots that were taken before: they would make it look empty. (PostgreSQL's documentation, "Caveats" of
    its chapter on concurrency control, advises this.) Only they are locked: a lock for each table that is there may be
    more than the server has room for, and its application would fail with us.

    Args:
        source: totesys.
        undeclared: whether to list also the tables that nobody declared.

    Raises:
        DatabaseBusyError: others are changing the tables' definitions, and do not come to an end.
        SourceSchemaError: a declared table cannot be read.
    """
    with source.connect() as connection:
        for _ in range(_ATTEMPTS):
            with transaction(connection, read_only=True):
                path = search_path_of(connection)
                expected = _catalogue(connection, path)
                ((replayed,),) = connection.execute("select (pg_last_wal_replay_lsn() - '0/0')::bigint").fetchall()
            tables = tables_read(expected)
            with transaction(connection, isolation=REPEATABLE_READ, read_only=True, idle=SNAPSHOT_LIMIT):
                if not _locked(connection, expected, tables):
                    continue
                catalogue = _catalogue_of_all(connection, path) if undeclared else _catalogue(connection, path)
                if {name: catalogue.tables.get(name) for name in expected.tables} != dict(expected.tables):
                    continue
                snapshot, exported = _export(connection, replayed)
                yield SourceSnapshot(connection, source.at_server_of(connection), snapshot, exported, catalogue)
                return
        raise DatabaseBusyError(
            f"The definitions of totesys' tables are being changed{_who_changes(connection, expected)}. Refresh later."
        )


@contextmanager
def without_locks(snapshot: SourceSnapshot) -> Iterator[SourceSnapshot]:
    """Hold a snapshot on another connection, which has locked nothing, and end the transaction that holds it now.

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
    """What `IDENTITY` says of the server that a snapshot is of."""
    return snapshot.system_identifier, snapshot.server_started_at, snapshot.in_recovery


def censuses_of(snapshot: SourceSnapshot) -> dict[str, Census]:
    """Count every declared table: one scan each, all in the snapshot."""
    statement: sql.Composed = census_statement(snapshot.catalogue, tables_read(snapshot.catalogue))
    return censuses(snapshot.catalogue, snapshot.connection.execute(statement).fetchall())


def tables_read(catalogue: Catalogue) -> list[str]:
    """The declared tables that are there, and are tables."""
    return [name for name in SOURCE_TABLES if name in catalogue.tables and is_table(catalogue.tables[name])]


def _export(connection: psycopg.Connection[Any], replayed: int | None) -> tuple[Snapshot, str]:
    """Take the snapshot and export it.

    Args:
        connection: in a transaction that has taken no snapshot yet.
        replayed: what a standby had replayed before.
    """
    (fields,) = connection.cursor(row_factory=dict_row).execute(_SNAPSHOT).fetchall()
    exported, page = fields.pop("exported"), fields.pop("wal_block_size")
    if fields["in_recovery"]:
        fields["wal_position"] = replayed
    elif fields["wal_position"] % page <= _PAGE_HEADER:
        # Nothing was written to this page yet. A standby counts no header before there is something behind it.
        fields["wal_position"] -= fields["wal_position"] % page
    return Snapshot(**fields), exported


def _catalogue(connection: psycopg.Connection[Any], path: list[str]) -> Catalogue:
    return catalogue_of(connection, path, others=False)


def _catalogue_of_all(connection: psycopg.Connection[Any], path: list[str]) -> Catalogue:
    """The catalogue with undeclared tables, or without where a name among them cannot be read."""
    try:
        with connection.transaction():
            return catalogue_of(connection, path, others=True)
    except DatabaseError as error:
        if error.facts["sqlstate"] not in {UntranslatableCharacter.sqlstate, CharacterNotInRepertoire.sqlstate}:
            raise
        logger.warning("Undeclared tables are left out, for a name among them has no equivalent in UTF-8: %s", error)
        return _catalogue(connection, path)


def _who_changes(connection: psycopg.Connection[Any], catalogue: Catalogue) -> str:
    """Which declared tables others have locked against readers, and who, as the end of a sentence."""
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
        return f", for {described_sessions(connection, sorted({pid for _, pid in rows}))} a lock on {tables}"


def _locked(connection: psycopg.Connection[Any], catalogue: Catalogue, tables: list[str]) -> bool:
    """Lock the definitions of tables, which takes no snapshot yet; False where another session holds a lock."""
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
