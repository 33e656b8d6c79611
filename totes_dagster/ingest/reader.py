"""Connections that read the source's rows in a batch's snapshot and convert them to exact types.

A table is read in ranges of blocks (see `blocks.py`), and these by columns (see `postgres/columns.py`). The conversion
itself is in `exact_types.py`, the snapshot in `snapshot.py`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.errors import FeatureNotSupported, InvalidParameterValue, ObjectNotInPrerequisiteState, UndefinedObject

from totes_dagster.errors import DatabaseBusyError, DatabaseError, DatabaseUnavailableError, SeveralServersError
from totes_dagster.ingest.blocks import Positions, extent_of, is_between
from totes_dagster.ingest.capture import TableCapture
from totes_dagster.ingest.catalogue import as_text, is_as_in_snapshot, qualified
from totes_dagster.ingest.exact_types import Misfits, decoded, fit, unfit_values_column
from totes_dagster.ingest.snapshot import IDENTITY, ExportedSnapshot, identity_of
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.key_ranges import RANGE_BITS
from totes_dagster.lake.source_catalogue import SourceColumn, SourceTable
from totes_dagster.postgres.columns import READABLE_TYPES, ROWS_AT_ONCE, TEXT_TYPES, Column, is_too_large, read_columns
from totes_dagster.postgres.database import NamedConnection
from totes_dagster.postgres.decoding import Decoder, decoder_of, utf8
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.postgres.transactions import REPEATABLE_READ, SNAPSHOT_LIMIT, transaction
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

_READ_AS_THEY_ARE = READABLE_TYPES - {"time without time zone"}
"""All other types are read as text, so that the lake has one form of them."""

_ASCII = {"numeric"}
"""Types whose text is ASCII."""

SNAPSHOT_MISSING = {
    UndefinedObject.sqlstate,
    InvalidParameterValue.sqlstate,
    ObjectNotInPrerequisiteState.sqlstate,
    FeatureNotSupported.sqlstate,
}
"""SQLSTATEs for a snapshot that does not exist, since PostgreSQL 18 and before, whose transaction is just ending, or
that is another database's."""

_PLANNING = "set local enable_tidscan = on; set local jit = off"
"""A table is read in many statements, each of which must find its blocks, and none of which is worth compiling."""

_LOGGED_ROWS_AT_ONCE = 5_000
_LOGGED_CHARACTERS_AT_ONCE = 2**24

T = TypeVar("T")


class _Piece(Protocol):
    """Some of a table's rows."""

    def halves(self) -> "tuple[Self, Self] | None":
        """The rows in two pieces; None if they cannot be divided."""


P = TypeVar("P", bound=_Piece)


@dataclass(frozen=True)
class _Keys:
    """The rows with these keys."""

    keys: Sequence[int]

    def halves(self) -> "tuple[_Keys, _Keys] | None":
        """The first and the second half of the keys; None if there is one."""
        middle = len(self.keys) // 2
        return (_Keys(self.keys[:middle]), _Keys(self.keys[middle:])) if middle else None


class SnapshotReader:
    """A connection that reads in a snapshot of the source, in one transaction after another."""

    def __init__(self, connection: NamedConnection, snapshot: ExportedSnapshot) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._encoding = ""
        self._decode: Decoder = utf8

    @property
    def connection(self) -> NamedConnection:
        """The connection itself, in whichever transaction it is."""
        return self._connection

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
        # It is idle while the lake takes in a part, or keys are planned.
        with transaction(self._connection, isolation=REPEATABLE_READ, read_only=True, idle=SNAPSHOT_LIMIT):
            self._import_snapshot()
            # Never wait: a session that wants to change a table waits for the connection that holds the snapshot, that
            # connection waits for this one, and this one would wait for the session: a deadlock that no server detects.
            if tables:
                names = sql.SQL(", ").join(qualified(self._snapshot.catalogue, name) for name in tables)
                self._connection.execute(sql.SQL("lock table {} in access share mode nowait").format(names))
            self._connection.execute(_PLANNING)
            yield

    @contextmanager
    def transaction_on_unlocked(self, table: str) -> Iterator[None]:
        """Like `transaction`, for a table that the holder of the snapshot has not locked.

        Raises:
            DatabaseBusyError: its definition is being changed, or was changed since the snapshot was taken.
        """
        with self.transaction([table]):
            check: sql.Composed = is_as_in_snapshot(self._snapshot.catalogue, table)
            if self._connection.execute(check).fetchone() != (True,):
                raise DatabaseBusyError(f"The table {table} was changed since the snapshot was taken.")
            yield

    def shares(self, name: str, table: SourceTable, rows: int, rows_per_share: int) -> list[Positions]:
        """Ranges of blocks into which a table can be divided, of at most so many rows each if all are equally full.

        Args:
            name: the table.
            table: the table in the catalogue.
            rows: how many rows it has.
            rows_per_share: how many of them a share should have at most.
        """
        return extent_of(self._connection, sql.Identifier(table.namespace, name)).shares(rows, rows_per_share)

    def rows(
        self, name: str, table: SourceTable, capture: TableCapture, share: Positions | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read what a batch takes from a table, in exact types: declared columns as declared, others as they arrive.

        The last column, `UNFIT_VALUES`, lists the values that do not fit their types (see `exact_types.py`).

        Args:
            name: the table.
            table: the table in the catalogue.
            capture: what the batch takes.
            share: the range of blocks to read; None for all.
        """
        captured = [column for column in table.columns if column.name != UNFIT_VALUES]
        columns = [self._selected(column) for column in captured]
        # What the source does not guarantee: nothing else distinguishes rows with the same key.
        repeated = {} if name not in SOURCE_TABLES or capture.unique_keys else self._repeated_keys(name, table)
        for chunk in self._captured(name, table, capture, columns, share):
            yield self._in_exact_types(name, captured, chunk, repeated)

    def logged_rows(
        self, name: str, table: SourceTable, rows: Sequence[Sequence[str | None]]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of the write-ahead log, in exact types like those of `rows`.

        The source reads the values that it has written as text, so that a row is the same whichever way it is captured.

        Args:
            name: the table.
            table: the table in the catalogue.
            rows: values of all its columns, as text.
        """
        columns = [self._selected(column) for column in table.columns]
        for some in _of_bounded_size(map(_composite, rows)):
            read = sql.SQL("unnest({}::{}[]) as logged").format(
                sql.Literal(some), sql.Identifier(table.namespace, name)
            )
            yield self._in_exact_types(name, table.columns, self._read(name, columns, read), {})

    def keys(self, name: str, table: SourceTable, ranges: Collection[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Read primary keys of a declared table that the warehouse can store, in order.

        Args:
            name: the table.
            table: the table in the catalogue.
            ranges: the ranges with the keys, by number; None for all keys. They are found by the table's index.
        """
        key = sql.Identifier(key_of(SOURCE_TABLES[name]))
        columns = [Column(key_of(SOURCE_TABLES[name]), "integer", sql.SQL("key::integer"), nullable=False)]
        source = sql.Identifier(table.namespace, name)
        if ranges is not None:
            for numbers in _slices(sorted(ranges), ROWS_AT_ONCE >> RANGE_BITS):
                covered = sql.SQL(
                    "(select source.{key} as key from unnest({numbers}::bigint[]) as covered (number) "
                    "join {source} as source on source.{key} between covered.number << {bits} "
                    "and (covered.number << {bits}) + {last} order by source.{key}) as keys"
                ).format(
                    key=key,
                    source=source,
                    numbers=sql.Literal(list(numbers)),
                    bits=sql.Literal(RANGE_BITS),
                    last=sql.Literal(2**RANGE_BITS - 1),
                )
                yield self._read(name, columns, covered)
            return
        last = -(2**31) - 1
        while True:
            following = sql.SQL(
                "(select {key} as key from {source} where {key} > {last} and {key} <= 2147483647 "
                "order by {key} limit {limit}) as keys"
            ).format(key=key, source=source, last=sql.Literal(last), limit=sql.Literal(ROWS_AT_ONCE))
            chunk = self._read(name, columns, following)
            if not chunk.num_rows:
                return
            yield chunk
            last = chunk.column(0)[-1].as_py()

    def _import_snapshot(self) -> None:
        snapshot = self._snapshot
        try:
            self._connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot.exported)))
        except DatabaseError as error:
            if error.facts["sqlstate"] not in SNAPSHOT_MISSING:
                raise
            self._connection.rollback()
            with transaction(self._connection, read_only=True):
                self._check_server()  # the snapshot may be on another server
            raise DatabaseUnavailableError(
                "The snapshot of totesys was lost with the connection that held it. Refresh again."
            ) from error

    def _check_server(self) -> None:
        """Ask the server for its identity and encoding; it must be the one that holds the snapshot."""
        (found,) = self._connection.execute(
            sql.SQL("select {}, current_setting('server_encoding')").format(IDENTITY)
        ).fetchall()
        *identity, self._encoding = found
        if tuple(identity) != identity_of(self._snapshot.taken):
            raise SeveralServersError(
                "TOTESYS_URL leads to several servers: two connections for one batch reached two of them, and no "
                "snapshot spans both. Name one server, or configure the proxy to send all connections of a client to "
                "the same one."
            )

    def _captured(
        self,
        name: str,
        table: SourceTable,
        capture: TableCapture,
        columns: Sequence[Column],
        share: Positions | None,
    ) -> Iterator[pa.RecordBatch]:
        """The columns of the rows that a batch takes, as they arrive."""
        source = sql.Identifier(table.namespace, name)
        # age() handles wraparound: it compares 32-bit ids by their distance from the current one.
        is_recent = sql.SQL("age(xmin) <= age({}::xid)").format(sql.Literal(str((capture.horizon or 0) % 2**32)))
        recent = sql.SQL("true") if capture.horizon is None else is_recent
        if capture.horizon is not None or not capture.keys:
            extent, version = extent_of(self._connection, source), self._connection.info.server_version
            for positions in extent.ranges(share):
                yield from self._pieces(
                    name,
                    columns,
                    lambda piece: sql.SQL("{} where {} and {}").format(
                        source, is_between(piece, extent, version), recent
                    ),
                    positions,
                )
        older = sql.SQL("true") if capture.horizon is None else sql.SQL("not {}").format(is_recent)
        for keys in _slices(capture.keys, ROWS_AT_ONCE):
            yield from self._pieces(
                name,
                columns,
                lambda piece: sql.SQL("{} where {} and {}").format(
                    source, _has_key(table, key_of(SOURCE_TABLES[name]), piece.keys), older
                ),
                _Keys(keys),
            )

    def _pieces(
        self, name: str, columns: Sequence[Column], rows_of: Callable[[P], sql.Composable], piece: P
    ) -> Iterator[pa.RecordBatch]:
        """Read a piece of a table in one statement, or in several if its values are too long for one."""
        try:
            with self._connection.transaction():
                chunk = self._read(name, columns, rows_of(piece))
        except DatabaseError as error:
            halves = piece.halves()
            if halves is None or not is_too_large(error.__cause__):
                raise
        else:
            if chunk.num_rows:
                yield chunk
            return
        for half in halves:
            yield from self._pieces(name, columns, rows_of, half)

    def _read(self, name: str, columns: Sequence[Column], rows: sql.Composable) -> pa.RecordBatch:
        try:
            return read_columns(self._connection, columns, rows)
        except psycopg.Error as error:
            raise named_error("totesys", f"reading {name} from totesys", error) from error

    def _repeated_keys(self, name: str, table: SourceTable) -> dict[Any, int]:
        """The keys that several rows have, and how many."""
        statement = sql.SQL("select {0}, count(*) from {1} where {0} is not null group by 1 having count(*) > 1")
        key = sql.Identifier(key_of(SOURCE_TABLES[name]))
        return dict(self._connection.execute(statement.format(key, sql.Identifier(table.namespace, name))).fetchall())

    def _selected(self, column: SourceColumn) -> Column:
        name = sql.Identifier(column.name)
        value: sql.Composable = name if column.type in _READ_AS_THEY_ARE else as_text(column)
        if self._is_encoded(column):
            # To the database's own encoding nothing is converted, so nothing can fail.
            value = sql.SQL("convert_to({}, getdatabaseencoding())").format(value)
            return Column(column.name, "bytea", value, column.nullable)
        return Column(column.name, column.type if value is name else "text", value, column.nullable)

    def _is_encoded(self, column: SourceColumn) -> bool:
        """Whether a column's values arrive as bytes in the server's encoding."""
        return self._encoding != "UTF8" and column.type not in (_READ_AS_THEY_ARE - TEXT_TYPES) | _ASCII

    def _in_exact_types(
        self, name: str, selected: Sequence[SourceColumn], chunk: pa.RecordBatch, repeated: Mapping[Any, int]
    ) -> pa.RecordBatch:
        """A chunk's columns in exact types, and `UNFIT_VALUES`.

        Args:
            name: the table.
            selected: the columns.
            chunk: what arrived of them.
            repeated: the keys that several rows have, and how many.
        """
        declared: Mapping[str, Any] = dict(SOURCE_TABLES[name].columns) if name in SOURCE_TABLES else {}
        columns: dict[str, pa.Array] = {}
        misfits: dict[str, Misfits] = {}
        for column, values in zip(selected, chunk.columns, strict=True):
            undecoded: Misfits = {}
            if self._is_encoded(column):
                values, undecoded = decoded(values, self._decode)  # noqa: PLW2901 - the same values
            type_ = arrow_type(declared[column.name]) if column.name in declared else values.type
            columns[column.name], unfit = fit(values, type_)
            misfits[column.name] = unfit | undecoded
        if repeated:
            key = key_of(SOURCE_TABLES[name])
            for row, value in enumerate(columns[key].to_pylist()):
                if value in repeated:
                    misfits[key][row] = f"is the key of {repeated[value]} rows"
        columns[UNFIT_VALUES] = unfit_values_column(misfits, chunk.num_rows)
        return pa.RecordBatch.from_pydict(columns)


@contextmanager
def open_reader(snapshot: ExportedSnapshot) -> Iterator[SnapshotReader]:
    """Open another connection to the server that holds a snapshot, to read in the snapshot.

    Raises:
        DatabaseError: the server cannot be reached, or refuses the connection.
        SeveralServersError: the connection reached another server.
    """
    with snapshot.source.connect() as connection:
        reader = SnapshotReader(connection, snapshot)
        reader.learn_encoding()
        yield reader


def _of_bounded_size(rows: Iterable[str]) -> Iterator[list[str]]:
    """Rows in lists that are not too long for a statement."""
    some: list[str] = []
    size = 0
    for row in rows:
        if some and (len(some) == _LOGGED_ROWS_AT_ONCE or size + len(row) > _LOGGED_CHARACTERS_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(row)
        size += len(row)
    if some:
        yield some


def _composite(row: Sequence[str | None]) -> str:
    """A row as PostgreSQL writes a composite value."""
    values = ("" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '""') + '"' for value in row)
    return f"({','.join(values)})"


def _has_key(table: SourceTable, key: str, keys: Collection[int]) -> sql.Composed:
    """SQL that checks whether a row has one of these keys; it can use an index, or hash the keys.

    If the list has another type than the column, PostgreSQL searches it linearly for every row.
    """
    column = table.column(key)
    comparison = (
        "{} = any ({}::bigint[])" if column and column.type == "bigint" else "{}::integer = any ({}::integer[])"
    )
    return sql.SQL(comparison).format(sql.Identifier(key), sql.Literal(list(keys)))


def _slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
