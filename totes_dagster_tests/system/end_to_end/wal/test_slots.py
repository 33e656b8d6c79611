"""The replication slot: when it is made, waited for, confirmed, replaced and dropped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from totes_dagster.errors import DatabaseBusyError
from totes_dagster.ingest.wal import slot, start, take
from totes_dagster.ingest.wal.slot import slot_of
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import reconcile
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster.status import platform_status
from totes_dagster_tests.companies import databases
from totes_dagster_tests.logged_sources import LOGGING, drop_slots
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.end_to_end.wal.logged import (
    EDIT,
    counting,
    is_from_log,
    newest,
    slots,
    versions,
)
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow


def test_a_slot_that_lost_its_log_is_replaced(tmp_path: Path) -> None:
    settings = {**LOGGING, "max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with server_folder() as folder:
        server = EmbeddedPostgres(folder, settings)
        with server, databases(server) as database:
            source = database("totesys")
            seed(source, orders=10)
            publish(source)
            platform = platform_at(source, database("warehouse"), lake_in(tmp_path))
            world = World(replace(platform, from_log=True))
            world.refresh()
            with psycopg.connect(source, autocommit=True) as connection:
                while connection.execute("select wal_status from pg_replication_slots").fetchone() != ("lost",):
                    connection.execute(EDIT)
                    connection.execute("select pg_switch_wal()")
                    connection.execute("checkpoint")
            world.refresh()
            assert not is_from_log(world)
            assert world.wrongs() == []
            world.change(EDIT)
            world.refresh()
            assert is_from_log(world)
            drop_slots(server.url())


def test_another_platform_on_the_same_source_is_not_disturbed(
    logged: World, logging_database: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    other = platform_at(logged.source_url, logging_database("other"), lake_in(folder))
    second = World(replace(other, from_log=True))
    second.refresh()
    assert len(slots(logged)) == 2
    before = versions(logged)
    for _ in range(2):
        logged.change(EDIT)
        logged.change(EDIT)
        for world in (logged, second):
            world.refresh()
            assert is_from_log(world)
    assert (versions(logged), versions(second)) == (before + 4, before + 4)
    counting(second).change(EDIT)
    counting(second).refresh()
    assert slots(logged) == [slot_of(logged.platform.lake.ingestion)]


def test_a_publication_that_lacks_some_rows_from_the_beginning_is_not_relied_on(unseen_logged: World) -> None:
    with psycopg.connect(unseen_logged.source_url) as connection:
        connection.execute("alter publication totes drop table sales_order")
        connection.execute("alter publication totes add table sales_order where (sales_order_id > 1)")
    unseen_logged.refresh()
    assert slots(unseen_logged) == []
    before = versions(unseen_logged)
    unseen_logged.change(EDIT)
    unseen_logged.refresh()
    assert (is_from_log(unseen_logged), versions(unseen_logged)) == (False, before + 1)


def test_a_slot_that_turns_out_to_be_of_no_use_is_dropped(logged: World) -> None:
    logged.change(
        "alter table payment alter payment_id type bigint",
        "update payment set payment_id = 3000000000 where payment_id = 1",
    )
    assert len(slots(logged)) == 1
    logged.refresh()
    assert not is_from_log(logged)
    assert slots(logged) == []
    logged.change(EDIT)
    logged.refresh()
    assert slots(logged) == []


def test_a_log_that_piles_up_is_warned_of(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert logged.refresh().ingested.deviations == []
    monkeypatch.setattr(start, "WARN_AFTER_BYTES", 2**20)
    with logged.transaction() as connection:  # while it is open, the source keeps its log
        connection.execute(EDIT)
        logged.change("create table noise as select md5(n::text) from generate_series(1, 30000) as n")
        for _ in range(2):
            deviations = logged.refresh().ingested.deviations
            (warning,) = [str(each) for each in deviations if each.table == "write-ahead log"]
            assert slot_of(logged.platform.lake.ingestion) in warning
            logged.change("delete from noise")
        status = platform_status(logged.platform)
        assert status.kept_log_bytes is not None
        assert status.kept_log_bytes > 2**20
        monkeypatch.setattr("totes_dagster.status.WARN_AFTER_BYTES", 2**20)
        assert status.problems == ["the source keeps much of its log for the platform"]
    assert platform_status(counting(logged).platform).kept_log_bytes is None


def test_a_log_in_which_nothing_of_ours_happens_is_given_up(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take, "MOVE_AFTER_BYTES", 2**20)
    logged.change("create table noise (n integer)")
    logged.refresh()
    position = newest(logged).log.position  # type: ignore[union-attr]
    logged.change("insert into noise select generate_series(1, 50000)")
    logged.refresh()
    assert newest(logged).log.position > position + 2**20  # type: ignore[union-attr]
    with psycopg.connect(logged.source_url) as connection:
        held = "select pg_current_wal_lsn() - confirmed_flush_lsn < 1000000 from pg_replication_slots"
        assert connection.execute(held).fetchall() == [(True,)]
    assert logged.wrongs() == []


def test_the_log_is_discarded_although_each_refresh_ends_in_a_census(logged: World) -> None:
    long = "(select string_agg(md5(n::text), '') from generate_series(1, 1000) as n)"
    logged.change("alter table design alter file_name set storage external", f"update design set file_name = {long}")
    logged.refresh()
    positions = []
    for turn in range(3):
        logged.change(f"update design set design_name = '{turn}' where design_id = 1")
        logged.refresh()
        assert not is_from_log(logged)
        with psycopg.connect(logged.source_url) as connection:
            ((position,),) = connection.execute(
                "select confirmed_flush_lsn - '0/0' from pg_replication_slots"
            ).fetchall()
            positions.append(position)
    assert positions[0] < positions[1] < positions[2]


def test_a_slot_that_cannot_be_used_is_dropped(logged: World) -> None:
    logged.change("drop publication totes", EDIT)
    logged.refresh()
    assert (slots(logged), newest(logged).log) == ([], None)
    assert logged.has_arrived()


def test_a_reconciliation_that_counts_drops_the_slot_as_well(logged: World) -> None:
    logged.change(EDIT)
    reconcile(counting(logged).platform)
    assert (slots(logged), newest(logged).log) == ([], None)


def test_a_slot_that_another_session_is_reading_is_waited_for(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    logged.change(EDIT)
    logged.change(EDIT)
    before, (name,) = versions(logged), slots(logged)
    reading = psycopg.connect(logged.source_url, autocommit=True, replication="database")
    started = reading.pgconn.exec_(
        f"START_REPLICATION SLOT {name} LOGICAL 0/0 (proto_version '1', publication_names 'totes')".encode()
    )
    assert started.status == psycopg.pq.ExecStatus.COPY_BOTH, started.error_message
    monkeypatch.setattr("totes_dagster.ingest.wal.slot.time.sleep", lambda _: reading.close())
    logged.refresh()
    assert reading.closed
    assert (versions(logged), is_from_log(logged)) == (before + 2, True)


def test_a_slot_that_stays_busy_is_said(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "_SLOT_PATIENCE", 0.1)
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    logged.change(EDIT)
    (name,) = slots(logged)
    with psycopg.connect(logged.source_url, autocommit=True, replication="database") as reading:
        reading.pgconn.exec_(
            f"START_REPLICATION SLOT {name} LOGICAL 0/0 (proto_version '1', publication_names 'totes')".encode()
        )
        with pytest.raises(DatabaseBusyError, match="Another session has been reading the replication slot"):
            logged.refresh()
        reading.close()
