"""Questions that would be answered with a wrong number are refused, by a message that says what to ask instead."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import (
    CurrenciesMixedError,
    DimensionRefusedError,
    DimensionValueError,
    MetricError,
    MetricUnknownError,
)
from totes_dagster.metrics.dimensions import DIMENSIONS
from totes_dagster.metrics.members import member_of
from totes_dagster.metrics.question import question
from totes_dagster.metrics.registry import METRICS
from totes_dagster.metrics.statement import statement_of

OF_SALES = "year, quarter, month, week, day, weekday, hour, currency, department, staff, design, delivered_to, "

REFUSED: Mapping[str, tuple[dict[str, Any], type[MetricError], str]] = {
    "a metric that there is not": (
        {"metric": "turnover"},
        MetricUnknownError,
        "There is no metric turnover. The metrics are net_sales, net_sales_in_own_currency, orders, ",
    ),
    "a dimension that there is not": (
        {"metric": "orders", "by": ["colour"]},
        DimensionRefusedError,
        f"There is no dimension colour. orders may be split by {OF_SALES}customer_of, customer.",
    ),
    "a dimension of another metric": (
        {"metric": "orders", "by": ["month", "ageing"]},
        DimensionRefusedError,
        f"orders may not be split by ageing or restricted by it. orders may be split by {OF_SALES}",
    ),
    "a restriction of another metric": (
        {"metric": "orders", "where": {"supplier": "Acme"}},
        DimensionRefusedError,
        "orders may not be split by supplier or restricted by it. ",
    ),
    "just a country": (
        {"metric": "net_sales", "by": ["country"]},
        DimensionRefusedError,
        "A country can be that of several things. Say which: delivered_to (country of the address to deliver to) or "
        "customer_of (country of the customer's legal address). net_sales may be split by ",
    ),
    "just a country of a purchase": (
        {"metric": "spend", "where": {"country": "France"}},
        DimensionRefusedError,
        "Say which: delivered_to (country of the address to deliver to) or supplier_of ",
    ),
    "a sum over currencies": (
        {"metric": "spend_in_own_currency", "by": ["month"]},
        CurrenciesMixedError,
        "spend_in_own_currency has amounts in several currencies, which cannot be added up. Split it by currency, "
        "restrict it to one currency, or ask for spend, which is in pounds sterling.",
    ),
    "an average over currencies": (
        {"metric": "average_price_a_bag_in_own_currency"},
        CurrenciesMixedError,
        "restrict it to one currency, or ask for average_price_a_bag, which is in pounds sterling.",
    ),
    "a sum over two currencies": (
        {"metric": "spend_in_own_currency", "where": {"currency": ["USD", "EUR"]}},
        CurrenciesMixedError,
        "cannot be added up",
    ),
    "no day": (
        {"metric": "orders", "where": {"day": "yesterday"}},
        DimensionValueError,
        "day cannot be yesterday: that is not a date: write 2026-01-31, or 2026-01 for a month.",
    ),
    "no hour": ({"metric": "orders", "where": {"hour": "noon"}}, DimensionValueError, "that is not a number."),
    "no day of the week": (
        {"metric": "orders", "where": {"weekday": "Mon"}},
        DimensionValueError,
        "weekday cannot be Mon. It is Monday, Tuesday, ",
    ),
    "no member": ({"metric": "orders", "where": {"currency": []}}, DimensionValueError, "Give at least one member of "),
    "a null character": ({"metric": "orders", "where": {"design": "a\0b"}}, DimensionValueError, "null character"),
    "a period that ends before it begins": (
        {"metric": "orders", "since": date(2026, 2, 1), "until": date(2026, 1, 31)},
        DimensionValueError,
        "The first day, 2026-02-01, is after the last day, 2026-01-31. Exchange them.",
    ),
}


@pytest.mark.parametrize(("asked", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered_is_refused(asked: dict[str, Any], error: type[MetricError], message: str) -> None:
    with pytest.raises(error) as refused:
        question(**asked)
    assert message in str(refused.value)


@pytest.mark.parametrize("where", [{"currency": "USD"}, {"currency": ["USD", "USD"]}], ids=str)
def test_one_currency_can_be_added_up(where: dict[str, Any]) -> None:
    assert question("spend_in_own_currency", where=where).where[0][1][0] == "USD"
    assert question("spend_in_own_currency", by=["month", "currency"])


@pytest.mark.parametrize(
    ("dimension", "given_", "member"),
    [
        ("month", "2026-05", date(2026, 5, 1)),
        ("month", "2026-05-17", date(2026, 5, 1)),
        ("month", date(2026, 5, 17), date(2026, 5, 1)),
        ("quarter", "2026-12-31", date(2026, 10, 1)),
        ("week", "2026-01-01", date(2025, 12, 29)),
        ("day", "2026-01-01", date(2026, 1, 1)),
        ("year", "2026", 2026),
        ("hour", 7, 7),
        ("customer", 17, 17),
        ("customer", "17", "17"),
        ("currency", None, None),
        ("weekday", 3, 3),
    ],
)
def test_members_are_what_their_dimension_has(dimension: str, given_: Any, member: Any) -> None:
    assert member_of(DIMENSIONS[dimension], given_) == member


@given(st.dates(), st.sampled_from(["quarter", "month", "week", "day"]))
def test_a_period_is_told_by_any_of_its_days(day: date, period: str) -> None:
    first = member_of(DIMENSIONS[period], day)
    assert isinstance(first, date)
    assert timedelta(0) <= day - first < timedelta(days={"quarter": 92, "month": 31, "week": 7, "day": 1}[period])
    assert member_of(DIMENSIONS[period], first) == first


@given(st.text(), st.text())
def test_values_are_quoted(design: str, schema: str) -> None:
    if "\0" in design + schema or not schema:
        return
    statement = statement_of(question("orders", where={"design": design}), schema).as_string(None)
    literal = "'" + design.replace("'", "''") + "'"
    assert literal in statement or "\\" in design
    assert '"' + schema.replace('"', '""') + '".' in statement


def test_a_dimension_that_is_named_twice_counts_once() -> None:
    assert question("orders", by=["month", "month"]) == question("orders", by=["month"])
    assert list(METRICS) == [metric.name for metric in METRICS.values()]
