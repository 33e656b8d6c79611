"""A company that has lived for a while, its warehouse, and the rates, shipments and targets that feeds have brought."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest

from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Action, NothingToActOnError, Simulator
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.rates import keep_rates
from totes_dagster_tests.integration.metrics.expected import Expected, Facts, expected
from totes_dagster_tests.world import World

ROUNDS = 8
FATES = (
    Action.ORDER_DELETED,
    Action.ORDER_BEFORE_DESIGN,
    Action.PAYMENT_BEFORE_ORDER,
    Action.NEW_CURRENCY,
    Action.ORDER_EDITED_SILENTLY,
    Action.PAYMENT_PAID,
    Action.ORDER_RESTORED,
    Action.DEPARTMENT_EDITED,
)
"""What happens once in each life, besides what comes by chance."""

ODDITIES = (
    "update sales_order set design_id = 1000000 where sales_order_id % 50 = 3",
    # Made, withdrawn, and made again another day; made, and edited later; refunds; withdrawn for good.
    "update payment set paid = true, last_updated = '2026-01-05 10:00' where payment_id % 10 = 1",
    "update payment set paid = false, last_updated = '2026-02-05 10:00' where payment_id % 20 = 1",
    "update payment set paid = true, last_updated = '2026-03-05 10:00' where payment_id % 40 = 1",
    "update payment set payment_amount = payment_amount + 1, last_updated = '2026-04-05 10:00' "
    "where payment_id % 10 = 1",
    # Noted days after the order; due on the days on which another ageing begins.
    "update payment set created_at = created_at + interval '3 days' where payment_id % 7 = 2",
    "update payment set paid = false, payment_date = "
    "((now() at time zone 'UTC')::date - (array[0, 1, 7, 8, 30, 31])[1 + payment_id % 6])::text "
    "where payment_id between 100 and 111",
    "update payment set payment_type_id = payment_type_id + 1 where payment_id % 13 = 1 and payment_type_id in (1, 3)",
)

AT_LAST = (
    # Larger, and to be delivered to another country than agreed at first.
    "update sales_order set units_sold = units_sold + 1, agreed_delivery_location_id = "
    "(select min(other.address_id) from address as other join address as first "
    "on first.address_id = agreed_delivery_location_id and first.country <> other.country) "
    "where sales_order_id % 17 = 4",
    # Due at the beginning, at the end, and after the end of the next 30 days.
    "update payment set paid = false, payment_date = "
    "((now() at time zone 'UTC')::date + (array[0, 30, 31])[1 + payment_id % 3])::text "
    "where payment_id between 90 and 95",
)


@dataclass(frozen=True)
class Lived:
    """A company's warehouse, and what must be in it."""

    world: World
    facts: Facts
    expected: Expected


def lives(quick: int, *, slow: Sequence[int]) -> list[Any]:
    """Numbers of lives as parameters of a fixture: one for all runs, others if slow tests are run too."""
    return [quick, *(pytest.param(life, marks=pytest.mark.slow) for life in slow)]


def live(world: World, life: int, orders: int) -> Lived:
    """Let a company live, refreshing meanwhile; then bring rates, shipments and targets."""
    facts, rng = Facts(), Random(life)
    seed(world.source_url, orders=orders, seed=life, enforced=False)

    def refresh() -> None:
        world.refresh()
        facts.note(world.source_url, world.head())

    refresh()
    with Simulator(world.source_url, seed=life, harsh=True) as simulator:
        for number in range(ROUNDS):
            with suppress(NothingToActOnError):
                simulator.perform(FATES[number])
            for _ in range(5):
                simulator.step()
            if number < len(ODDITIES):
                with suppress(psycopg.errors.LockNotAvailable):
                    world.change("set local lock_timeout = '2s'", ODDITIES[number])
            refresh()
    world.change(*AT_LAST)
    refresh()
    moment: datetime = world.ask_one("select max(snapshot_at) at time zone 'UTC' from load_history")
    facts.as_of = moment.date()
    _bring_rates(world, facts, rng, life)
    _bring_shipments(world, facts, rng)
    _bring_targets(world, facts, rng)
    return Lived(world, facts, expected(world.source_url, facts))


def _bring_rates(world: World, facts: Facts, rng: Random, life: int) -> None:
    """Rates of working days, with a hole of three weeks, some revised; those of the dollar begin late.

    In every second life, those of the dollar have ended, so that it cannot be converted today.
    """
    first: date = world.ask_one("select min(created_date) from fact_sales_order")
    days = [first + timedelta(days=number) for number in range((facts.as_of - first).days - 1)]
    hole = set(days[60:81])
    versions: list[tuple[str, date, Decimal, int]] = []
    dollars_end = -20 if life % 2 == 0 else None
    for currency, begins, ends, about in (
        ("GBP", 0, None, 0.86),
        ("USD", 30, dollars_end, 1.1),
        ("CHF", 0, None, 0.95),
    ):
        for day in days[begins:ends]:
            if day.weekday() < 5 and day not in hole:
                revisions = 2 if rng.random() < 0.2 else 1
                for batch in range(1, revisions + 1):
                    rate = Decimal(f"{about * rng.uniform(0.9, 1.1):.8f}")
                    versions.append((currency, day, rate, batch))
                    facts.rates.setdefault(currency, {})[day] = rate
    rng.shuffle(versions)
    with psycopg.connect(world.warehouse_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into fact_exchange_rate (quote_code, rate_date, rate, batch) values (%s, %s, %s, %s)", versions
        )
    warehouse = world.platform.warehouse
    with warehouse.database.connect() as loading, LoadTransaction.begin(loading, warehouse) as transaction:
        keep_rates(transaction)
        transaction.commit()


def _bring_shipments(world: World, facts: Facts, rng: Random) -> None:
    """Deliveries of most orders, in up to three parts; some corrected, some withdrawn, two of unknown orders.

    The first is on a day on which an order was to be delivered.
    """
    orders = world.ask(
        "select sales_order_id, units_sold, agreed_delivery_date from current_sales_order order by agreed_delivery_date"
    )
    rows: list[tuple[int, datetime, date, int, bool, int]] = []
    for order, units, agreed in [*orders[len(orders) // 10 :], (10**6, 5, facts.as_of)]:
        parts = rng.choice([0, 1, 1, 1, 2, 3])
        for part in range(parts):
            day = agreed + timedelta(days=rng.randint(-4, 1) + 2 * part)
            if day > facts.as_of:
                continue
            at = datetime.combine(day, time(9 + part))
            bags = -(-units // parts) - (rng.random() < 0.1)
            fate = rng.random()
            if fate < 0.1:
                rows.append((order, at, day, bags + 7, False, 1))
            rows.append((order, at, day, bags, False, 2))
            if 0.1 <= fate < 0.15:
                rows.append((order, at, day, bags, True, 3))
            else:
                facts.shipments.setdefault(order, []).append((day, bags))
    _, _, first = orders[len(orders) // 20]
    rows.append((10**6 + 1, datetime.combine(first, time(9)), first, 5, False, 1))
    facts.shipments[10**6 + 1] = [(first, 5)]
    for parcels in facts.shipments.values():
        parcels.sort()
    with psycopg.connect(world.warehouse_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into fact_shipment (sales_order_id, delivered_at, delivered_date, units, is_deleted, batch) "
            "values (%s, %s, %s, %s, %s, %s)",
            rows,
        )


def _bring_targets(world: World, facts: Facts, rng: Random) -> None:
    """Targets of most departments and months, some revised, and of one department that nobody is in."""
    departments = [name for (name,) in world.ask("select distinct department_name from dim_staff order by 1")]
    months = [month for (month,) in world.ask("select distinct date_trunc('month', created_date)::date from sale")]
    versions = []
    for month in months:
        for department in [*departments[1:], "Nobody"]:
            for batch in (1, 2) if rng.random() < 0.2 else (1,):
                facts.targets[month, department] = Decimal(rng.randint(1, 10**8)).scaleb(-2)
                versions.append((month, department, facts.targets[month, department], batch))
    with psycopg.connect(world.warehouse_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into fact_sales_target (month, department_name, amount_gbp, batch) values (%s, %s, %s, %s)",
            versions,
        )
