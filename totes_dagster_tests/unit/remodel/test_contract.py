"""The contract of the star tables: which rows break it, and where."""

from typing import Any

import pandas as pd
import pandera.errors
import pyarrow as pa
import pytest
from sqlalchemy import Table

from totes_dagster.lake.processed import star_schema
from totes_dagster.remodel.contract import breaches_of
from totes_dagster.remodel.frames import to_frame
from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import natural_key_of, remodelled_columns
from totes_dagster_tests.specification import STAR_TABLES as SPECIFIED
from totes_dagster_tests.unit.manifests import star_rows

STARS = [star for star in STAR_TABLES.values() if star.name != "dim_date"]
every_star = pytest.mark.parametrize("star", STARS, ids=lambda star: star.name)


def rows(star: Table, *rows: dict[str, Any]) -> pd.DataFrame:
    """Sound rows of a star table, but for what is said of them."""
    schema = pa.schema([field.with_nullable(True) for field in star_schema(star.name)])
    usual = star_rows(star.name, *({natural_key_of(star): number} for number in range(len(rows)))).to_pylist()
    return to_frame(pa.Table.from_pylist([before | row for before, row in zip(usual, rows, strict=True)], schema))


@every_star
def test_sound_rows_break_nothing(star: Table) -> None:
    assert breaches_of(star, rows(star, {}, {}, {})) == {}
    assert breaches_of(star, rows(star)) == {}


@every_star
def test_a_null_breaks_every_column_that_must_have_a_value(star: Table) -> None:
    for column in remodelled_columns(star):
        found = breaches_of(star, rows(star, {}, {column.name: None}, {}))
        allowed = column.name in SPECIFIED[star.name].nullable
        assert found == ({} if allowed else {1: [(column.name, "null")]})


@every_star
def test_rows_that_share_a_key_break_the_contract_all_of_them(star: Table) -> None:
    key = natural_key_of(star)
    found = breaches_of(star, rows(star, {key: 7}, {key: 8}, {key: 7}, {key: 7}))
    assert found == {place: [(key, "repeated")] for place in (0, 2, 3)}


@every_star
def test_text_with_a_nul_breaks_the_contract(star: Table) -> None:
    for column in remodelled_columns(star):
        if arrow_type(column) == pa.string():
            found = breaches_of(star, rows(star, {column.name: "a\x00b"}, {column.name: "ab\\0"}, {column.name: ""}))
            assert found == {0: [(column.name, "nul")]}


def test_a_row_is_told_of_with_all_that_is_wrong_with_it() -> None:
    star = STAR_TABLES["dim_design"]
    found = breaches_of(star, rows(star, {"design_name": None, "file_name": "\x00"}, {"file_location": None}))
    assert {place: sorted(breaches) for place, breaches in found.items()} == {
        0: [("design_name", "null"), ("file_name", "nul")],
        1: [("file_location", "null")],
    }


def test_rows_are_told_by_their_place_whatever_index_the_frame_has() -> None:
    star = STAR_TABLES["dim_design"]
    frame = rows(star, {}, {"design_name": None}).set_index(pd.Index([70, 70]))
    assert breaches_of(star, frame) == {1: [("design_name", "null")]}


@pytest.mark.parametrize("type_", [pa.int64(), pa.float64(), pa.string(), pa.decimal128(12, 2)], ids=str)
def test_another_type_is_a_fault_of_the_function_and_of_no_row(type_: pa.DataType) -> None:
    star = STAR_TABLES["fact_sales_order"]
    frame = rows(star, {}, {"unit_price": None})
    frame["units_sold"] = frame["units_sold"].astype(pd.ArrowDtype(type_))
    with pytest.raises(pandera.errors.SchemaErrors, match="units_sold"):
        breaches_of(star, frame)


def test_a_column_that_is_missing_is_a_fault_of_the_function() -> None:
    star = STAR_TABLES["fact_sales_order"]
    with pytest.raises(pandera.errors.SchemaErrors, match="units_sold"):
        breaches_of(star, rows(star, {}).drop(columns="units_sold"))
