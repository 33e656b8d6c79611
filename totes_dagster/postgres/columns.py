"""Reading columns in bulk: the server concatenates the binary values of each, and the bytes become Arrow arrays.

One row of a result holds as many values as fit into a few megabytes, so nothing is done for each value here. The binary
forms are those of PostgreSQL's send functions, the same as in a binary `COPY`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

ROWS_AT_ONCE = 2**16
"""How many rows callers read at a time, if rows are as narrow as most: a few megabytes."""

_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = 946_684_800_000_000


@dataclass(frozen=True)
class _Fixed:
    """A type whose values have a fixed length.

    Attributes:
        send: the function that gives a value's bytes.
        binary: what the bytes are.
        arrow: the type that the values become.
        epoch: what is added to each; of the infinite values, the sum overflows.
    """

    send: str
    binary: str
    arrow: pa.DataType
    epoch: int = 0


_FIXED = {
    "bigint": _Fixed("int8send", ">i8", pa.int64()),
    "boolean": _Fixed("boolsend", "?", pa.bool_()),
    "date": _Fixed("date_send", ">i4", pa.date32(), _DAYS_TO_2000),
    "double precision": _Fixed("float8send", ">f8", pa.float64()),
    "integer": _Fixed("int4send", ">i4", pa.int32()),
    "real": _Fixed("float4send", ">f4", pa.float32()),
    "smallint": _Fixed("int2send", ">i2", pa.int16()),
    "time without time zone": _Fixed("time_send", ">i8", pa.time64("us")),
    "timestamp with time zone": _Fixed("timestamptz_send", ">i8", pa.timestamp("us", tz="UTC"), _MICROSECONDS_TO_2000),
    "timestamp without time zone": _Fixed("timestamp_send", ">i8", pa.timestamp("us"), _MICROSECONDS_TO_2000),
}

TEXT_TYPES = frozenset({"text", "character varying"})

READABLE_TYPES = TEXT_TYPES | {"bytea"} | _FIXED.keys()
"""The types that can be read as they are, by their names as of `format_type`. Others have to be cast to text."""


@dataclass(frozen=True)
class Column:
    """A column to be read.

    Attributes:
        name: its name.
        type: the type of the expression, one of `READABLE_TYPES`.
        expression: SQL of the value.
        nullable: whether it may have nulls. If it has some although it may not, they arrive too, only later.
    """

    name: str
    type: str
    expression: sql.Composable
    nullable: bool = True


def read_columns(connection: psycopg.Connection, columns: Sequence[Column], rows: sql.Composable) -> pa.RecordBatch:
    """Read columns of some rows, in one statement.

    Args:
        connection: in a transaction of `postgres.transactions`, of which the settings determine how values look.
        columns: the columns.
        rows: SQL of the relation with the rows, and what may follow it in a `from` clause.

    Returns:
        The rows: integers, booleans and floating-point numbers of the same width; dates as date32, times as time64 and
        timestamps as timestamp, both in microseconds; text as string, not validated; `bytea` as binary. Dates and
        timestamps that are infinite, or so late that Arrow cannot hold them, are wrapped around, and so earlier than
        PostgreSQL's earliest.

    Raises:
        psycopg.Error: the statement failed. `is_too_large` tells whether fewer rows could be read.
    """
    batch = _read(connection, columns, rows)
    if batch is None:
        batch = _read(connection, [replace(column, nullable=True) for column in columns], rows)
    if batch is None:
        raise AssertionError("The values of a column are not as many as the rows.")
    return batch


def is_too_large(error: BaseException | None) -> bool:
    """Whether a statement failed because its result has more bytes in a column than the server can concatenate."""
    return isinstance(error, psycopg.errors.ProgramLimitExceeded | psycopg.errors.OutOfMemory) or (
        isinstance(error, psycopg.errors.InternalError_) and "memory alloc" in str(error)
    )


def _read(connection: psycopg.Connection, columns: Sequence[Column], rows: sql.Composable) -> pa.RecordBatch | None:
    """The columns; None if one has nulls that is not nullable."""
    selected: sql.Composed = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join([sql.SQL("count(*)"), *(part for column in columns for part in _aggregates(column))]), rows
    )
    # The errors of a plain cursor are psycopg's own.
    with psycopg.Cursor(connection) as cursor:
        (count, *values), *_ = cursor.execute(selected, binary=True).fetchall()
    arriving = iter(values)
    arrays = []
    for column in columns:
        array = _array(column, count, arriving)
        if array is None:
            return None
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])


def _aggregates(column: Column) -> Iterable[sql.Composable]:
    """SQL of what `_array` makes an array of: the values, for `bytea` their lengths, and which are null."""
    value = column.expression
    if fixed := _FIXED.get(column.type):
        sent: sql.Composable = sql.SQL("{}({})").format(sql.Identifier(fixed.send), value)
        if column.nullable:
            sent = sql.SQL("coalesce({}, {})").format(sent, sql.Literal(bytes(np.dtype(fixed.binary).itemsize)))
        yield sql.SQL("string_agg({}, '')").format(sent)
    elif column.type in TEXT_TYPES:
        sent = sql.SQL("textsend({})").format(value)
        if column.nullable:
            sent = sql.SQL("coalesce({}, '')").format(sent)
        yield sql.SQL(r"string_agg({}, '\x00')").format(sent)  # no text has a zero byte
    else:
        length: sql.Composable = sql.SQL("octet_length({})").format(value)
        if column.nullable:
            length = sql.SQL("coalesce({}, 0)").format(length)
        yield sql.SQL("string_agg({}, '')").format(value)
        yield sql.SQL("string_agg(int4send({}), '')").format(length)
    if column.nullable:
        yield sql.SQL("string_agg(boolsend({} is null), '')").format(value)


def _array(column: Column, count: int, arriving: Iterator[bytes | None]) -> pa.Array | None:
    """The next column of those that arrive; None if there are fewer values than rows."""
    data = next(arriving)
    if fixed := _FIXED.get(column.type):
        numbers = np.frombuffer(data or b"", fixed.binary)
        return _fixed_array(fixed, numbers, _nulls(column, arriving)) if len(numbers) == count else None
    if column.type in TEXT_TYPES:
        ends = np.flatnonzero(np.frombuffer(data or b"", np.uint8) == 0)
        values = 0 if data is None else len(ends) + 1
        lengths = np.diff(ends, prepend=-1, append=len(data or b""))[:count] - 1
        data = (data or b"").replace(b"\0", b"")
        type_ = pa.string()
    else:
        lengths = np.frombuffer(next(arriving) or b"", ">i4")
        values = len(lengths)
        type_ = pa.binary()
    nulls = _nulls(column, arriving)
    return _variable_array(type_, data or b"", lengths, nulls) if values == count else None


def _nulls(column: Column, arriving: Iterator[bytes | None]) -> npt.NDArray[np.bool_] | None:
    """Which values are null; None if none is."""
    if not column.nullable:
        return None
    nulls = np.frombuffer(next(arriving) or b"", np.bool_)
    return nulls if nulls.any() else None


def _fixed_array(fixed: _Fixed, values: npt.NDArray[np.generic], nulls: npt.NDArray[np.bool_] | None) -> pa.Array:
    native = values.astype(values.dtype.newbyteorder("="))
    if fixed.epoch:
        native = native + native.dtype.type(fixed.epoch)
    array = pa.array(native, mask=nulls)
    return array if array.type == fixed.arrow else array.view(fixed.arrow)


def _variable_array(
    type_: pa.DataType, data: bytes, lengths: npt.NDArray[np.signedinteger], nulls: npt.NDArray[np.bool_] | None
) -> pa.Array:
    """An array of text or bytes, whose values lie one after the other and have these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    validity = None if nulls is None else pa.py_buffer(np.packbits(~nulls, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        type_,
        len(lengths),
        [validity, pa.py_buffer(offsets), pa.py_buffer(data)],
    )
