"""Bulk connections that read the source's rows in a batch's snapshot and convert them to exact types.

The conversion itself is in `exact_types.py`, the snapshot in `snapshot.py`.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_manager import dbapi as adbc_errors
from adbc_driver_postgresql import dbapi as adbc
from psycopg import sql
from psycopg.errors import InvalidParameterValue, UndefinedObject

from totes_dagster.errors import DatabaseBusyError, DatabaseError, DatabaseUnavailableError, SeveralServersError
from totes_dagster.ingest.capture import TableCapture
from totes_dagster.ingest.catalogue import as_text, is_as_in_snapshot, qualified
from totes_dagster.ingest.exact_types import Misfits, decoded, fit, unfit_values_column
from totes_dagster.ingest.snapshot import IDENTITY, SourceSnapshot, identity_of
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.key_ranges import RANGE_BITS
from totes_dagster.lake.source_catalogue import SourceColumn, SourceTable
from totes_dagster.postgres.bulk import end_bulk_transaction, set_up_bulk_transaction
from totes_dagster.postgres.decoding import Decoder, decoder_of, utf8
from totes_dagster.postgres.named_errors import named_error, sqlstate_of
from totes_dagster.postgres.transactions import REPEATABLE_READ
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

_TEXT = {"text", "character varying"}

_ARRIVES_EXACTLY = _TEXT | {
    "bigint",
    "boolean",
    "date",
    "double precision",
    "integer",
    "real",
    "smallint",
    "timestamp with time zone",
    "timestamp without time zone",
    "bytea",
}
"""Types that ADBC delivers as they are. All others are read as text: an enum would arrive as opaque bytes."""

_ASCII = {"numeric"}
"""Types whose text is ASCII. ADBC would write a number's digits itself, which takes the client a fifth of its time."""

_SNAPSHOT_MISSING = {UndefinedObject.sqlstate, InvalidParameterValue.sqlstate}
"""SQLSTATEs for a snapshot that does not exist: since PostgreSQL 18, and before."""

_ENGLISH = re.compile(r"(C|POSIX|en|English)([._].*)?|")
"""Values of `lc_messages` with which a server reports errors in English."""

logger = logging.getLogger(__name__)


class SnapshotReader:
    """A bulk connection that reads in a snapshot of the source, in one transaction after another."""

    def __init__(self, connection: adbc.Connection, snapshot: SourceSnapshot) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._encoding = ""
        self._messages_in_english = True
        self._decode: Decoder = utf8

    def learn_encoding(self) -> None:
        """Ask the server for its encoding, which determines how text is decoded; call this before reading rows."""
        with self.transaction([]):
            self._check_server()
        if self._encoding not in {"UTF8", "SQL_ASCII"}:
            # A connection each time: there are few such chunks, and the server might end a connection that idles.
            self._decode = decoder_of(lambda: self._snapshot.source.transaction(read_only=True))

    @contextmanager
    def transaction(self, tables: Collection[str]) -> Iterator[None]:
        """A transaction in the snapshot, in which these tables' definitions cannot be changed.

        Raises:
            DatabaseUnavailableError: the snapshot is gone, with the connection that held it.
            SeveralServersError: this connection and the one that holds the snapshot are to different servers.
            DatabaseBusyError: another session waits to change a table's definition.
        """
        try:
            self._import_snapshot()
            # Never wait: a session that wants to change a table waits for the connection that holds the snapshot, that
            # connection waits for this one, and this one would wait for the session: a deadlock that no server detects.
            if tables:
                names = sql.SQL(", ").join(qualified(self._snapshot.catalogue, name) for name in tables)
                self.fetch(sql.SQL("lock table {} in access share mode nowait").format(names))
            yield
        finally:
            end_bulk_transaction(self._connection)

    @contextmanager
    def transaction_on_unlocked(self, table: str) -> Iterator[None]:
        """Like `transaction`, for a table that the holder of the snapshot has not locked.

        Raises:
            DatabaseBusyError: its definition is being changed, or was changed since the snapshot was taken.
        """
        with self.transaction([table]):
            check: sql.Composed = is_as_in_snapshot(self._snapshot.catalogue, table)
            if self.fetch(check) != (True,):
                raise DatabaseBusyError(f"The table {table} was changed since the snapshot was taken.")
            yield

    def rows(self, name: str, table: SourceTable, capture: TableCapture) -> Iterator[pa.RecordBatch]:
        """Stream what a batch takes from a table, in exact types: declared columns as declared, others as they arrive.

        The last column, `UNFIT_VALUES`, lists the values that do not fit their types (see `exact_types.py`).
        """
        captured = [column for column in table.columns if column.name != UNFIT_VALUES]
        columns = [self._selected(column) for column in captured]
        if name in SOURCE_TABLES and not capture.unique_keys:
            # The source does not guarantee that keys are unique, and nothing else distinguishes rows with the same key.
            columns.append(
                sql.SQL("count(*) over (partition by {})").format(sql.Identifier(key_of(SOURCE_TABLES[name])))
            )
        statement = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(columns), sql.Identifier(table.namespace, name)
        )
        conditions = []
        if capture.horizon is not None:
            # age() handles wraparound: it compares 32-bit ids by their distance from the current one.
            conditions.append(sql.SQL("age(xmin) <= age({}::xid)").format(sql.Literal(str(capture.horizon % 2**32))))
        if capture.keys:
            conditions.append(_has_key(table, key_of(SOURCE_TABLES[name]), capture.keys))
        if conditions:
            statement += sql.SQL(" where ") + sql.SQL(" or ").join(conditions)
        for chunk in self._stream(name, statement):
            yield self._in_exact_types(name, captured, chunk)

    def keys(self, name: str, table: SourceTable, ranges: Collection[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Stream primary keys of a declared table that the warehouse can store, in order.

        Args:
            name: the table.
            table: the table in the catalogue.
            ranges: the ranges with the keys, by number; None for all keys. They are found by the table's index.
        """
        statement = sql.SQL(
            "select {0}::integer as {0} from {1} where {0} between -2147483648 and 2147483647 order by {0}"
        )
        if ranges is not None:
            statement = sql.SQL(
                "select source.{0}::integer as {0} from unnest({2}::bigint[]) as covered (number) join {1} as source "
                "on source.{0} between covered.number << {3} and (covered.number << {3}) + {4} order by source.{0}"
            )
        return self._stream(
            name,
            statement.format(
                sql.Identifier(key_of(SOURCE_TABLES[name])),
                sql.Identifier(table.namespace, name),
                sql.Literal(list(ranges or ())),
                sql.Literal(RANGE_BITS),
                sql.Literal(2**RANGE_BITS - 1),
            ),
        )

    def _import_snapshot(self) -> None:
        snapshot = self._snapshot
        try:
            set_up_bulk_transaction(
                self._connection, isolation=REPEATABLE_READ, read_only=True, snapshot=snapshot.exported
            )
        except adbc_errors.Error as error:
            if sqlstate_of(error) not in _SNAPSHOT_MISSING:
                raise named_error("totesys", "importing the snapshot of totesys", error) from error
            end_bulk_transaction(self._connection)
            set_up_bulk_transaction(self._connection, read_only=True)
            self._check_server()  # the snapshot may be on another server
            raise DatabaseUnavailableError(
                "The snapshot of totesys was lost with the connection that held it. Refresh again."
            ) from error

    def _check_server(self) -> None:
        """Ask the server for its identity, encoding and language; it must be the one that holds the snapshot."""
        found = self.fetch(
            sql.SQL("select {}, current_setting('server_encoding'), current_setting('lc_messages')").format(IDENTITY)
        )
        *identity, self._encoding, messages = found or ()
        self._messages_in_english = _ENGLISH.fullmatch(messages) is not None
        if tuple(identity) != identity_of(self._snapshot.taken):
            raise SeveralServersError(
                "TOTESYS_URL leads to several servers: two connections for one batch reached two of them, and no "
                "snapshot spans both. Name one server, or configure the proxy to send all connections of a client to "
                "the same one."
            )

    def fetch(self, statement: str | sql.Composable) -> tuple[Any, ...] | None:
        """Run a statement that returns at most one row, and return that row."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(_text(statement))
                return cursor.fetchone() if cursor.description else None
        except adbc_errors.Error as error:
            raise named_error("totesys", "a statement", error) from error

    def _stream(self, name: str, statement: sql.Composed) -> Iterator[pa.RecordBatch]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement.as_string(None))
                yield from cursor.fetch_record_batch()
        except (adbc_errors.Error, OSError) as error:  # an OSError if the stream is cut off between its rows
            named = named_error("totesys", f"reading {name} from totesys", error)
            if type(named) is DatabaseError and isinstance(error, OSError) and not self._messages_in_english:
                # It has no SQLSTATE, and its text is in a language that is not recognized. It may be transient.
                raise DatabaseBusyError(str(named)) from error
            raise named from error

    def _selected(self, column: SourceColumn) -> sql.Composed:
        name = sql.Identifier(column.name)
        if self._is_encoded(column):
            # To the database's own encoding nothing is converted, so nothing can fail.
            return sql.SQL("convert_to({}, getdatabaseencoding()) as {}").format(as_text(column), name)
        return sql.SQL("{} as {}").format(name if column.type in _ARRIVES_EXACTLY else as_text(column), name)

    def _is_encoded(self, column: SourceColumn) -> bool:
        """Whether a column's values arrive as bytes in the server's encoding."""
        return self._encoding != "UTF8" and column.type not in (_ARRIVES_EXACTLY - _TEXT) | _ASCII

    def _in_exact_types(self, name: str, selected: Sequence[SourceColumn], chunk: pa.RecordBatch) -> pa.RecordBatch:
        """A chunk's columns in exact types, and `UNFIT_VALUES`.

        If the chunk has one more column than were selected, that column counts the rows with the same key.
        """
        declared: Mapping[str, Any] = dict(SOURCE_TABLES[name].columns) if name in SOURCE_TABLES else {}
        columns: dict[str, pa.Array] = {}
        misfits: dict[str, Misfits] = {}
        for column, arrived in zip(selected, chunk.columns, strict=False):
            # numeric arrives as an opaque string, which casts to decimal exactly.
            values = arrived.storage if isinstance(arrived.type, pa.BaseExtensionType) else arrived
            undecoded: Misfits = {}
            if self._is_encoded(column):
                values, undecoded = decoded(values, self._decode)
            type_ = arrow_type(declared[column.name]) if column.name in declared else values.type
            columns[column.name], unfit = fit(values, type_)
            misfits[column.name] = unfit | undecoded
        if chunk.num_columns > len(selected):
            copies = chunk.column(len(selected))
            for row in pc.indices_nonzero(pc.greater(copies, 1)).to_pylist():
                misfits[key_of(SOURCE_TABLES[name])][row] = f"is the key of {copies[row]} rows"
        columns[UNFIT_VALUES] = unfit_values_column(misfits, chunk.num_rows)
        return pa.RecordBatch.from_pydict(columns)


@contextmanager
def open_reader(snapshot: SourceSnapshot) -> Iterator[SnapshotReader]:
    """Open another connection to the server that holds a snapshot, to read in the snapshot.

    Raises:
        DatabaseError: the server cannot be reached, or refuses the connection.
        SeveralServersError: the connection reached another server.
    """
    with snapshot.source.connect_bulk() as connection:
        reader = SnapshotReader(connection, snapshot)
        reader.learn_encoding()
        yield reader


def _has_key(table: SourceTable, key: str, keys: Collection[int]) -> sql.Composed:
    """SQL that checks whether a row has one of these keys; it can use an index, or hash the keys.

    If the list has another type than the column, PostgreSQL searches it linearly for every row.
    """
    column = table.column(key)
    comparison = (
        "{} = any ({}::bigint[])" if column and column.type == "bigint" else "{}::integer = any ({}::integer[])"
    )
    return sql.SQL(comparison).format(sql.Identifier(key), sql.Literal(list(keys)))


def _text(statement: str | sql.Composable) -> str:
    return statement if isinstance(statement, str) else statement.as_string(None)
