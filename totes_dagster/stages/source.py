"""Looking at the source: its snapshot, its catalogue, and its counts. Its rows are read in `follower.py`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from totes_dagster.database import Database
from totes_dagster.errors import DatabaseBusyError
from totes_dagster.lake.catalogue import Catalogue, SourceColumn, SourceTable
from totes_dagster.lake.manifest import Census, Snapshot
from totes_dagster.schema.totesys import TABLES, key_of, metadata
from totes_dagster.stages.contract import has_unique_keys, undeclared

_ATTEMPTS = 20
_LOCK_TIMEOUT = "500ms"
"""Below PostgreSQL's own deadlock_timeout of 1 s, after which it might be the others who are cancelled."""


@dataclass(frozen=True)
class Leader:
    """The connection that holds the snapshot which a batch is read from."""

    connection: psycopg.Connection
    snapshot: Snapshot
    exported: str
    catalogue: Catalogue


@contextmanager
def snapshot_of(source: Database) -> Iterator[Leader]:
    """Take and export one read-only snapshot of the source, held for as long as the block runs.

    The tables are locked against changes of their definition first. Statements that rewrite a table do not honour
    snapshots that were taken before: they would make it look empty. (PostgreSQL's documentation, "Caveats" of its
    chapter on concurrency control, advises this.)

    Raises:
        DatabaseBusyError: others are changing the tables' definitions, and do not come to an end.
    """
    with source.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        for _ in range(_ATTEMPTS):
            expected = tables_read(_catalogue(connection))
            connection.rollback()
            if _locked(connection, expected):
                catalogue = _catalogue(connection)
                if tables_read(catalogue) == expected:
                    break
            connection.rollback()
        else:
            raise DatabaseBusyError(
                "Somebody is changing the definitions of totesys' tables, and does not come to an end. Refresh later."
            )
        (fields,) = (
            connection.cursor(row_factory=dict_row)
            .execute(
                """
                select clock_timestamp() as taken_at,
                       pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
                       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xmax,
                       (select system_identifier from pg_control_system()) as system_identifier,
                       (select timeline_id from pg_control_checkpoint()) as timeline,
                       (select oid::bigint from pg_database where datname = current_database()) as database_oid,
                       pg_postmaster_start_time() as server_started_at,
                       pg_export_snapshot() as exported
                """
            )
            .fetchall()
        )
        exported = fields.pop("exported")
        yield Leader(connection, Snapshot(**fields), exported, catalogue)


@contextmanager
def watching(source: Database) -> Iterator[Callable[[], str]]:
    """How far the source's cluster has come, whenever asked: as long as that is the same, nobody has committed."""
    with source.connect(autocommit=True) as connection:
        connection.execute("set session characteristics as transaction read only")

        def position() -> str:
            return str(
                connection.execute(
                    "select (select system_identifier from pg_control_system()) || ':' || pg_current_snapshot()"
                ).fetchall()[0][0]
            )

        yield position


def _locked(connection: psycopg.Connection, tables: list[str]) -> bool:
    """Lock tables against changes of their definition, which takes no snapshot yet; False where somebody was faster."""
    if tables:
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
        try:
            connection.execute(sql.SQL("lock table {} in access share mode").format(names))
        except psycopg.errors.LockNotAvailable:
            return False
        connection.execute("set local lock_timeout = default")
    return True


def _catalogue(connection: psycopg.Connection) -> Catalogue:
    """The source's catalogue: all tables of the schemas that the declared ones are in, but its own bookkeeping."""
    rows = connection.execute(
        """
        select relname, has_table_privilege(pg_class.oid, 'select'), relhassubclass and relkind = 'r',
               array(select keyed.attname::text from pg_constraint join pg_attribute as keyed on attrelid = conrelid
                     where conrelid = pg_class.oid and contype = 'p' and keyed.attnum = any (conkey)),
               pg_attribute.attname, format_type(atttypid, null), format_type(atttypid, atttypmod), not attnotnull,
               array(select enumlabel::text from pg_enum where enumtypid = atttypid order by enumsortorder)
        from pg_class join pg_attribute on attrelid = pg_class.oid
        where relkind in ('r', 'p') and not relispartition and pg_table_is_visible(pg_class.oid)
          and relnamespace in (select relnamespace from pg_class
                               where oid = any (select to_regclass(quote_ident(name)) from unnest(%s::text[]) as name))
          and relname <> all (%s) and attnum > 0 and not attisdropped
        order by relname, attnum
        """,
        [list(TABLES), [name for name in metadata.tables if name not in TABLES]],
    ).fetchall()
    tables: dict[str, SourceTable] = {}
    for name, in_order in groupby(rows, itemgetter(0)):
        (_, readable, inherited, key, *_), *_ = columns = list(in_order)
        tables[name] = SourceTable(
            columns=tuple(
                SourceColumn(name=column, type=type_, full_type=full, nullable=nullable, labels=tuple(labels))
                for *_, column, type_, full, nullable, labels in columns
            ),
            key=tuple(key),
            inherited=inherited,
            readable=readable,
        )
    return Catalogue(tables=tables)


def censuses_of(leader: Leader) -> dict[str, Census]:
    """Count every table that is read: one scan each, all in the snapshot."""
    counts = [
        sql.SQL(
            "select {name}, {regclass}::regclass::oid::bigint, count(*), {keys}, {versions}, {keyed} from {table}"
        ).format(
            name=sql.Literal(name),
            regclass=sql.Literal(sql.Identifier(name).as_string(None)),
            table=sql.Identifier(name),
            **_checksums(leader.catalogue, name),
        )
        for name in tables_read(leader.catalogue)
    ]
    rows = leader.connection.execute(sql.SQL(" union all ").join(counts)).fetchall()
    return {
        name: Census(
            table_oid=oid,
            columns=leader.catalogue.tables[name].digest,
            rows=count,
            keys=keys,
            versions=versions,
            keyed=keyed,
        )
        for name, oid, count, keys, versions, keyed in rows
    }


def tables_read(catalogue: Catalogue) -> list[str]:
    """The tables that batches hold: the declared ones that are there, and new ones that the platform may read."""
    return [*(name for name in TABLES if name in catalogue.tables), *undeclared(catalogue)]


def checksum_of_newest_keys(leader: Leader, table: str, count: int) -> int:
    """Checksum of the `count` highest keys of a declared table, as in `Census.keys`; 0 for none."""
    statement = sql.SQL(
        "select coalesce(bit_xor(hashint8extended({key}, 0)), 0) "
        "from (select {key} from {table} order by {key} desc limit {count}) as newest"
    ).format(key=sql.Identifier(key_of(TABLES[table])), table=sql.Identifier(table), count=sql.Literal(max(count, 0)))
    row = leader.connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _checksums(catalogue: Catalogue, table: str) -> dict[str, sql.Composable]:
    """Aggregates over a table: checksums of keys and of row versions, and whether each row has a key of its own."""
    if table in TABLES and has_unique_keys(catalogue, table):
        key = sql.Identifier(key_of(TABLES[table]))
        return {
            "keys": sql.SQL("coalesce(bit_xor(hashint8extended({}, 0)), 0)").format(key),
            "versions": sql.SQL("coalesce(bit_xor(hashint8extended({}, xmin::text::bigint)), 0)").format(key),
            "keyed": sql.SQL("coalesce(min({0}) >= -2147483648 and max({0}) <= 2147483647, true)").format(key),
        }
    # Of a table whose rows have no keys of their own: by their place. Equal hashes must not cancel each other out.
    checksum = (
        "mod(coalesce(sum(hashint8extended(hashtidextended(ctid, {}), tableoid::bigint)), 0), 9223372036854775807)"
    )
    return {
        "keys": sql.SQL(f"{checksum}::bigint").format(sql.Literal(0)),
        "versions": sql.SQL(f"{checksum}::bigint").format(sql.SQL("xmin::text::bigint")),
        "keyed": sql.Literal(table not in TABLES),
    }
