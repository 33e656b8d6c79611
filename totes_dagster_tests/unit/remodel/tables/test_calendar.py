"""The calendar: whole years without a gap, and what there is to know about each day."""

from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.remodel.frames import to_frame, to_table
from totes_dagster.remodel.run import remodel_rows, star_schema
from totes_dagster.remodel.tables.calendar import day_of, dim_date, named_days
from totes_dagster_tests.unit.remodel import naive
from totes_dagster_tests.unit.rows import MOMENTS, ingested, rows_of


def calendar(*days: date) -> list[dict[str, object]]:
    series = pd.Series(pd.array(list(days), dtype=pd.ArrowDtype(pa.date32())))
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
def test_the_named_days_are_those_of_stamps_and_text_dates_each_once(table: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(table))
    texts = ["payment_date"] if table == "payment" else ["agreed_delivery_date", "agreed_payment_date"]
    fact = remodel_rows(f"fact_{table}", {table: ingested(table, rows)}).rows
    expected = {row[stamp].date() for row in rows for stamp in ("created_at", "last_updated")}
    expected |= {date.fromisoformat(row[text]) for row in rows for text in texts}
    assert sorted(named_days(to_frame(fact))) == sorted(expected)


@given(st.lists(MOMENTS | st.integers(-(2**62), 2**62) | st.none()))
def test_the_day_of_a_moment_is_its_day_or_none_outside_the_calendar(moments: list[datetime | int | None]) -> None:
    days = day_of(pd.Series(pa.array(moments, pa.timestamp("us")), dtype=pd.ArrowDtype(pa.timestamp("us"))))
    assert days.dtype == pd.ArrowDtype(pa.date32())
    assert pa.array(days, from_pandas=True).to_pylist() == [naive.day_and_time(moment)[0] for moment in moments]
