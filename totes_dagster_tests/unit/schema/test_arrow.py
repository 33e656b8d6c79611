"""The Arrow side of the declarations."""

import pyarrow as pa
import pytest
from sqlalchemy import Column, Integer, LargeBinary

from totes_dagster.schema import totesys
from totes_dagster.schema.arrow import arrow_schema, arrow_type, described
from totes_dagster.schema.registry import STAR_TABLES


def test_arrow_types_hold_what_the_columns_hold_exactly() -> None:
    every = {
        str(column): arrow_type(column)
        for table in (*totesys.SOURCE_TABLES.values(), *STAR_TABLES.values())
        for column in table.columns
    }
    assert {str(type_) for type_ in every.values()} == {
        "int32",
        "int64",
        "bool",
        "string",
        "date32[day]",
        "time64[us]",
        "timestamp[us]",
        "decimal128(10, 2)",
    }
    assert every["payment.payment_amount"] == every["fact_payment.payment_amount"] == pa.decimal128(10, 2)
    assert every["payment.last_updated"] == pa.timestamp("us")
    assert every["fact_payment.last_updated_time"] == pa.time64("us")
    assert every["payment.payment_date"] == pa.string()
    assert every["payment_type.payment_type_name"] == pa.string()
    assert every["fact_payment.payment_date"] == pa.date32()
    assert every["fact_payment.batch"] == pa.int64()
    assert every["fact_payment.payment_id"] == pa.int32()


def test_an_arrow_schema_keeps_the_order_and_says_what_may_be_null() -> None:
    schema = arrow_schema([Column("b", Integer, nullable=True), Column("a", Integer, nullable=False)])
    assert schema == pa.schema([pa.field("b", pa.int32()), pa.field("a", pa.int32(), nullable=False)])


def test_a_type_that_no_declaration_uses_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"picture.*BLOB|picture.*LargeBinary"):
        arrow_type(Column("picture", LargeBinary))


def test_a_schema_is_described_in_words() -> None:
    schema = pa.schema([pa.field("payment_id", pa.int32(), nullable=False), pa.field("note", pa.string())])
    assert described(schema) == "payment_id int32 not null, note string"
