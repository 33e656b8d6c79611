"""What analysts see while refreshes run: only states that the source was in, and never a locked door."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import psycopg
import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.pipeline import refresh
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Action, NothingToActOnError, Simulator
from totes_dagster_tests import oracle
from totes_dagster_tests.world import World

BATCHES = 12
PATIENCE = 60.0  # seconds

WHOLE_DEALS = (
    Action.NEW_SALES_ORDER,
    Action.NEW_PURCHASE_ORDER,
    Action.ORDER_EDITED,
    Action.ORDER_DELETED,
    Action.ORDER_RESTORED,
)
"""Actions that leave every order with a transaction and a payment of its worth, as the seed does."""

TORN = """
    with worth (transaction_type, order_id, amount) as (
        select 'SALE', sales_order_id, units_sold * unit_price from current_sales_order
        union all
        select 'PURCHASE', purchase_order_id, item_quantity * item_unit_price from current_purchase_order),
    paid (transaction_type, order_id, amount) as (
        select transaction_type, coalesce(sales_order_id, purchase_order_id), payment_amount
        from current_payment join dim_transaction using (transaction_id))
    select * from worth full join paid using (transaction_type, order_id, amount)
    where worth is null or paid is null"""
"""Orders without a payment of their worth, and payments without such an order: in the source there are none."""

BULK = """
    insert into sales_order select 100000 + number, now(), now(), design_id, staff_id, counterparty_id, units_sold,
           unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
    from sales_order, generate_series(1, 12000) as number where sales_order_id = 1"""
"""So many rows that the load takes the facts' foreign keys out of the way."""


def test_no_reader_ever_sees_an_order_without_its_payment(company: World) -> None:
    over = threading.Event()

    def work() -> None:
        rng = Random(1)
        with Simulator(company.source_url, seed=1) as simulator:
            while not over.is_set():
                try:
                    simulator.perform(rng.choice(WHOLE_DEALS))
                except NothingToActOnError:
                    simulator.perform(Action.NEW_SALES_ORDER)
                over.wait(0.005)

    def follow() -> None:
        while not over.is_set():
            company.refresh()

    seen: set[int] = set()
    torn: list[tuple[int, list[tuple[Any, ...]]]] = []
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(work), pool.submit(follow)]
        give_up_at = time.monotonic() + PATIENCE
        try:
            with psycopg.connect(company.warehouse_url) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                while len(seen) < BATCHES and not torn and time.monotonic() < give_up_at:
                    with connection.transaction():
                        (batch,) = connection.execute("select max(batch) from load_history").fetchall()[0]
                        rows = connection.execute(TORN).fetchall()
                    seen.add(batch)
                    torn += [(batch, rows)] if rows else []
        finally:
            over.set()
        for run in runs:
            run.result(timeout=PATIENCE)
    assert torn == []
    assert len(seen) >= BATCHES
    company.refresh()
    assert company.wrongs() == []


def test_a_recapture_that_finds_nothing_touches_no_row(company: World) -> None:
    tables = (*oracle.DIMENSIONS, *oracle.FACTS)

    def places() -> dict[str, list[tuple[Any, ...]]]:
        return {table: company.ask(f"select ctid::text, xmin::text from {table} order by ctid") for table in tables}

    before = places()
    refreshed = company.refresh(recapture=SOURCE_TABLES)
    assert places() == before
    assert [batch.batch for batch in refreshed.loaded] == [2]


def test_a_recapture_repairs_what_somebody_changed_in_the_warehouse(company: World) -> None:
    with psycopg.connect(company.warehouse_url) as connection:
        connection.execute("update fact_sales_order set units_sold = -1 where sales_order_id = 7")
        connection.execute("update dim_staff set location = 'Atlantis'")
        connection.execute("delete from fact_payment where payment_id = 3")
    company.refresh()
    assert company.wrongs() != []
    company.refresh(recapture=SOURCE_TABLES)
    assert company.wrongs(strict=True) == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert company.versions("fact_payment", 3) == ["live"]


@contextmanager
def load_held_at(world: World, table: str) -> Iterator[None]:
    """A refresh in another thread whose load stands still with this table staged; it ends after the block."""
    held, go_on = threading.Event(), threading.Event()

    def stand_still(stage: str, name: str, rows: int) -> None:
        if (stage, name) == ("load", table):
            held.set()
            assert go_on.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(refresh, world.platform, progress=stand_still)
        try:
            assert held.wait(PATIENCE), run.exception(timeout=1)
            yield
        finally:
            go_on.set()
        run.result(timeout=PATIENCE)


@contextmanager
def impatient_reader(world: World) -> Iterator[psycopg.Connection]:
    with psycopg.connect(world.warehouse_url, autocommit=True) as connection:
        connection.execute("set lock_timeout = '1s'")
        yield connection


def read_everything(reader: psycopg.Connection) -> dict[str, int]:
    views = [fact.view for fact in oracle.FACTS.values()]
    return {
        table: reader.execute(f"select count(*) from {table}").fetchall()[0][0]
        for table in (*oracle.DIMENSIONS, *oracle.FACTS, *views, "load_history")
    }


@pytest.mark.parametrize("much", [False, True], ids=["few rows", "many rows"])
def test_readers_see_the_old_state_without_waiting_while_a_load_is_open(company: World, *, much: bool) -> None:
    with impatient_reader(company) as reader:
        before = read_everything(reader)
        company.change(
            *([BULK] if much else []),
            "update sales_order set units_sold = units_sold + 1",
            "update payment set paid = not paid, last_updated = now()",
            "update design set design_name = 'Drawn anew'",
        )
        with load_held_at(company, "fact_payment"):
            assert read_everything(reader) == before
        assert read_everything(reader) != before
    assert company.wrongs(strict=True) == []


@pytest.mark.slow
def test_a_large_load_that_waits_for_one_reader_does_not_lock_out_the_others(company: World) -> None:
    with psycopg.connect(company.warehouse_url) as slow, impatient_reader(company) as reader:
        slow.execute("select count(*) from fact_sales_order")
        company.change(BULK)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(company.refresh)
            try:
                for _ in range(20):
                    read_everything(reader)
                    time.sleep(0.1)
            finally:
                slow.rollback()
            run.result(timeout=PATIENCE)
    assert company.wrongs(strict=True) == []


@pytest.mark.slow
def test_a_load_of_many_rows_leaves_every_foreign_key_in_place(platform: Platform) -> None:
    seed(platform.source.url, orders=11_000, enforced=False)
    world = World(platform)
    world.change("update sales_order set design_id = 999998 where sales_order_id = 1")
    world.refresh()
    assert world.wrongs(strict=True) == []
    world.change("update sales_order set design_id = 999999 where sales_order_id > 500")
    world.refresh()
    assert world.wrongs() == []
