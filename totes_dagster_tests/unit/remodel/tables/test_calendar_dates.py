"""Dates from the source's texts: strictly YYYY-MM-DD, strictly of the calendar."""

import re
from datetime import date

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from totes_dagster.remodel.tables.calendar import date_from_text
from totes_dagster_tests.unit.rows import TEXTS


def parsed(*texts: str | None) -> list[date | None]:
    dates = date_from_text(pd.Series(list(texts), dtype=pd.ArrowDtype(pa.string())))
    assert dates.dtype == pd.ArrowDtype(pa.date32())
    return pa.array(dates, from_pandas=True).to_pylist()


def date_or_none(text: str) -> date | None:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@given(st.lists(st.none() | st.dates()))
def test_every_date_there_is_is_read_and_nulls_stay(dates: list[date | None]) -> None:
    assert parsed(*(day and day.isoformat() for day in dates)) == dates


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-30",
        "2023-02-29",
        "1900-02-29",
        "2023-13-01",
        "2023-00-10",
        "2023-04-31",
        "2023-2-3",
        "23-02-03",
        " 2023-01-01",
        "2023-01-01 ",
        "2023-01-01\n",
        "2023-01-01T00:00:00",
        "2023-01-01 00:00",
        "20230101",
        "2023/01/01",
        "01-02-2023",
        "2023-W01-1",
        "10000-01-01",
        "+2023-01-01",
        "-0001-01-01",
        "0000-01-01",
        "\uff12023-01-01",
        "today",
        "",
    ],
)
def test_a_text_that_is_no_date_becomes_null_and_those_beside_it_their_dates(text: str) -> None:
    assert parsed("2023-01-01", text, "2023-01-02") == [date(2023, 1, 1), None, date(2023, 1, 2)]


@given(TEXTS | st.from_regex(r"\d{3,5}-\d{1,2}-\d{1,2}", fullmatch=True))
@example("2024-02-29")
def test_a_text_is_read_as_the_date_that_it_spells_or_not_at_all(text: str) -> None:
    assert parsed(text) == [date_or_none(text)]
