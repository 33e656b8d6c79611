"""Source values in exact types: what a type cannot hold becomes null, and is told in words beside it.

So one value that nobody expected neither stops a batch nor changes on its way; the remodel sets its row aside.
"""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.postgres.decoding import Decoder, utf8

UNFIT = "unfit: values of this row that the types of their columns cannot hold"
"""Column of an ingested part: JSON object of columns whose value is not what they say, with the reason; or null.

No column of the source can have the name, for PostgreSQL's names are at most 63 bytes long.
"""

# PostgreSQL's first moments (4714-11-24 BC). ADBC moves the epoch from 2000 to 1970 without looking for an overflow:
# `infinity`, and what is past the year 294246, arrive as values before them.
_FIRST_TIMESTAMP = -210_866_803_200_000_000
_FIRST_DATE = -2_440_588
_INFINITY = -(2**63) + 946_684_800_000_000

_LONGEST_NUMBER = 30

Misfits = dict[int, str]
"""Reasons by row."""


def fitted(values: pa.Array, type_: pa.DataType) -> tuple[pa.Array, Misfits]:
    """Values in a type that they must fit exactly, null where they do not, and why."""
    if pa.types.is_timestamp(values.type):
        values, misfits = _without(values, pc.less(values.cast(pa.int64()), _FIRST_TIMESTAMP), _moment)
    elif pa.types.is_date32(values.type):
        values, misfits = _without(values, pc.less(values.cast(pa.int32()), _FIRST_DATE), lambda _: "is infinite")
    elif pa.types.is_string(values.type):
        values, misfits = _valid(values)
    else:
        misfits = {}
    # Arrow's cast of longer digits to decimals overflows, silently.
    exact = not pa.types.is_decimal(type_) or pc.max(pc.utf8_length(values)).as_py() in range(_LONGEST_NUMBER)
    with suppress(pa.ArrowInvalid):
        if exact:
            return values.cast(type_), misfits
    # Value by value, but each distinct one once.
    encoded = values.dictionary_encode()
    fits = [_cast(value, type_) for value in encoded.dictionary]
    for row, index in enumerate(encoded.indices.to_pylist()):
        if index is not None and fits[index] is None:
            misfits[row] = f"is {encoded.dictionary[index].as_py()!s}, which {type_} cannot hold"
    dictionary = pa.array([None if value is None else value.as_py() for value in fits], type_)
    return dictionary.take(encoded.indices), misfits


def unfit_column(misfits: dict[str, Misfits], rows: int) -> pa.Array:
    """The column `UNFIT` of so many rows, from reasons by column and row."""
    by_row: dict[int, dict[str, str]] = {}
    for column, reasons in misfits.items():
        for row, reason in reasons.items():
            by_row.setdefault(row, {})[column] = reason
    if not by_row:
        return pa.nulls(rows, pa.string())
    return pa.array([json.dumps(by_row[row]) if row in by_row else None for row in range(rows)], pa.string())


def as_declared_since(rows: pa.Table, schema: pa.Schema, late: Collection[str]) -> pa.Table:
    """Rows that were ingested before some of their columns were declared, as if they had been declared then.

    Args:
        rows: with the column `UNFIT`.
        schema: of the declared columns.
        late: those that rows may lack, for the source did not have them yet, or hold in the types that they came in.
            All others stay as they are.
    """
    misfits: dict[str, Misfits] = {}
    for name in late:
        type_ = schema.field(name).type
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, type_))
        elif rows.schema.field(name).type != type_:
            with suppress(pa.ArrowNotImplementedError):  # of another kind altogether
                arrived = rows.column(name).combine_chunks()
                exact = arrived.cast(pa.string()) if pa.types.is_decimal(type_) else arrived
                values, misfits[name] = fitted(exact, type_)
                rows = rows.set_column(rows.column_names.index(name), name, values)
    if any(misfits.values()):
        told = unfit_column(misfits, rows.num_rows).to_pylist()
        both = [_joined(old, new) for old, new in zip(rows.column(UNFIT).to_pylist(), told, strict=True)]
        rows = rows.set_column(rows.column_names.index(UNFIT), UNFIT, pa.array(both, pa.string()))
    return rows.select([name for name in (*schema.names, UNFIT) if name in rows.column_names])


def _joined(old: str | None, new: str | None) -> str | None:
    return json.dumps(json.loads(old) | json.loads(new)) if old and new else old or new


def _decimal(number: Decimal, type_: pa.DataType) -> pa.Scalar | None:
    """A number in a decimal type, or None where it is not finite, too large, or between two numbers of the type."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return None
    while exponent < -type_.scale and digits and digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    whole = "".join(map(str, digits)).lstrip("0")
    if not whole:
        return pa.scalar(Decimal(0), type_)
    if exponent < -type_.scale or len(whole) + exponent + type_.scale > type_.precision:
        return None
    return pa.scalar(Decimal((sign, digits, exponent)), type_)


def _without(values: pa.Array, wrong: pa.Array, reason: Callable[[int], str]) -> tuple[pa.Array, Misfits]:
    rows = pc.indices_nonzero(pc.fill_null(wrong, fill_value=False)).to_pylist()
    if not rows:
        return values, {}
    numbers = values.cast(pa.int64() if pa.types.is_timestamp(values.type) else pa.int32())
    misfits = {row: reason(numbers[row].as_py()) for row in rows}
    return pc.if_else(pc.fill_null(wrong, fill_value=False), pa.scalar(None, values.type), values), misfits


def _moment(number: int) -> str:
    match number:
        case n if n == _INFINITY - 1:
            return "is infinity"
        case n if n == _INFINITY:
            return "is -infinity"
        case _:
            return "is after the year 294246"


def decoded(values: pa.Array, decode: Decoder) -> tuple[pa.Array, Misfits]:
    """Text of bytes in a server's own encoding; null where they cannot be decoded, and why."""
    texts = values.view(pa.string())
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:  # as it is in every encoding of a server
        return texts, {}
    encoded = values.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    meant = decode(distinct)
    misfits = {
        row: f"is '{_escaped(distinct[index])}', which cannot be decoded"
        for row, index in enumerate(encoded.indices.to_pylist())
        if index is not None and meant[index] is None
    }
    return pa.array(meant, pa.string()).take(encoded.indices), misfits


def _valid(values: pa.Array) -> tuple[pa.Array, Misfits]:
    """Text that is UTF-8, as a server of that encoding should have no other."""
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return decoded(values.view(pa.binary()), utf8)
    return values, {}


def _escaped(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")


def _cast(value: pa.Scalar, type_: pa.DataType) -> pa.Scalar | None:
    if pa.types.is_decimal(type_):
        return _decimal(Decimal(value.as_py()), type_)
    try:
        return value.cast(type_)
    except pa.ArrowInvalid:
        return None
