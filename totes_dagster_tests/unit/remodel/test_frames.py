"""From a frame of the model to a table of exactly the declared schema."""

from datetime import date
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from totes_dagster.remodel.frames import to_frame, to_table

SCHEMA = pa.schema(
    [
        pa.field("payment_id", pa.int32(), nullable=False),
        pa.field("amount", pa.decimal128(10, 2), nullable=False),
        pa.field("note", pa.string()),
    ]
)


def arrow_frame(**columns: pa.Array) -> pd.DataFrame:
    return to_frame(pa.table(columns))


def payments(**columns: pa.Array) -> pd.DataFrame:
    """Payments 11, 12 and 13, with some columns different from usual."""
    usual = {
        "payment_id": pa.array([11, 12, 13], pa.int32()),
        "amount": pa.array([Decimal("1.10"), Decimal("-0.01"), Decimal("99999999.99")], pa.decimal128(10, 2)),
        "note": pa.array(["", None, "ñ"]),
    }
    return arrow_frame(**(usual | columns))


def test_the_table_has_exactly_the_schema_whatever_else_the_frame_holds() -> None:
    frame = payments(more=pa.array([1, 2, 3]))[["more", "note", "amount", "payment_id"]]
    table = to_table(frame, SCHEMA)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [
        {"payment_id": 11, "amount": Decimal("1.10"), "note": ""},
        {"payment_id": 12, "amount": Decimal("-0.01"), "note": None},
        {"payment_id": 13, "amount": Decimal("99999999.99"), "note": "ñ"},
    ]


def test_types_that_hold_the_same_values_are_made_the_schemas_own() -> None:
    frame = payments(
        payment_id=pa.array([11, 12, 13], pa.int64()),
        amount=pa.array([Decimal("1.1000"), Decimal("2.0000"), Decimal("3.0000")], pa.decimal128(20, 4)),
    )
    table = to_table(frame, SCHEMA)
    assert table.schema.equals(SCHEMA)
    assert table.column("amount").to_pylist() == [Decimal("1.10"), Decimal("2.00"), Decimal("3.00")]


def test_a_frame_keeps_the_types_of_its_table() -> None:
    table = pa.table({"day": [date(1, 1, 1), None], "price": [Decimal("0.10"), None], "name": ["", None]})
    frame = to_frame(table)
    assert [dtype.pyarrow_dtype for dtype in frame.dtypes] == table.schema.types
    assert pa.Table.from_pandas(frame, schema=table.schema).equals(table)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("payment_id", pa.array([11, 12, 2**31], pa.int64())),
        ("amount", pa.array([Decimal("1.10"), Decimal("2.20"), Decimal("100000000.00")], pa.decimal128(20, 2))),
        ("amount", pa.array([Decimal("1.1000"), Decimal("2.2000"), Decimal("3.3333")], pa.decimal128(20, 4))),
        ("amount", pa.array(["1.10", "2.20", "three"])),
    ],
    ids=["too large an integer", "too much money", "a fraction of a penny", "a word"],
)
def test_a_value_that_does_not_fit_is_refused_rather_than_changed(column: str, values: pa.Array) -> None:
    with pytest.raises(pa.ArrowInvalid):
        to_table(payments(**{column: values}), SCHEMA)
