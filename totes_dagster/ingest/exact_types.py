"""Converting source values to exact types: a value that its type cannot hold becomes null, and the reason is recorded.

So an unexpected value neither stops a batch nor is changed silently. The remodel puts its row into quarantine.
"""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.lake.ingested import UNFIT_VALUES_TYPE, unfit_values_text
from totes_dagster.postgres.decoding import Decoder, utf8

# PostgreSQL's earliest values (4714-11-24 BC). Values arrive with their epoch moved from 2000 to 1970, which overflows
# for `infinity` and for values after the year 294246: they arrive as values before these (see `postgres/columns.py`).
_FIRST_TIMESTAMP = -210_866_803_200_000_000
_FIRST_DATE = -2_440_588
_INFINITY = -(2**63) + 946_684_800_000_000

_LONGEST_NUMBER = 30

Misfits = dict[int, str]
"""Reasons why values do not fit their type, by row number."""


def fit(values: pa.Array, type_: pa.DataType) -> tuple[pa.Array, Misfits]:
    """Convert values to a type that must hold them exactly.

    Returns:
        The values, null where they do not fit, and the reasons.
    """
    if pa.types.is_timestamp(values.type):
        too_early = pc.less(values.cast(pa.int64()), _FIRST_TIMESTAMP)
        values, misfits = _replaced_by_null(values, too_early, _reason_of_timestamp)
    elif pa.types.is_date32(values.type):
        too_early = pc.less(values.cast(pa.int32()), _FIRST_DATE)
        values, misfits = _replaced_by_null(values, too_early, lambda _: "is infinite")
    elif pa.types.is_string(values.type):
        values, misfits = _valid_utf8(values)
    else:
        misfits = {}
    # Arrow's cast of longer strings to decimals overflows silently.
    castable = not pa.types.is_decimal(type_) or pc.max(pc.utf8_length(values)).as_py() in range(_LONGEST_NUMBER)
    with suppress(pa.ArrowInvalid):
        if castable:
            return values.cast(type_), misfits
    # Value by value, but each distinct value once.
    encoded = values.dictionary_encode()
    distinct = [_cast(value, type_) for value in encoded.dictionary]
    for row, index in enumerate(encoded.indices.to_pylist()):
        if index is not None and distinct[index] is None:
            misfits[row] = f"is {encoded.dictionary[index].as_py()!s}, which {type_} cannot hold"
    dictionary = pa.array([None if value is None else value.as_py() for value in distinct], type_)
    return dictionary.take(encoded.indices), misfits


def unfit_values_column(misfits: dict[str, Misfits], rows: int) -> pa.Array:
    """The column `UNFIT_VALUES` from the reasons by column and row.

    Args:
        misfits: the reasons.
        rows: how many rows the column has.
    """
    by_row: dict[int, dict[str, str]] = {}
    for column, reasons in misfits.items():
        for row, reason in reasons.items():
            by_row.setdefault(row, {})[column] = reason
    if not by_row:
        return pa.nulls(rows, UNFIT_VALUES_TYPE)
    return pa.array([unfit_values_text(by_row.get(row, {})) for row in range(rows)], UNFIT_VALUES_TYPE)


def _decimal(number: Decimal, type_: pa.DataType) -> pa.Scalar | None:
    """A number in a decimal type; None if it is not finite, too large, or has more decimal places than the type."""
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


def _replaced_by_null(values: pa.Array, is_unfit: pa.Array, reason: Callable[[int], str]) -> tuple[pa.Array, Misfits]:
    rows = pc.indices_nonzero(pc.fill_null(is_unfit, fill_value=False)).to_pylist()
    if not rows:
        return values, {}
    numbers = values.cast(pa.int64() if pa.types.is_timestamp(values.type) else pa.int32())
    misfits = {row: reason(numbers[row].as_py()) for row in rows}
    return pc.if_else(pc.fill_null(is_unfit, fill_value=False), pa.scalar(None, values.type), values), misfits


def _reason_of_timestamp(number: int) -> str:
    match number:
        case n if n == _INFINITY - 1:
            return "is infinity"
        case n if n == _INFINITY:
            return "is -infinity"
        case _:
            return "is after the year 294246"


def decoded(values: pa.Array, decode: Decoder) -> tuple[pa.Array, Misfits]:
    """Decode text from a server's own encoding.

    Returns:
        The text, null where it cannot be decoded, and the reasons.
    """
    texts = values.view(pa.string())
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:  # ASCII is the same in every server encoding
        return texts, {}
    encoded = values.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    decoded_texts = decode(distinct)
    misfits = {
        row: f"is '{_escaped(distinct[index])}', which cannot be decoded"
        for row, index in enumerate(encoded.indices.to_pylist())
        if index is not None and decoded_texts[index] is None
    }
    return pa.array(decoded_texts, pa.string()).take(encoded.indices), misfits


def _valid_utf8(values: pa.Array) -> tuple[pa.Array, Misfits]:
    """Text that is valid UTF-8, which a server with that encoding should guarantee but may not."""
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
