"""Every metric is what the source says, whole and sliced; slices add up; what has no rate is counted, and never 0."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from totes_dagster.errors import DimensionRefusedError
from totes_dagster.metrics.asking import Answer, ask
from totes_dagster.metrics.registry import METRICS
from totes_dagster_tests.integration.metrics.expected import KEYS, NUMBERS, Row, member, rounded, slices
from totes_dagster_tests.integration.metrics.lived import Lived

CASES = [(metric.name, split) for metric in METRICS.values() for split in metric.splits]


def one_currency(metric: str) -> dict[str, str]:
    """What a metric must be restricted to, to be asked for as a whole."""
    return {"currency": "USD"} if METRICS[metric].unit.is_own_currency else {}


def rows_of(lived: Lived, metric: str, where: Mapping[str, object]) -> list[Row]:
    """The expected rows that a metric counts."""
    rows = NUMBERS[metric].rows(lived.expected)
    return [row for row in rows if all(member(row, name)[-1] == value for name, value in where.items())]


def numbers(answer: Answer) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The numbers by slice."""
    members = sum(column.dimension is not None for column in answer.columns)
    found = {row[:members]: row[members:] for row in answer.rows}
    assert len(found) == len(answer.rows)
    return found


def test_every_metric_is_expected() -> None:
    assert list(NUMBERS) == list(METRICS)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_what_the_source_says(lived: Lived, connection: psycopg.Connection, metric: str) -> None:
    where = one_currency(metric)
    answer = ask(connection, "public", metric, where=where)
    assert numbers(answer) == slices(NUMBERS[metric], rows_of(lived, metric, where), ())
    assert len(rows_of(lived, metric, where)) > 0


@pytest.mark.parametrize(("metric", "split"), CASES)
def test_slices_are_what_the_source_says_and_add_up(
    lived: Lived, connection: psycopg.Connection, metric: str, split: str
) -> None:
    where = one_currency(metric)
    whole = ask(connection, "public", metric, where=where)
    answer = ask(connection, "public", metric, by=[split], where=where)
    assert numbers(answer) == slices(NUMBERS[metric], rows_of(lived, metric, where), [split])
    assert answer.unconverted == whole.unconverted
    if METRICS[metric].additive:
        place = len(answer.columns) - len(whole.columns)
        assert sum(row[place] for row in answer.rows if row[place] is not None) == whole.rows[0][0]


QUESTIONS = st.sampled_from(list(METRICS)).flatmap(
    lambda metric: st.tuples(
        st.just(metric),
        st.lists(st.sampled_from(METRICS[metric].splits), unique=True, max_size=3),
        st.lists(st.tuples(st.sampled_from(METRICS[metric].splits), st.integers(0)), max_size=2),
        st.tuples(st.none() | st.integers(0, 400), st.none() | st.integers(0, 400)),
    )
)


@given(QUESTIONS)
def test_any_question_is_answered_as_the_source_says(
    lived: Lived,
    connection: psycopg.Connection,
    question: tuple[str, list[str], list[tuple[str, int]], tuple[int | None, int | None]],
) -> None:
    metric, by, restrictions, (newest, length) = question
    rows = list(NUMBERS[metric].rows(lived.expected))
    where: dict[str, Any] = {}
    for name, choice in restrictions:
        members = sorted({member(row, name) for row in rows if None not in member(row, name)})
        if members:
            # By its key, if it has one: members may share a name.
            where[name] = members[choice % len(members)][0 if name != "weekday" else -1]
    where |= one_currency(metric)
    days = sorted({row["day"] for row in rows})
    until = None if newest is None else days[newest % len(days)]
    since = None if length is None else (until or lived.facts.as_of) - timedelta(days=length)
    counted = [
        row
        for row in rows
        if all(value in member(row, name) for name, value in where.items())
        and (since or date.min) <= row["day"] <= (until or date.max)
    ]
    answer = ask(connection, "public", metric, by=by, since=since, until=until, where=where)
    assert numbers(answer) == slices(NUMBERS[metric], counted, by)


# What the life above must have had, for all this to prove something


def test_the_life_had_all_that_matters(lived: Lived) -> None:
    found = lived.expected
    currencies = Counter(row["currency"] for row in found.sales)
    assert len(currencies) >= 3
    for rows in (found.sales, found.purchases, found.made):
        without = [row["gbp"] is None for row in rows]
        assert 0 < sum(without) < len(rows)
    assert {row["promise"] for row in found.deliveries} == {"kept", "missed", "open", "not known"}
    assert min(day for parcels in lived.facts.shipments.values() for day, _ in parcels) in {
        row["agreed"] for row in found.sales
    }
    assert {0, 1, 7, 8, 30, 31} <= {row["late"] for row in found.open}
    assert {row["ageing"] for row in found.open} == {"not due", "1 to 7 days", "8 to 30 days", "over 30 days"}
    assert {row["payment_type"] for row in (*found.open, *found.made)} == {
        "SALES_RECEIPT",
        "SALES_REFUND",
        "PURCHASE_PAYMENT",
        "PURCHASE_REFUND",
    }
    assert any(row["design"] == "Unknown" for row in found.sales)
    assert any(row["day"] == date(2026, 3, 5) for row in found.made)
    assert any(row["gain"] for row in found.made)
    again = "select count(*) from fact_payment group by payment_id having bool_or(not paid) and bool_or(paid)"
    assert lived.world.ask(again)


def test_open_items_without_a_closing_rate_are_counted_and_not_0(lived: Lived, connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("delete from public.fact_exchange_rate where rate_date >= %s - 7", [lived.facts.as_of])
        answer = ask(connection, "public", "open_receivables", by=["currency"])
    amounts = {currency: (amount, lost) for currency, amount, lost in answer.rows}
    rows = [row for row in lived.expected.open if row["transaction_type"] == "SALE"]
    for currency, (amount, lost) in amounts.items():
        own = [row for row in rows if row["currency"] == currency]
        assert (amount is None, lost) == ((False, 0) if currency == "GBP" else (True, len(own)))
    assert answer.unconverted == sum(row["currency"] != "GBP" for row in rows) > 0


def test_the_closing_rate_is_known_also_after_the_end_of_the_calendar(
    lived: Lived, connection: psycopg.Connection
) -> None:
    rates = [("GBP", date(2040, 1, 3), 0.8), ("USD", date(2040, 1, 2), 1.6), ("USD", date(2039, 12, 20), 99)]
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.execute("update public.load_history set snapshot_at = '2040-01-09 12:00+00'")
        cursor.executemany(
            "insert into public.fact_exchange_rate (quote_code, rate_date, rate, batch) values (%s, %s, %s, 9)", rates
        )
        found = {row[0]: row[1:] for row in ask(connection, "public", "open_payables", by=["currency"]).rows}
    for currency, factor in (("GBP", Fraction(1)), ("USD", Fraction(1, 2)), ("EUR", Fraction(4, 5))):
        rows = [
            row for row in lived.expected.open if (row["transaction_type"], row["currency"]) == ("PURCHASE", currency)
        ]
        amount = sum(-row["sign"] * rounded(Fraction(row["amount"]) * factor, 2) for row in rows)
        assert found[currency] == (amount, 0)


def test_pounds_need_no_rate(lived: Lived, connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("delete from public.rate_on_day")
        answer = ask(connection, "public", "net_sales", by=["currency"])
    found = {currency: (amount, lost) for currency, amount, lost in answer.rows}
    for currency, (amount, lost) in found.items():
        own = [row["amount"] for row in lived.expected.sales if row["currency"] == currency]
        assert (amount, lost) == ((sum(own), 0) if currency == "GBP" else (None, len(own)))


def test_an_answer_says_what_it_is_of(lived: Lived, connection: psycopg.Connection) -> None:
    answer = ask(connection, "public", "net_sales", by=["month", "customer"], where={"currency": "USD"})
    assert [(column.name, column.type, column.dimension) for column in answer.columns] == [
        ("month", "date", "month"),
        ("customer_id", "integer", "customer"),
        ("customer", "text", "customer"),
        ("net_sales", "number", None),
        ("unconverted", "integer", None),
    ]
    assert (answer.unit, answer.by, answer.metric) == ("GBP", ("month", "customer"), METRICS["net_sales"])
    assert (answer.batch, answer.as_of) == (
        lived.world.head(),
        lived.world.ask_one("select max(snapshot_at) from load_history"),
    )
    assert lived.world.ask(answer.sql) == answer.rows
    assert {type(row[3]) for row in answer.rows} <= {Decimal, type(None)}


def test_slices_come_in_the_order_of_their_dimensions(connection: psycopg.Connection) -> None:
    months = [month for month, *_ in ask(connection, "public", "orders", by=["month"]).rows]
    assert months == sorted(months)
    days = [number for number, *_ in ask(connection, "public", "orders", by=["weekday"]).rows]
    assert days == sorted(days)
    overdue = [name for name, *_ in ask(connection, "public", "open_payments", by=["ageing"]).rows]
    assert overdue == ["not due", "1 to 7 days", "8 to 30 days", "over 30 days"]
    both = [
        (overdue.index(name), currency)
        for name, currency, *_ in ask(connection, "public", "open_payments", by=["ageing", "currency"]).rows
    ]
    assert both == sorted(both)


def test_a_transaction_of_the_caller_stays_open(lived: Lived) -> None:
    with psycopg.connect(lived.world.warehouse_url, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        first = ask(connection, "public", "orders")
        with psycopg.connect(lived.world.warehouse_url) as other:
            other.execute("update load_history set snapshot_at = snapshot_at + interval '1 day'")
            other.commit()
            again = ask(connection, "public", "orders")
            other.execute("update load_history set snapshot_at = snapshot_at - interval '1 day'")
    assert (again.as_of, again.rows) == (first.as_of, first.rows)


def test_an_idle_connection_is_idle_again(lived: Lived, connection: psycopg.Connection) -> None:
    ask(connection, "public", "orders")
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    with pytest.raises(DimensionRefusedError):
        ask(connection, "public", "orders", by=["country"])
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


def test_the_unit_of_own_currency_is_the_one_that_is_asked_for(connection: psycopg.Connection) -> None:
    asked = {"metric": "net_sales_in_own_currency", "by": ["currency"]}
    assert ask(connection, "public", **asked).unit == "own currency"  # type: ignore[arg-type]
    assert ask(connection, "public", **asked, where={"currency": "USD"}).unit == "USD"  # type: ignore[arg-type]
    price = ask(connection, "public", "average_price_a_bag_in_own_currency", where={"currency": "USD"})
    assert price.unit == "USD a bag"


def test_keys_and_names_select_the_same_rows(connection: psycopg.Connection) -> None:
    number, name, orders = ask(connection, "public", "orders", by=["customer"]).rows[0]
    for given_ in (number, name, [number], [number, name]):
        assert ask(connection, "public", "orders", where={"customer": given_}).rows == [(orders,)]
    assert set(KEYS) <= {split for metric in METRICS.values() for split in metric.splits}
