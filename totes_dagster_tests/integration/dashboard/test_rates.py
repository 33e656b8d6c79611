"""Amounts without a rate are missing and counted on every page, and the newest rates are those of the newest batch."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import psycopg

from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.reading import read_pages
from totes_dagster.dashboard.site import PAGES
from totes_dagster_tests.integration.metrics.expected import rounded
from totes_dagster_tests.world import World

IN_DOLLARS = "(select currency_id from currency where currency_code = 'USD')"


def answers(world: World) -> dict[str, dict[str, Any]]:
    """The rows of all answers, by page and question."""
    pages = read_pages(world.platform.warehouse, [(page, Filters()) for page in PAGES.values()])
    return {data.page.name: {name: table.rows for name, table in data.tables.items()} for data in pages}


def test_no_amount_is_0_because_there_is_no_rate(world: World) -> None:
    (orders, purchases, payments, opened) = (
        world.ask_one(f"select count(*) from {rows}")
        for rows in (
            "current_sales_order",
            "current_purchase_order",
            "current_payment where paid",
            "current_payment where not paid",
        )
    )
    assert min(orders, purchases, payments, opened) > 0
    world.change(*(f"update {table} set currency_id = {IN_DOLLARS}" for table in ("sales_order", "purchase_order")))
    world.change(f"update payment set currency_id = {IN_DOLLARS}")
    world.refresh()
    with psycopg.connect(world.warehouse_url) as connection:
        connection.execute(
            "insert into fact_sales_target (month, department_name, amount_gbp, batch) "
            "select date_trunc('month', created_date)::date, department_name, 100, 1 "
            "from current_sales_order join dim_staff on staff_id = sales_staff_id group by 1, 2"
        )
    shown = answers(world)
    amounts = {
        ("sales", "by-month"): ("net_sales", orders),
        ("sales", "constant-rates"): ("booked", orders),
        ("sales", "targets"): ("sold", orders),
        ("purchases", "spend"): ("spend", purchases),
        ("payments", "ageing"): ("sales", opened),
        ("payments", "exchange"): ("gain", payments),
    }
    for (page, question), (amount, count) in amounts.items():
        rows = shown[page][question]
        assert {row[amount] for row in rows} == {None}, question
        assert sum(row["unconverted"] for row in rows) == count, question
    assert {row["constant"] for row in shown["sales"]["constant-rates"]} == {None}
    assert {row["reached"] for row in shown["sales"]["targets"]} == {None}
    assert {row["net"] for row in shown["payments"]["to-come"]} <= {None}
    *_, newest = shown["history"]["as-known"]
    assert (newest["orders"], newest["unconverted"], newest["net_sales"]) == (orders, orders, None)
    figures = [shown[page]["headline"][0] for page in ("sales", "purchases", "payments")]
    assert [(row["unconverted"]) for row in figures] == [orders, purchases, opened]
    assert {figures[0]["net_sales"], figures[0]["a_bag"], figures[1]["spend"], figures[2]["to_receive"]} == {None}


def test_the_newest_rates_are_known_also_after_the_end_of_the_calendar(world: World) -> None:
    world.change(f"update sales_order set currency_id = {IN_DOLLARS} where currency_id <> {IN_DOLLARS}")
    world.refresh()
    amounts = world.ask(
        "select date_trunc('month', created_date)::date, units_sold * unit_price from current_sales_order order by 1"
    )
    rates = [
        ("GBP", date(2040, 1, 3), 0.8, 1, False),
        ("USD", date(2040, 1, 2), 1.5, 1, False),
        ("USD", date(2040, 1, 2), 1.6, 2, False),  # revised
        ("USD", date(2040, 1, 5), 99, 1, False),
        ("USD", date(2040, 1, 5), 99, 2, True),  # withdrawn
        ("USD", date(2040, 1, 10), 99, 1, False),  # of a later day
    ]
    with psycopg.connect(world.warehouse_url) as connection, connection.cursor() as cursor:
        cursor.execute("update load_history set snapshot_at = '2040-01-09 12:00+00'")
        cursor.executemany(
            "insert into fact_exchange_rate (quote_code, rate_date, rate, batch, is_deleted) "
            "values (%s, %s, %s, %s, %s)",
            rates,
        )
        cursor.execute(
            "insert into rate_on_day (date_id, currency_id, currency_code, per_eur, gbp_per_eur, rate_date) "
            "select distinct created_date, currency_id, 'USD', 1, 1, created_date from current_sales_order"
        )
    expected: dict[date, Decimal] = {}
    for month, amount in amounts:
        expected[month] = expected.get(month, Decimal(0)) + rounded(Fraction(amount) / 2, 2)
    rows = answers(world)["sales"]["constant-rates"]
    assert {row["month"]: row["constant"] for row in rows} == expected
    assert not any(row["unconverted"] for row in rows)
