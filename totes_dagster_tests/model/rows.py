"""Rows of source tables: made up by hypothesis from the declaration, and put into frames as the lake holds them."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Enum, Integer, Numeric, Table
from sqlalchemy.dialects.postgresql import TIMESTAMP

from totes_dagster.model.frames import to_frame
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.totesys import TABLES

Row = dict[str, Any]

INTEGERS = st.integers(-(2**31), 2**31 - 1)
MONEY = st.integers(-(10**10) + 1, 10**10 - 1).map(lambda pence: Decimal(pence).scaleb(-2))
# Whatever PostgreSQL's text can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
DATES = st.dates()
MOMENTS = st.builds(
    lambda moment, milliseconds: moment.replace(microsecond=0) + timedelta(milliseconds=milliseconds),
    st.datetimes(),
    st.integers(0, 999),
)


def rows_of(table: str, **columns: st.SearchStrategy[Any]) -> Any:
    """Rows of a source table with distinct keys; some columns may be drawn from elsewhere."""
    declared = TABLES[table]
    return st.lists(
        st.fixed_dictionaries({column.name: columns.get(column.name, _values(column)) for column in declared.columns}),
        unique_by=lambda row: row[f"{table}_id"],
        max_size=8,
    )


def _values(column: Column[Any]) -> st.SearchStrategy[Any]:
    match column.type:
        case Integer():
            values: st.SearchStrategy[Any] = INTEGERS
        case Numeric():
            values = MONEY
        case Boolean():
            values = st.booleans()
        case TIMESTAMP():
            values = MOMENTS
        case Enum(enums=names):
            values = st.sampled_from(names)
        case _:
            values = DATES.map(date.isoformat) if column.name.endswith("_date") else TEXTS
    return st.none() | values if column.nullable else values


def frame(table: str, rows: Iterable[Row], *, reverse: bool = False) -> pd.DataFrame:
    """A frame of source rows, with Arrow types and a column that nobody declared; its columns in reverse if asked to.

    What a row leaves out is filled in.
    """
    declared = TABLES[table]
    complete = [{**_defaults(declared), **row, "new_in_the_source": number} for number, row in enumerate(rows)]
    schema = arrow_schema(declared.columns).append(pa.field("new_in_the_source", pa.int64()))
    fields = list(schema)[::-1] if reverse else list(schema)
    return to_frame(pa.Table.from_pylist(complete, schema=pa.schema(fields)))


def _defaults(table: Table) -> Row:
    return {column.name: None if column.nullable else _default(column) for column in table.columns}


def _default(column: Column[Any]) -> Any:
    match column.type:
        case Integer():
            return 1
        case Numeric():
            return Decimal("1.50")
        case Boolean():
            return True
        case TIMESTAMP():
            return datetime(2023, 5, 1, 14, 30, 5, 123000)  # noqa: DTZ001 - as the source has it
        case Enum(enums=names):
            return names[0]
        case _:
            return "2023-05-02" if column.name.endswith("_date") else column.name
