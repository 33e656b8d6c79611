"""Days: read from the source's texts, strictly, named by facts, and described by the calendar."""

import re
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from totes_dagster.lake.processed import star_schema
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.spans import span_of
from totes_dagster.remodel.tables.calendar import date_from_text, day_of, dim_date
from totes_dagster_tests.unit.remodel import naive
from totes_dagster_tests.unit.remodel.remodelling import sound_rows
from totes_dagster_tests.unit.rows import MOMENTS, TEXTS, rows_of


def calendar(*days: date) -> list[dict[str, object]]:
    series = pd.Series(days, dtype=pd.ArrowDtype(pa.date32()))
    return to_table(dim_date(series), star_schema("dim_date")).to_pylist()


@given(day=st.dates(), years=st.integers(0, 5))
def test_the_calendar_is_what_a_plain_computation_says(day: date, years: int) -> None:
    later = date(min(day.year + years, 9999), 7, 1)
    assert calendar(later, day) == naive.dim_date([day, later])


def test_the_calendar_has_whole_years_without_a_gap() -> None:
    days = [row["date_id"] for row in calendar(date(2023, 6, 5), date(2021, 12, 31), date(2022, 1, 1))]
    assert days == [date(2021, 1, 1) + timedelta(days=number) for number in range(3 * 365)]


@pytest.mark.parametrize(("year", "days"), [(1900, 365), (2000, 366), (2023, 365), (2024, 366), (2100, 365)])
def test_leap_years_have_a_29th_of_february(year: int, days: int) -> None:
    rows = calendar(date(year, 8, 1))
    assert len(rows) == days
    assert [row["date_id"] for row in rows if (row["month"], row["day"]) == (2, 29)] == (
        [date(year, 2, 29)] if days == 366 else []
    )


@pytest.mark.parametrize(
    ("day", "known"),
    [
        (date(1, 1, 1), (1, "Monday", "January", 1)),
        (date(1899, 12, 31), (7, "Sunday", "December", 4)),
        (date(1970, 1, 1), (4, "Thursday", "January", 1)),
        (date(2024, 2, 29), (4, "Thursday", "February", 1)),
        (date(2024, 9, 30), (1, "Monday", "September", 3)),
        (date(9999, 12, 31), (5, "Friday", "December", 4)),
    ],
    ids=str,
)
def test_a_day_has_its_iso_number_its_english_names_and_its_quarter(
    day: date, known: tuple[int, str, str, int]
) -> None:
    (row,) = [row for row in calendar(day) if row["date_id"] == day]
    assert (row["day_of_week"], row["day_name"], row["month_name"], row["quarter"]) == known
    assert row["day_of_week"] == day.isoweekday()


@pytest.mark.parametrize("table", ["sales_order", "purchase_order", "payment"])
@given(data=st.data())
def test_the_span_of_a_fact_is_from_its_first_to_its_last_day(table: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(table))
    texts = ["payment_date"] if table == "payment" else ["agreed_delivery_date", "agreed_payment_date"]
    fact = sound_rows(f"fact_{table}", rows)
    expected = {row[stamp].date() for row in rows for stamp in ("created_at", "last_updated")}
    expected |= {date.fromisoformat(row[text]) for row in rows for text in texts}
    assert span_of(fact) == ((min(expected), max(expected)) if expected else None)


@given(st.lists(MOMENTS | st.integers(-(2**62), 2**62) | st.none()))
def test_the_day_of_a_moment_is_its_day_or_none_outside_the_calendar(moments: list[datetime | int | None]) -> None:
    days = day_of(pd.Series(pa.array(moments, pa.timestamp("us")), dtype=pd.ArrowDtype(pa.timestamp("us"))))
    assert days.dtype == pd.ArrowDtype(pa.date32())
    assert pa.array(days, from_pandas=True).to_pylist() == [naive.day_and_time(moment)[0] for moment in moments]


# Dates from text: strictly YYYY-MM-DD, strictly of the calendar


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
    assert parsed(*(day.isoformat() if day else None for day in dates)) == dates


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
