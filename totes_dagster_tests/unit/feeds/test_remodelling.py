"""Remodelling the rows of feeds, one for one, but for rates that jump."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.feeds.declared import EXCHANGE_RATE, SHIPMENT
from totes_dagster.feeds.files import QUARANTINE, read_file
from totes_dagster.feeds.remodel import FeedRows, fact_schema, quarantine_schema, remodel_rows

FIRST = date(2026, 11, 2)


def rates(*series: float, quote: str = "USD") -> list[dict[str, Any]]:
    """The rates of days in a row."""
    return [
        {"date": str(FIRST + timedelta(days)), "base": "EUR", "quote": quote, "rate": str(rate)}
        for days, rate in enumerate(series)
    ]


def remodelled(rows: list[dict[str, Any]]) -> FeedRows:
    read = read_file(EXCHANGE_RATE, "a.json", [json.dumps(rows).encode()])
    found = remodel_rows(EXCHANGE_RATE, read.rows, read.quarantined)
    assert found.rows.schema == fact_schema(EXCHANGE_RATE)
    assert found.quarantined.schema == quarantine_schema()
    assert found.rows.num_rows + found.quarantined.num_rows == len(rows)
    return found


def doubted(rows: list[dict[str, Any]]) -> list[int]:
    return [line - 1 for line in remodelled(rows).quarantined.column("line").to_pylist()]


@pytest.mark.parametrize(
    ("series", "positions"),
    [
        ([], []),
        ([1], []),
        ([1, 1.2, 1.44], []),
        ([1, 1.21], [1]),
        ([1, 0.8], []),
        ([1, 0.79], [1]),
        ([1, 10, 1], [1]),
        ([1, 1, 10, 10], []),  # it stays
        ([1, 1, 10, 10, 1], [4]),  # and is gone again
        ([1, 1, 10, 11, 12], []),
        ([10, 1, 1], [0]),
        ([1, 10, 10], [0]),  # which looks the same
        ([1, 10], [1]),
        ([1, 10, 0.1, 1], [1, 2]),
    ],
)
def test_a_rate_that_jumps_is_doubted_unless_another_confirms_it(series: list[float], positions: list[int]) -> None:
    assert doubted(rates(*series)) == positions


def test_a_doubted_rate_is_set_aside_with_what_it_is_about_and_why() -> None:
    (row,) = remodelled(rates(1, 2.5, 1)).quarantined.to_pylist()
    assert row == {
        "path": "a.json",
        "line": 2,
        "text": "quote_code USD, rate_date 2026-11-03, rate 2.50000000",
        "reason": "USD is 2.5 on 2026-11-03, more than 20 % off 1, which is the rate before it, and no rate after it "
        "confirms it",
        "key": "USD 2026-11-03",
    }


@given(st.data())
def test_currencies_and_the_order_of_rows_make_no_difference(data: st.DataObject) -> None:
    numbers = st.lists(st.sampled_from([1, 1.1, 1.5, 3, 10]), max_size=6)
    series = {quote: data.draw(numbers) for quote in ("USD", "GBP", "JPY")}
    ordered = [row for quote, each in series.items() for row in rates(*each, quote=quote)]
    alone = {
        (quote, str(FIRST + timedelta(position)))
        for quote, each in series.items()
        for position in doubted(rates(*each, quote=quote))
    }
    shuffled = data.draw(st.permutations(ordered))
    assert {(shuffled[position]["quote"], shuffled[position]["date"]) for position in doubted(shuffled)} == alone


@given(st.lists(st.sampled_from([1, 1.1, 1.3, 2, 5]), max_size=8))
def test_a_rate_after_the_first_that_is_believed_is_doubted_if_it_is_near_neither_that_nor_the_next(
    series: list[float],
) -> None:
    numbers = [Decimal(str(rate)) for rate in series]
    found = doubted(rates(*series))
    believed = [position for position in range(len(series)) if position not in found]
    assert bool(believed) == bool(series)
    for position in range(believed[0] + 1, len(series)) if believed else ():
        near = [numbers[max(each for each in believed if each < position)], *numbers[position + 1 : position + 2]]
        is_near = any(abs(numbers[position] / other - 1) <= Decimal("0.2") for other in near)
        assert is_near == (position in believed)


def test_each_file_is_judged_alone() -> None:
    first, second = (
        read_file(EXCHANGE_RATE, path, [json.dumps(rates(*series)).encode()]).rows
        for path, series in (("a", [1, 1]), ("b", [5, 5]))
    )
    found = remodel_rows(EXCHANGE_RATE, pa.concat_tables([first, second]), QUARANTINE.empty_table())
    assert found.quarantined.num_rows == 0


def test_the_day_of_a_delivery_is_that_in_utc_also_at_the_ends_of_time() -> None:
    moments = ["0001-01-01T00:00Z", "9999-12-31T23:59:59.999999Z", "2026-11-02T00:30+01:00", "1969-12-31T23:59:59.9Z"]
    lines = [json.dumps({"sales_order_id": 1, "delivered_at": moment, "units": 1}) for moment in moments]
    read = read_file(SHIPMENT, "a", ["\n".join(lines).encode()])
    rows = remodel_rows(SHIPMENT, read.rows, read.quarantined).rows
    assert rows.column("delivered_date").to_pylist() == [date.min, date.max, date(2026, 11, 1), date(1969, 12, 31)]
    assert rows.column("delivered_at").to_pylist() == read.rows.column("delivered_at").to_pylist()
