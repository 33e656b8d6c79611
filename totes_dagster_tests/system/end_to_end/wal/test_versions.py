"""From the log, every committed version of a row arrives, in its order, and with the time at which it was committed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import psycopg
import pytest

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import load, reconcile
from totes_dagster.reading.lake import remodelled_rows
from totes_dagster.reading.selection import Selection
from totes_dagster.simulator.simulator import Action, NothingToActOnError, Simulator
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests import oracle
from totes_dagster_tests.system.end_to_end.judge import versions_of
from totes_dagster_tests.system.end_to_end.rules import FACTS
from totes_dagster_tests.system.end_to_end.wal.audit import record_changes, recorded
from totes_dagster_tests.system.end_to_end.wal.logged import is_from_log
from totes_dagster_tests.system.platforms import warehouse_at
from totes_dagster_tests.world import NEW_ORDER, World

SET = "update sales_order set units_sold = {} where sales_order_id = {}"


def units(world: World, key: int = 1) -> list[int]:
    """The quantities that the versions of an order had, oldest first."""
    query = "select units_sold from fact_sales_order where sales_order_id = %s order by batch, sales_record_id"
    return [value for (value,) in world.ask(query, key)]


def committed_at(world: World, key: int, fact: str = "fact_sales_order") -> list[datetime]:
    """When the versions of a row were committed, as far as that is known."""
    query = "select committed_at from commit_time where fact = %s and key = %s order by batch"
    return [moment for (moment,) in world.ask(query, fact, key)]


def commit(world: World, *statements: str) -> datetime:
    """Change the source in one transaction; return when it was committed, as the source says."""
    with psycopg.connect(world.source_url) as connection:
        for statement in statements:
            connection.execute(statement)
        ((xid,),) = connection.execute("select pg_current_xact_id()::xid::text").fetchall()
    with psycopg.connect(world.source_url) as connection:
        ((moment,),) = connection.execute("select pg_xact_commit_timestamp(%s::xid)", [xid]).fetchall()
    return moment


def test_a_row_that_came_and_went_between_two_refreshes_leaves_all_its_versions(logged: World) -> None:
    changes = [
        NEW_ORDER,
        SET.format(7, 1000),
        SET.format(8, 1000),
        "delete from sales_order where sales_order_id = 1000",
    ]
    moments = [commit(logged, change) for change in changes]
    logged.refresh()
    assert units(logged, 1000) == [123, 7, 8, 8]
    assert logged.versions("fact_sales_order", 1000) == ["live", "live", "live", "deleted"]
    assert committed_at(logged, 1000) == moments
    assert logged.wrongs() == []
    assert logged.has_arrived()


def test_each_batch_is_a_state_that_the_source_was_in(logged: World) -> None:
    states = []
    for number in (5, 6, 5):
        commit(logged, SET.format(number, 1), SET.format(number, 2), f"update staff set first_name = 'N{number}'")
        states.append(oracle.current_rows(logged.source_url))
    head = logged.head()
    logged.refresh()
    assert logged.head() == head + 3
    for batch, state in enumerate(states, head + 1):
        seen = remodelled_rows("fact_sales_order", logged.platform.lake, Selection(as_of=batch)).read_all()
        shown = dict(zip(seen["sales_order_id"].to_pylist(), seen["units_sold"].to_pylist(), strict=True))
        place = [column.name for column in oracle.FACTS["fact_sales_order"].columns].index("units_sold")
        assert shown == {key: row[place] for key, row in state["fact_sales_order"].items()}
        names = remodelled_rows("dim_staff", logged.platform.lake, Selection(as_of=batch)).read_all()
        assert set(names["first_name"].to_pylist()) == {f"N{[5, 6, 5][batch - head - 1]}"}


def test_what_one_transaction_did_to_a_row_is_one_version(logged: World) -> None:
    before = units(logged)
    commit(logged, SET.format(1, 1), SET.format(2, 1), "delete from sales_order where sales_order_id = 2", NEW_ORDER)
    commit(logged, "delete from sales_order where sales_order_id = 1000", NEW_ORDER, SET.format(9, 1000))
    logged.refresh()
    assert units(logged) == [*before, 2]
    assert units(logged, 1000) == [123, 9]
    assert logged.versions("fact_sales_order", 2)[-1] == "deleted"


def test_what_was_rolled_back_never_was(logged: World) -> None:
    before = units(logged)
    with psycopg.connect(logged.source_url) as connection:
        connection.execute(SET.format(1, 1))
        connection.rollback()
        connection.execute(SET.format(2, 2))
        with suppress(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute(SET.format(3, 1))
            connection.execute("select 1 / 0")
        with connection.transaction():
            connection.execute(SET.format(4, 1))
    logged.refresh()
    assert (units(logged), units(logged, 2)[-1]) == ([*before, 4], 2)
    assert logged.wrongs() == []


def test_a_prepared_transaction_comes_when_it_is_committed(logged: World) -> None:
    before = units(logged)
    with psycopg.connect(logged.source_url, autocommit=True) as connection:
        for name, value in (("one", 1), ("other", 2)):
            connection.execute("begin")
            connection.execute(SET.format(value, value))
            connection.execute(f"prepare transaction '{name}'")
        logged.refresh()
        assert units(logged) == before
        connection.execute("rollback prepared 'other'")
        connection.execute("commit prepared 'one'")
    logged.refresh()
    assert units(logged) == [*before, 1]
    assert logged.wrongs() == []


def test_a_key_that_changed_is_one_row_gone_and_another_come(logged: World) -> None:
    logged.change("update sales_order set units_sold = 77 where sales_order_id = 3")
    logged.change(
        "delete from payment where transaction_id in (select transaction_id from transaction where sales_order_id = 3)"
    )
    logged.change("delete from transaction where sales_order_id = 3")
    logged.change("update sales_order set sales_order_id = 3000 where sales_order_id = 3")
    logged.refresh()
    assert logged.versions("fact_sales_order", 3)[-1] == "deleted"
    assert units(logged, 3000) == [77]
    assert logged.wrongs() == []


def test_values_of_every_kind_are_those_that_a_census_reads(logged: World) -> None:
    logged.change(
        """update address set address_line_1 = '(a,"b\\c''d")', address_line_2 = '', district = null, city = ' Zürich ',
                  postal_code = E'tab\\tnew\\nline', phone = '{}' where address_id = 1""",
        "update design set design_name = repeat('ü', 5000) where design_id = 1",
        "update sales_order set unit_price = 0.10, created_at = '2024-02-29 23:59:59.123456' where sales_order_id = 1",
        "update counterparty set commercial_contact = 'null', delivery_contact = 'NULL' where counterparty_id = 1",
    )
    logged.refresh()
    assert logged.wrongs() == []
    found = reconcile(logged.platform)
    assert not any(found.found.values())
    # The lake as well: the census reads all of it again, and the load finds every version there.
    loaded = logged.refresh(recapture=["address", "design", "sales_order", "counterparty"]).loaded
    assert sum(table.changed + table.new for batch in loaded for table in batch.tables.values()) == 0


@pytest.mark.parametrize("life", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_any_life_of_a_company_is_remembered_step_by_step(
    unseen_logged: World, logging_database: Callable[..., str], life: int
) -> None:
    world = unseen_logged
    world.refresh()
    expected: dict[str, dict[int, list[Any]]] = {fact: {} for fact in oracle.FACTS}
    note(expected, world)
    with Simulator(world.source_url, seed=life, harsh=True) as simulator:
        for step in range(40):
            action = Action.ORDER_DELETED if step % 13 == 7 else Action.ORDER_RESTORED if step % 13 == 11 else None
            with suppress(NothingToActOnError):
                simulator.perform(action) if action else simulator.step()
            note(expected, world)
            if Random(step).random() < 0.2:
                world.refresh()
    note(expected, world)  # what was open is committed
    world.refresh()
    assert world.wrongs() == []
    found = {
        fact: {key: [version[:-1] for version in versions] for key, versions in rows.items()}
        for fact, rows in oracle.history(world.warehouse_url).items()
    }
    assert found == expected
    assert any(len(versions) > 2 for rows in found.values() for versions in rows.values())
    # Every version but those of the first batch has its time.
    times = world.ask("select fact, key, count(*) from commit_time group by 1, 2")
    known = {(fact, key): count for fact, key, count in times}
    for fact, rows in oracle.history(world.warehouse_url).items():
        for key, versions in rows.items():
            assert known.get((fact, key), 0) == sum(version[-1] > 1 for version in versions)

    # The lake alone tells it all again.
    again = replace(world.platform, warehouse=warehouse_at(logging_database("rebuilt")))
    migrate(again.warehouse)
    load(again.warehouse, again.lake)
    assert oracle.history(again.warehouse.database.url) == oracle.history(world.warehouse_url)
    rebuilt = World(again).ask("select * from commit_time order by 1, 2, 3")
    assert rebuilt == world.ask("select * from commit_time order by 1, 2, 3")
    newest = BatchLog(again.lake.ingestion).head()
    for fact in oracle.FACTS:
        shown = remodelled_rows(fact, again.lake, Selection(as_of=newest)).read_all()
        assert shown.num_rows == sum(
            not versions[-1][-2] for versions in oracle.history(world.warehouse_url)[fact].values()
        )


@pytest.mark.parametrize("life", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_history_has_what_the_source_itself_has_recorded(unseen_logged: World, life: int) -> None:
    world = unseen_logged
    record_changes(world.source_url)
    world.refresh()
    chance = Random(life)
    with Simulator(world.source_url, seed=life, harsh=True) as simulator:
        for _ in range(60):
            with suppress(NothingToActOnError):
                simulator.perform(chance.choice(list(Action))) if chance.random() < 0.4 else simulator.step()
            if chance.random() < 0.1:
                world.refresh()
    world.change(SET.format(1, 1), "delete from payment where payment_id = 1")
    world.change(SET.format(2, 1), SET.format(3, 1))
    world.refresh()
    assert is_from_log(world)
    with psycopg.connect(world.warehouse_url) as connection:
        for table in FACTS:
            expected = recorded(world.source_url, table)
            assert versions_of(connection, table) == expected
            assert any(len(versions) > 2 for versions in expected.values()) or table == "purchase_order"


def note(expected: dict[str, dict[int, list[Any]]], world: World) -> None:
    """Add what is new to the versions that the facts must hold."""
    for fact, rows in oracle.current_rows(world.source_url).items():
        versions = expected[fact]
        for key, row in rows.items():
            if key not in versions or versions[key][-1] != (*row, False):
                versions.setdefault(key, []).append((*row, False))
        for key in versions.keys() - rows.keys():
            *last, is_deleted = versions[key][-1]
            if not is_deleted:
                versions[key].append((*last, True))


def test_times_of_batches_that_are_not_loaded_are_replaced(logged: World) -> None:
    with psycopg.connect(logged.warehouse_url) as connection:
        for batch in (2, 3):
            connection.execute("insert into commit_time values ('fact_sales_order', %s, 1, 'yesterday')", [batch])
    moment = commit(logged, SET.format(7, 1))
    logged.refresh()
    assert committed_at(logged, 1) == [moment]
