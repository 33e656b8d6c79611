"""Rows that are encoded for binary COPY arrive as they are, whatever their values."""

from datetime import date, time
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.binary_copy import encoded
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.bookkeeping import quarantine
from totes_dagster.schema.registry import STAR_TABLES

TYPES: dict[pa.DataType, tuple[str, st.SearchStrategy[Any]]] = {
    pa.int32(): ("integer", st.integers(-(2**31), 2**31 - 1)),
    pa.int64(): ("bigint", st.integers(-(2**63), 2**63 - 1)),
    pa.bool_(): ("boolean", st.booleans()),
    pa.date32(): ("date", st.dates(date.min, date.max)),
    pa.time64("us"): ("time", st.times()),
    pa.string(): ("varchar", st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    pa.decimal128(10, 2): ("numeric(10, 2)", st.decimals(-99_999_999, 99_999_999, places=2)),
}
"""The types of the warehouse's columns: PostgreSQL's name, and values."""

LIMITS: dict[pa.DataType, list[Any]] = {
    pa.date32(): [date.min, date(1999, 12, 31), date(2000, 1, 1), date.max],
    pa.time64("us"): [time.min, time.max],
    pa.decimal128(10, 2): [Decimal(n).scaleb(-2) for n in (0, 1, -1, 10, 9_999, 10_000, 10**10 - 1, 1 - 10**10)],
    pa.string(): ["", "\\N", "\t\n", "😀", "x" * 100_000],
}


def arrived(connection: psycopg.Connection, rows: pa.Table) -> list[object]:
    """The values of a table with one column, after a round trip."""
    type_, _ = TYPES[rows.schema.field(0).type]
    connection.execute(sql.SQL("create temporary table t (n serial, v {}) on commit drop").format(sql.SQL(type_)))
    with connection.cursor() as cursor:
        with cursor.copy("copy t (v) from stdin (format binary)") as copy:
            for piece in encoded(rows):
                copy.write(piece)
        assert cursor.rowcount == rows.num_rows
    values = [value for (value,) in connection.execute("select v from t order by n")]
    connection.rollback()
    return values


def test_these_are_the_types_of_the_warehouse() -> None:
    assert set(TYPES) == {
        field.type for table in (*STAR_TABLES.values(), quarantine) for field in arrow_schema(table.columns)
    }


@pytest.mark.parametrize("type_", TYPES, ids=str)
@given(data=st.data())
def test_values_arrive_as_they_are(postgres: EmbeddedPostgres, type_: pa.DataType, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.none() | TYPES[type_][1], max_size=8))
    values = [*drawn, *LIMITS.get(type_, [])]
    with psycopg.connect(postgres.url()) as connection:
        assert arrived(connection, pa.table({"v": pa.array(values, type_)})) == values


def test_rows_of_many_batches_and_of_none_arrive(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url()) as connection:
        for values in (list(range(20_000)), []):
            rows = pa.table({"v": pa.chunked_array([values, values], pa.int32())})
            assert arrived(connection, rows) == values + values
