"""Nothing is missed and nothing is taken twice when the way of capture changes, or when several refresh."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from totes_dagster.errors import BatchConflictError
from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.wal import take
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.zone import Zone
from totes_dagster.pipeline import ingest, reconcile
from totes_dagster_tests.system.end_to_end.wal.logged import (
    DELETE,
    EDIT,
    counting,
    is_from_log,
    newest,
    slots,
    versions,
)
from totes_dagster_tests.world import NEW_DEAL, World


@pytest.mark.slow
def test_the_way_may_change_at_any_time(logged: World) -> None:
    before = versions(logged)
    for turn, world in enumerate([logged, counting(logged), logged, logged, counting(logged), logged], 1):
        world.change(EDIT, f"delete from payment where payment_id = {turn}")
        world.refresh()
        assert versions(world) == before + turn
        assert world.wrongs() == []
        assert bool(slots(world)) is world.platform.from_log
    assert logged.has_arrived()
    logged.change(EDIT)
    logged.change(EDIT)
    logged.refresh()
    assert is_from_log(logged)
    assert versions(logged) == before + 8


def test_what_changed_before_the_log_was_read_is_counted(unseen_logged: World) -> None:
    counting(unseen_logged).refresh()
    unseen_logged.change(*NEW_DEAL, EDIT)
    unseen_logged.refresh()
    assert not is_from_log(unseen_logged)
    assert unseen_logged.wrongs() == []
    unseen_logged.change(EDIT)
    unseen_logged.refresh()
    assert is_from_log(unseen_logged)


def test_turning_it_on_says_where_the_log_begins_although_nothing_changed(unseen_logged: World) -> None:
    counting(unseen_logged).refresh()
    unseen_logged.refresh()
    assert (unseen_logged.head(), newest(unseen_logged).log is not None) == (2, True)
    assert unseen_logged.has_arrived()


def test_tables_that_nobody_declared_are_captured_as_ever(logged: World) -> None:
    logged.change("create table discount (discount_id integer primary key, percent integer)")
    logged.change("insert into discount values (1, 10)", EDIT)
    logged.refresh()
    logged.change("update discount set percent = 20", EDIT)
    logged.refresh()
    assert is_from_log(logged)
    assert newest(logged).tables["discount"].rows == 1
    assert changed_tables(logged.platform.source, logged.platform.lake.ingestion, from_log=True) == []


def test_looking_for_changes_sees_those_of_the_log_and_takes_none(logged: World) -> None:
    source, zone = logged.platform.source, logged.platform.lake.ingestion
    assert changed_tables(source, zone, from_log=True) == []
    logged.change(EDIT, DELETE)
    for _ in range(2):
        assert changed_tables(source, zone, from_log=True) == ["payment", "sales_order"]
    logged.refresh()
    assert changed_tables(source, zone, from_log=True) == []


def test_reconciling_finds_nothing_and_repairs_what_was_damaged(logged: World) -> None:
    logged.change(EDIT, DELETE)
    logged.change(EDIT, *NEW_DEAL)
    logged.refresh()
    assert not any(reconcile(logged.platform).found.values())
    with psycopg.connect(logged.warehouse_url) as connection:
        connection.execute("update fact_sales_order set units_sold = 0 where sales_order_id = 2")
    assert reconcile(logged.platform).found["fact_sales_order"].count == 1
    assert logged.wrongs() == []
    before = versions(logged)
    logged.change(EDIT)
    logged.change(EDIT)
    logged.refresh()
    assert (versions(logged), is_from_log(logged)) == (before + 2, True)


@pytest.mark.slow
def test_refreshes_at_once_take_each_transaction_once_and_none_of_them_counts(logged: World) -> None:
    before, first = versions(logged), logged.head()
    source, zone = logged.platform.source, logged.platform.lake.ingestion

    def edit() -> None:
        for _ in range(20):
            logged.change(EDIT)

    def refresh() -> None:
        for _ in range(4):
            with suppress(BatchConflictError):
                ingest(source, zone, from_log=True)
            changed_tables(source, zone, from_log=True)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(edit), *(pool.submit(refresh) for _ in range(3))]:
            done.result()
    logged.refresh()
    assert versions(logged) == before + 20
    log = BatchLog(zone)
    assert all(log.manifest(batch).counted for batch in range(first + 1, log.head() + 1))
    assert logged.wrongs() == []
    assert logged.has_arrived()


@pytest.mark.slow
def test_a_refresh_that_dies_at_any_object_is_completed_by_the_next(
    logged: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, survived = Zone.create, 0
    before, deaths = versions(logged), 0
    while True:
        logged.change(EDIT)
        logged.change(EDIT, f"delete from payment where payment_id = {deaths + 1}")
        left = [deaths]

        def dying(zone: Zone, path: str, data: object, left: list[int] = left) -> bool:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return create(zone, path, data)

        monkeypatch.setattr(Zone, "create", dying)
        try:
            logged.refresh()
        except KeyboardInterrupt:
            deaths += 1
        else:
            survived += 1
        monkeypatch.setattr(Zone, "create", create)
        logged.refresh()
        assert versions(logged) == before + 2 * (deaths + survived)
        assert logged.wrongs() == []
        if survived:
            break
    assert deaths > 6
    assert logged.has_arrived()


def test_what_the_log_brought_and_is_gone_again_is_missed_by_a_census(logged: World) -> None:
    """A table has the keys again that were counted last; that it had others in between, only the log has told."""
    logged.change(*NEW_DEAL, "insert into currency values (77, 'SEK', now(), now())")
    logged.refresh()
    assert is_from_log(logged)
    for table in ("payment", "transaction", "sales_order"):
        logged.change(f"delete from {table} where {table}_id = 1000")
    logged.change("delete from currency where currency_id = 77", "delete from payment where payment_id = 5")
    counting(logged).refresh()
    assert logged.versions("fact_payment", 1000)[-1] == "deleted"
    assert logged.versions("fact_sales_order", 1000)[-1] == "deleted"
    assert logged.wrongs() == []
    currency = newest(logged).tables["currency"]
    assert sum(part.rows for part in currency.parts) == 3


def test_many_versions_are_taken_in_many_snapshots(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take, "MOST_BATCHES", 2)
    before, head = versions(logged), logged.head()
    for _ in range(15):
        logged.change(EDIT)
    refreshed = logged.refresh()
    assert (versions(logged), logged.head()) == (before + 15, head + 15)
    assert len(refreshed.ingested.batches) == 15
    assert logged.has_arrived()


def test_before_a_census_every_version_that_it_would_not_see_is_taken_from_the_log(logged: World) -> None:
    before = versions(logged)
    for _ in range(3):
        logged.change(EDIT)
    assert not any(reconcile(logged.platform).found.values())
    assert versions(logged) == before + 3
    for _ in range(3):
        logged.change(EDIT)
    ingested = logged.refresh(recapture=["staff"]).ingested
    assert (versions(logged), len(ingested.batches)) == (before + 6, 4)
    assert not is_from_log(logged)
    assert logged.wrongs() == []


def test_a_row_is_set_aside_and_comes_out_of_quarantine_as_with_a_census(logged: World) -> None:
    date = "update sales_order set agreed_payment_date = {} where sales_order_id in (1, 2)"
    logged.change(date.format("'soon'"))
    logged.refresh()
    assert logged.quarantined() == [("sales_order", 1), ("sales_order", 2)]
    logged.change("update sales_order set agreed_payment_date = '2026-01-01' where sales_order_id = 1")
    logged.refresh()
    assert logged.quarantined() == [("sales_order", 2)]
    logged.change(
        "delete from payment where transaction_id in (select transaction_id from transaction where sales_order_id = 2)"
    )
    logged.change("delete from transaction where sales_order_id = 2")
    logged.change("delete from sales_order where sales_order_id = 2")
    logged.refresh()
    assert (logged.quarantined(), is_from_log(logged)) == ([], True)
    assert logged.versions("fact_sales_order", 2)[-1] == "deleted"
    assert logged.wrongs() == []
