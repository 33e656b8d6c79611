"""Source values in exact types: kept as they are, or null with a reason, never changed."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from totes_dagster.ingest.exact_types import fit, unfit_values_column

MONEY = pa.decimal128(10, 2)
STAMP = pa.timestamp("us")
EPOCH_SHIFT = 946_684_800_000_000
"""Microseconds from 1970 to 2000, which are added to what PostgreSQL sends, and may overflow."""


def as_it_arrives(number: int) -> pa.Array:
    """A moment that PostgreSQL sends as so many microseconds since 2000."""
    shifted = (number + EPOCH_SHIFT + 2**63) % 2**64 - 2**63
    return pa.array([shifted], pa.int64()).cast(STAMP)


def text_of_bytes(*values: bytes | None) -> pa.Array:
    """Text as a database that does not know of encodings sends it."""
    array = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(array), array.buffers(), array.null_count)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
@example([2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**31])
def test_an_integer_fits_or_becomes_null_with_its_value_in_the_reason(values: list[int | None]) -> None:
    exact, misfits = fit(pa.array(values, pa.int64()), pa.int32())
    narrow = [value is None or -(2**31) <= value < 2**31 for value in values]
    assert exact.type == pa.int32()
    assert exact.to_pylist() == [value if fit else None for value, fit in zip(values, narrow, strict=True)]
    assert misfits == {row: f"is {values[row]}, which int32 cannot hold" for row, fit in enumerate(narrow) if not fit}


NUMERICS = st.builds(
    lambda sign, whole, rest, zeros: f"{sign}{whole}.{rest}{'0' * zeros}" if rest or zeros else f"{sign}{whole}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**9) | st.integers(0, 10**60),
    st.text("0123456789", max_size=3) | st.text("09", max_size=90),
    st.sampled_from([0, 1, 35, 36, 37, 38, 39, 40, 41, 60, 75, 200]),
)
"""Whatever PostgreSQL's `numeric` may say, NaN and infinities apart."""


@settings(max_examples=300)
@given(st.lists(st.none() | NUMERICS))
@example(["99999999.99", "100000000.00", "0.005", "1.5000", "-0.01"])
@example([f"8.{'0' * 40}5", f"45803.{'0' * 77}", f"96.{'0' * 37}"])
def test_money_fits_to_the_penny_or_becomes_null_and_is_never_rounded(texts: list[str | None]) -> None:
    exact, misfits = fit(pa.array(texts, pa.string()), MONEY)
    expected = [text and exact_money(text) for text in texts]
    assert exact.type == MONEY
    assert exact.to_pylist() == expected
    assert misfits == {
        row: f"is {text}, which decimal128(10, 2) cannot hold"
        for row, text in enumerate(texts)
        if text is not None and expected[row] is None
    }


def exact_money(text: str) -> Decimal | None:
    value = Fraction(text)
    pence = value * 100
    return Decimal(int(pence)).scaleb(-2) if pence.denominator == 1 and abs(value) < 10**8 else None


@pytest.mark.parametrize("text", ["NaN", "nan", "inf", "-inf", "Infinity"])
def test_what_is_no_amount_becomes_null(text: str) -> None:
    exact, misfits = fit(pa.array(["1.50", text, "2.50"], pa.string()), MONEY)
    assert exact.to_pylist() == [Decimal("1.50"), None, Decimal("2.50")]
    assert misfits == {1: f"is {text}, which decimal128(10, 2) cannot hold"}


@given(st.lists(st.none() | st.datetimes()))
def test_a_moment_stays_as_it_is_to_the_microsecond(values: list[datetime | None]) -> None:
    exact, misfits = fit(pa.array(values, STAMP), STAMP)
    assert (exact.to_pylist(), misfits) == (values, {})


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (2**63 - 1, "is infinity"),
        (-(2**63), "is -infinity"),
        (2**63 - EPOCH_SHIFT, "is after the year 294246"),
        (9_224_318_015_999_999_999, "is after the year 294246"),
    ],
    ids=["infinity", "-infinity", "the first that overflows", "the last there is"],
)
def test_a_moment_that_overflows_becomes_null_and_is_named(number: int, reason: str) -> None:
    exact, misfits = fit(as_it_arrives(number), STAMP)
    assert exact.type == STAMP
    assert exact.is_null().to_pylist() == [True]
    assert misfits == {0: reason}


@pytest.mark.parametrize("number", [-211_813_488_000_000_000, 2**63 - EPOCH_SHIFT - 1], ids=["first", "last"])
def test_the_first_and_the_last_moment_that_arrive_whole_stay(number: int) -> None:
    exact, misfits = fit(as_it_arrives(number), STAMP)
    assert (exact.cast(pa.int64()).to_pylist(), misfits) == ([number + EPOCH_SHIFT], {})


def test_a_moment_with_a_zone_is_treated_alike() -> None:
    zoned = pa.timestamp("us", tz="UTC")
    values = pa.concat_arrays([as_it_arrives(2**63 - 1), as_it_arrives(0)]).cast(zoned)
    exact, misfits = fit(values, zoned)
    assert exact.is_null().to_pylist() == [True, False]
    assert misfits == {0: "is infinity"}


def test_an_infinite_day_becomes_null_and_far_ones_stay() -> None:
    shift = 10_957  # days from 1970 to 2000
    infinite, far = 2**31 - 1 + shift - 2**32, 2_145_031_948 + shift
    exact, misfits = fit(pa.array([infinite, far, 0, None], pa.int32()).cast(pa.date32()), pa.date32())
    assert exact.cast(pa.int32()).to_pylist() == [None, far, 0, None]
    assert misfits == {0: "is infinite"}


def test_text_that_is_no_utf8_becomes_null_and_its_bytes_are_told() -> None:
    exact, misfits = fit(text_of_bytes(b"Zo\xc3\xab", None, b"Zo\xeb\\", b"", b"\xed\xa0\x80"), pa.string())
    assert exact.to_pylist() == ["Zoë", None, None, "", None]
    assert misfits == {2: r"is 'Zo\xeb\', which cannot be decoded", 4: r"is '\xed\xa0\x80', which cannot be decoded"}
    exact.validate(full=True)


@given(st.lists(st.none() | st.binary(max_size=6) | st.text(max_size=6).map(str.encode)))
def test_text_is_what_its_bytes_spell_or_null(values: list[bytes | None]) -> None:
    exact, misfits = fit(text_of_bytes(*values), pa.string())
    exact.validate(full=True)
    for row, (value, text) in enumerate(zip(values, exact.to_pylist(), strict=True)):
        assert (text is None) == (value is None or row in misfits)
        assert text is None or text.encode() == value


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_slice_of_text_is_taken_for_itself(values: list[str | None]) -> None:
    # Record batches come in slices of larger buffers.
    around = pa.array(["before", *values, "after"], pa.string())
    exact, misfits = fit(around.slice(1, len(values)), pa.string())
    assert (exact.to_pylist(), misfits) == (values, {})


def test_other_types_are_cast_where_that_changes_nothing() -> None:
    day = date(2024, 2, 29)
    assert fit(pa.array([True, None]), pa.bool_())[0].to_pylist() == [True, None]
    assert fit(pa.array([1, -1], pa.int16()), pa.int32())[0].to_pylist() == [1, -1]
    assert fit(pa.array([day]), pa.date32())[0].to_pylist() == [day]
    assert fit(pa.array([timedelta(hours=1)]), pa.duration("us"))[0].to_pylist() == [timedelta(hours=1)]


def test_reasons_of_several_columns_come_together_row_by_row() -> None:
    column = unfit_values_column({"a": {0: "is 3", 2: "is 4"}, "b": {2: "is NaN"}, "c": {}}, 4)
    assert [text and json.loads(text) for text in column.to_pylist()] == [
        {"a": "is 3"},
        None,
        {"a": "is 4", "b": "is NaN"},
        None,
    ]
    assert column.type == pa.string()


def test_where_everything_fits_the_column_says_nothing() -> None:
    column = unfit_values_column({"a": {}, "b": {}}, 3)
    assert (column.type, column.null_count, len(column)) == (pa.string(), 3, 3)
