"""The Arrow and the PostgreSQL side of the declarations."""

from collections.abc import Callable

import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import Column, Integer, LargeBinary
from sqlalchemy.schema import CreateTable

from totes_dagster.postgres.types import ddl, sql_type
from totes_dagster.schema import totesys
from totes_dagster.schema.arrow import arrow_schema, arrow_type
from totes_dagster.schema.registry import STAR_TABLES, metadata


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


def test_types_are_written_as_postgresql_writes_them(database: Callable[..., str]) -> None:
    with psycopg.connect(database()) as connection:
        for table in metadata.sorted_tables:
            connection.execute(ddl(CreateTable(table)))
        rows = connection.execute(
            "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid::regclass::text = any (%s) and attnum > 0",
            [list(metadata.tables)],
        ).fetchall()
    assert {(table, column): type_ for table, column, type_ in rows} == {
        (table.name, column.name): sql_type(column) for table in metadata.tables.values() for column in table.columns
    }
