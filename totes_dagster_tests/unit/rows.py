"""Rows of source tables: made up by hypothesis from the declaration, sound or not, and put into tables as the lake has.

What must become of them is said in `naive.py`.
"""

import json
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Enum, Integer, Numeric, String, Table
from sqlalchemy.dialects.postgresql import TIMESTAMP

from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.totesys import SOURCE_TABLES

Row = dict[str, Any]

INTEGERS = st.integers(-(2**31), 2**31 - 1)
MONEY = st.integers(-(10**10) + 1, 10**10 - 1).map(lambda pence: Decimal(pence).scaleb(-2))
# Whatever PostgreSQL's text can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
DATES = st.dates()
MOMENTS = st.datetimes()

SMALL = st.integers(1, 4)
"""Few numbers, so that references meet what they refer to, or just miss it, and keys meet one another."""

CODES = st.sampled_from(["GBP", "USD", "EUR", "XYZ", "eur", "", "zł"])

_TEXTS_WITH_NUL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.just("\x00")
_NO_DATES = st.sampled_from(["", "soon", "2023-02-30", "2023-2-3", "0000-01-01", "10000-01-01", "2023-01-01 ", "\x00"])
# From PostgreSQL's first moment to the last that Arrow can hold, in microseconds; and what is next to the calendar.
_ANY_MOMENTS = (
    MOMENTS
    | st.integers(-210_866_803_200_000_000, 2**63 - 1)
    | st.sampled_from(
        [-62_135_596_800_000_000, -62_135_596_800_000_001, 253_402_300_799_999_999, 253_402_300_800_000_000]
    )
)


def rows_of(table: str, **columns: st.SearchStrategy[Any]) -> Any:
    """Rows of a source table with distinct keys; some columns may be drawn from elsewhere."""
    declared = SOURCE_TABLES[table]
    return st.lists(
        st.fixed_dictionaries({column.name: columns.get(column.name, _values(column)) for column in declared.columns}),
        unique_by=lambda row: row[f"{table}_id"],
        max_size=8,
    )


def source_rows(table: str) -> Any:
    """Sound rows of a source table, of which many refer to one another."""
    close = dict.fromkeys(("address_id", "legal_address_id", "department_id"), SMALL)
    return rows_of(table, **({"currency_code": CODES} if table == "currency" else close))


def any_rows_of(table: str) -> Any:
    """Rows of a source table that kept no constraint: some are sound, keys are repeated, and anything may be missing.

    Some have values that the ingest found unfit; these are null, and `unfit` gives the reasons.
    """
    columns = SOURCE_TABLES[table].columns
    row = st.fixed_dictionaries({column.name: _any_values(column) for column in columns})
    misfit = st.fixed_dictionaries({}, optional={name: st.just("is NaN") for name in columns.keys()})  # noqa: SIM118
    unfit = _seldom(misfit, otherwise=st.just({}))
    return st.lists(st.builds(_with_unfit, row, unfit), max_size=8)


def _with_unfit(row: Row, unfit: dict[str, str]) -> Row:
    return {**row, **dict.fromkeys(unfit), "unfit": unfit}


def _any_values(column: Column[Any]) -> st.SearchStrategy[Any]:
    name, sound = column.name, _values(column)
    if column.primary_key or name in {"legal_address_id", "department_id"}:
        return _seldom(st.none(), otherwise=st.integers(1, 9))
    if name == "currency_code":
        sound = CODES
    odd: st.SearchStrategy[Any] = st.none()
    if name.endswith("_date"):
        odd |= _NO_DATES
    elif isinstance(column.type, TIMESTAMP):
        odd |= _ANY_MOMENTS
    elif isinstance(column.type, String):
        odd |= _TEXTS_WITH_NUL
    return _seldom(odd, otherwise=sound)


def _seldom(odd: st.SearchStrategy[Any], *, otherwise: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """So seldom that a row of twelve columns stands a chance."""
    return st.integers(1, 25).flatmap(lambda number: odd if number == 25 else otherwise)


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


def ingested(table: str, rows: Iterable[Row], *, reverse: bool = False) -> pa.Table:
    """Source rows as the lake holds them, with a column that nobody declared; the columns in reverse if asked to.

    What a row leaves out is filled in. Where a row has an `unfit`, there is a column for it.
    """
    declared = SOURCE_TABLES[table]
    complete = [{**_defaults(declared), **row, "new_in_the_source": number} for number, row in enumerate(rows)]
    # The source may have dropped every constraint.
    fields = [pa.field(field.name, field.type) for field in arrow_schema(declared.columns)]
    fields.append(pa.field("new_in_the_source", pa.int64()))
    table_ = pa.Table.from_pylist(complete, schema=pa.schema(fields[::-1] if reverse else fields))
    if not any("unfit" in row for row in complete):
        return table_
    reasons = [json.dumps(row["unfit"]) if row.get("unfit") else None for row in complete]
    return table_.append_column(UNFIT_VALUES, pa.array(reasons, pa.string()))


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
