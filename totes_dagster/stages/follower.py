"""The bulk connections that read the source's rows in a batch's snapshot, in exact types."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg import sql
from psycopg.errors import UndefinedObject

from totes_dagster.database import Database
from totes_dagster.database_errors import named_error
from totes_dagster.errors import DatabaseUnavailableError
from totes_dagster.lake.catalogue import SourceColumn, SourceTable
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.totesys import TABLES, key_of
from totes_dagster.stages.capture import TableCapture
from totes_dagster.stages.fitting import UNFIT, Misfits, fitted, unfit_column
from totes_dagster.stages.source import Leader, tables_read

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
    "timestamp with time zone",
    "timestamp without time zone",
    "character varying",
    "bytea",
}
"""Types that ADBC delivers as they are. All others are read as text: enums, for one, would arrive as opaque bytes."""


class Follower:
    """A bulk connection that reads in the leader's snapshot."""

    def __init__(self, connection: adbc.Connection, leader: Leader) -> None:
        self._connection = connection
        names = sql.SQL(", ").join(map(sql.Identifier, tables_read(leader.catalogue)))
        # Two statements: the driver prepares what it executes, and prepared statements come one at a time.
        with connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read read only")
            try:
                cursor.execute(
                    sql.SQL("set transaction snapshot {}").format(sql.Literal(leader.exported)).as_string(None)
                )
            except adbc_errors.Error as error:
                if error.sqlstate != UndefinedObject.sqlstate:
                    raise
                raise DatabaseUnavailableError(
                    "The snapshot of totesys was lost with the connection that held it. Refresh again."
                ) from error
            # At once, or not at all: whoever waits to change a table waits for the leader, the leader for us, and we
            # would wait for them, which no server could see.
            cursor.execute(sql.SQL("lock table {} in access share mode nowait").format(names).as_string(None))
            cursor.execute("select current_setting('server_encoding')")
            if cursor.fetchone() == ("SQL_ASCII",):
                # Such a database holds any bytes. Its server would refuse to send what is no UTF-8; we look ourselves.
                cursor.execute("set client_encoding to 'SQL_ASCII'")

    def rows(self, name: str, table: SourceTable, capture: TableCapture) -> Iterator[pa.RecordBatch]:
        """Stream what a batch takes from a table, in exact types: declared columns as declared, others as they come.

        The last column, `UNFIT`, tells in words of values that the type before them cannot hold (see `fitting.py`).
        """
        columns = [_selected(column) for column in table.columns]
        if name in TABLES and not capture.unique_keys:
            # Nobody else sees to it that they are unique. Rows of a shared key are told apart by nothing.
            columns.append(sql.SQL("count(*) over (partition by {})").format(sql.Identifier(key_of(TABLES[name]))))
        statement = sql.SQL("select {} from {}").format(sql.SQL(", ").join(columns), sql.Identifier(name))
        conditions = []
        if capture.horizon is not None:
            # age() knows about wraparound; ids of 32 bits are compared by their distance from now.
            conditions.append(sql.SQL("age(xmin) <= age({}::xid)").format(sql.Literal(str(capture.horizon % 2**32))))
        if capture.keys:
            conditions.append(_has_key(table, key_of(TABLES[name]), capture.keys))
        if conditions:
            statement += sql.SQL(" where ") + sql.SQL(" or ").join(conditions)
        names = [column.name for column in table.columns]
        for chunk in self._stream(name, statement):
            yield _exactly(name, names, chunk)

    def keys(self, name: str) -> Iterator[pa.RecordBatch]:
        """Stream all primary keys of a declared table that can be keys in the warehouse, in order."""
        key = sql.Identifier(key_of(TABLES[name]))
        statement = sql.SQL(
            "select {0}::integer as {0} from {1} where {0} between -2147483648 and 2147483647 order by {0}"
        ).format(key, sql.Identifier(name))
        return self._stream(name, statement)

    def _stream(self, name: str, statement: sql.Composed) -> Iterator[pa.RecordBatch]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement.as_string(None))
                yield from cursor.fetch_record_batch()
        except (adbc_errors.Error, OSError) as error:  # the latter of a stream that breaks off between its rows
            raise named_error("totesys", f"reading {name} from totesys", error) from error


@contextmanager
def follower_of(source: Database, leader: Leader) -> Iterator[Follower]:
    """Open one more connection into the leader's snapshot."""
    with source.connect_bulk() as connection:
        yield Follower(connection, leader)


def _has_key(table: SourceTable, key: str, keys: Collection[int]) -> sql.Composed:
    """Whether a row has one of these keys, in a comparison that can use an index, or hash the keys.

    PostgreSQL looks through a list of another type than the column's one by one, for every row.
    """
    column = table.column(key)
    comparison = (
        "{} = any ({}::bigint[])" if column and column.type == "bigint" else "{}::integer = any ({}::integer[])"
    )
    return sql.SQL(comparison).format(sql.Identifier(key), sql.Literal(list(keys)))


def _selected(column: SourceColumn) -> sql.Composed:
    name = sql.Identifier(column.name)
    return sql.SQL("{}" if column.type in _ARRIVES_EXACTLY else "{0}::text as {0}").format(name)


def _exactly(name: str, names: list[str], chunk: pa.RecordBatch) -> pa.RecordBatch:
    """A chunk's columns of these names in exact types, and `UNFIT`; a column after them counts rows of the same key."""
    declared: Mapping[str, Any] = dict(TABLES[name].columns) if name in TABLES else {}
    columns: dict[str, pa.Array] = {}
    misfits: dict[str, Misfits] = {}
    for column, arrived in zip(names, chunk.columns, strict=False):
        # numeric arrives as an opaque string, which casts to decimal exactly.
        values = arrived.storage if isinstance(arrived.type, pa.BaseExtensionType) else arrived
        type_ = arrow_type(declared[column]) if column in declared else values.type
        columns[column], misfits[column] = fitted(values, type_)
    for row, copies in enumerate(chunk.column(len(names)).to_pylist() if chunk.num_columns > len(names) else ()):
        if copies > 1:
            misfits[key_of(TABLES[name])][row] = f"is the key of {copies} rows"
    columns[UNFIT] = unfit_column(misfits, chunk.num_rows)
    return pa.RecordBatch.from_pydict(columns)
