"""Reading the source: its catalogue, its snapshot, its counts and its rows. It is only ever read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg import sql
from psycopg.rows import dict_row

from totes_dagster.database import Database
from totes_dagster.errors import DatabaseError, SourceSchemaError
from totes_dagster.lake.manifest import Census, Snapshot
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.totesys import TABLES, key_of
from totes_dagster.stages.capture import TableCapture

_ARRIVES_EXACTLY = {
    "bigint",
    "boolean",
    "date",
    "double precision",
    "integer",
    "numeric",
    "real",
    "smallint",
    "text",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
    "character varying",
    "bytea",
}
"""Types that ADBC delivers as they are. All others are read as text: enums, for one, would arrive as opaque bytes."""


@dataclass(frozen=True)
class Leader:
    """The connection that holds the snapshot which a batch is read from."""

    connection: psycopg.Connection
    snapshot: Snapshot
    exported: str


@contextmanager
def snapshot_of(source: Database) -> Iterator[Leader]:
    """Take and export one read-only snapshot of the source, held for as long as the block runs."""
    with source.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
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
                       pg_export_snapshot() as exported
                """
            )
            .fetchall()
        )
        exported = fields.pop("exported")
        yield Leader(connection, Snapshot(**fields), exported)


def snapshot_position(connection: psycopg.Connection) -> str:
    """How far the source's cluster has come: as long as this stays the same, nobody has committed anything."""
    return str(
        connection.execute(
            "select (select system_identifier from pg_control_system()) || ':' || pg_current_snapshot()"
        ).fetchall()[0][0]
    )


def columns_of(leader: Leader) -> dict[str, dict[str, str]]:
    """The source's columns as they are: for each declared table, column names in order with their SQL types.

    Raises:
        SourceSchemaError: a declared table or column is not there.
    """
    rows = leader.connection.execute(
        """
        select relname, attname, format_type(atttypid, null)
        from pg_class join pg_attribute on attrelid = pg_class.oid
        where pg_class.oid = any (select to_regclass(quote_ident(name)) from unnest(%s::text[]) as name)
          and attnum > 0 and not attisdropped
        order by relname, attnum
        """,
        [list(TABLES)],
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, type_ in rows:
        found.setdefault(table, {})[column] = type_
    for name, table in TABLES.items():
        if name not in found:
            raise SourceSchemaError(
                f"The source has no table {name}, or the platform may not see it. Check the database, the search path "
                "of the user, and its rights."
            )
        for column in table.columns:
            if column.name not in found[name]:
                raise SourceSchemaError(
                    f"The source's table {name} has no column {column.name}; it has {', '.join(found[name])}. "
                    "Adapt the declaration in totes_dagster/schema/totesys.py to the source."
                )
    return found


def censuses_of(leader: Leader) -> dict[str, Census]:
    """Count every table: one scan each, all in the snapshot."""
    counts = [
        sql.SQL(
            """
            select {name}, {regclass}::regclass::oid::bigint, count(*),
                   coalesce(bit_xor(hashint8extended({key}, 0)), 0),
                   coalesce(bit_xor(hashint8extended({key}, xmin::text::bigint)), 0)
            from {table}
            """
        ).format(
            name=sql.Literal(name),
            regclass=sql.Literal(f'"{name}"'),
            key=sql.Identifier(key_of(table)),
            table=sql.Identifier(name),
        )
        for name, table in TABLES.items()
    ]
    rows = leader.connection.execute(sql.SQL("union all").join(counts)).fetchall()
    return {
        name: Census(table_oid=oid, rows=count, keys=keys, versions=versions)
        for name, oid, count, keys, versions in rows
    }


def checksum_of_newest_keys(leader: Leader, table: str, count: int) -> int:
    """Checksum of the `count` highest keys of a table, as in `Census.keys`; 0 for none."""
    statement = sql.SQL(
        "select coalesce(bit_xor(hashint8extended({key}, 0)), 0) "
        "from (select {key} from {table} order by {key} desc limit {count}) as newest"
    ).format(key=sql.Identifier(key_of(TABLES[table])), table=sql.Identifier(table), count=sql.Literal(max(count, 0)))
    row = leader.connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


class Follower:
    """A bulk connection that reads in the leader's snapshot."""

    def __init__(self, connection: adbc.Connection, exported: str) -> None:
        self._connection = connection
        # Two statements: the driver prepares what it executes, and prepared statements come one at a time.
        with connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read read only")
            cursor.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(exported)).as_string(None))

    def rows(self, table: str, columns: dict[str, str], capture: TableCapture) -> Iterator[pa.RecordBatch]:
        """Stream what a batch takes from a table, in exact types: declared columns as declared, others as they come."""
        names = sql.SQL(", ").join(_selected(name, type_) for name, type_ in columns.items())
        statement = sql.SQL("select {} from {}").format(names, sql.Identifier(table))
        if capture.horizon is not None:
            # age() knows about wraparound; ids of 32 bits are compared by their distance from now.
            statement += sql.SQL(" where age(xmin) <= age({}::xid)").format(sql.Literal(str(capture.horizon % 2**32)))
        return self._stream(table, statement)

    def keys(self, table: str) -> Iterator[pa.RecordBatch]:
        """Stream all primary keys of a table, in order."""
        key = sql.Identifier(key_of(TABLES[table]))
        return self._stream(table, sql.SQL("select {0} from {1} order by {0}").format(key, sql.Identifier(table)))

    def _stream(self, table: str, statement: sql.Composed) -> Iterator[pa.RecordBatch]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement.as_string(None))
                for chunk in cursor.fetch_record_batch():
                    yield _exactly(table, chunk)
        except adbc_errors.Error as error:
            raise DatabaseError(f"Reading {table} from totesys failed: {' '.join(str(error).split())}") from error


@contextmanager
def follower_of(source: Database, leader: Leader) -> Iterator[Follower]:
    """Open one more connection into the leader's snapshot."""
    with source.connect_bulk() as connection:
        yield Follower(connection, leader.exported)


def _selected(name: str, type_: str) -> sql.Composed:
    column = sql.Identifier(name)
    if type_ in _ARRIVES_EXACTLY:
        return sql.SQL("{}").format(column)
    return sql.SQL("{0}::text as {0}").format(column)


def _exactly(table: str, chunk: pa.RecordBatch) -> pa.RecordBatch:
    declared = TABLES[table].columns
    arrays, fields = [], []
    for field, column in zip(chunk.schema, chunk.columns, strict=True):
        # numeric arrives as an opaque string, which casts to decimal exactly.
        values = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
        if field.name in declared:
            type_ = arrow_type(declared[field.name])
            try:
                values = values.cast(type_)
            except pa.ArrowException as error:
                raise SourceSchemaError(
                    f"{table}.{field.name} of the source holds a value that {type_} cannot hold exactly: {error}. "
                    "Correct the row, or widen the declaration in totes_dagster/schema/totesys.py."
                ) from error
        arrays.append(values)
        fields.append(pa.field(field.name, values.type))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
