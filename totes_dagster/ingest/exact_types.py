"""Source values in exact types: a value that its type cannot hold becomes null, with the reason beside it.

So one unexpected value neither stops a batch nor changes on its way; the remodel puts its row into quarantine.
"""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.lake.ingested import UNFIT_VALUES_TYPE, unfit_values_text
from totes_dagster.postgres.decoding import Decoder, utf8

# PostgreSQL's first moments (4714-11-24 BC). ADBC moves the epoch from 2000 to 1970 without looking for an overflow:
# `infinity`, and what is past the year 294246, arrive as values before them.
_FIRST_TIMESTAMP = -210_866_803_200_000_000
_FIRST_DATE = -2_440_588
_INFINITY = -(2**63) + 946_684_800_000_000

_LONGEST_NUMBER = 30

Misfits = dict[int, str]
"""Reasons by row."""


def fit(values: pa.Array, type_: pa.DataType) -> tuple[pa.Array, Misfits]:
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


def unfit_values_column(misfits: dict[str, Misfits], rows: int) -> pa.Array:
    """The column `UNFIT_VALUES` of so many rows, from reasons by column and row."""
    by_row: dict[int, dict[str, str]] = {}
    for column, reasons in misfits.items():
        for row, reason in reasons.items():
            by_row.setdefault(row, {})[column] = reason
    if not by_row:
        return pa.nulls(rows, UNFIT_VALUES_TYPE)
    return pa.array([unfit_values_text(by_row.get(row, {})) for row in range(rows)], UNFIT_VALUES_TYPE)


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
