"""Nothing is missed when the way of capture changes, or when the log cannot be relied on: then tables are counted."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from totes_dagster.errors import BatchConflictError, DatabaseBusyError, SourceBehindError
from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.wal import slot, take, transactions
from totes_dagster.ingest.wal.slot import slot_of
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import ingest, reconcile
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.companies import databases
from totes_dagster_tests.conftest import FAST_SETTINGS
from totes_dagster_tests.servers import server_folder, wait_until_stopped
from totes_dagster_tests.system.end_to_end.wal.conftest import LOGGING, drop_slots, publish
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import NEW_DEAL, World

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 1"
DELETE = "delete from payment where payment_id = 2"


def newest(world: World) -> Manifest:
    log = BatchLog(world.platform.lake.ingestion)
    return log.manifest(log.head())


def is_from_log(world: World) -> bool:
    """Whether the newest batch was taken from the log."""
    manifest = newest(world)
    return manifest.counted is not None


def versions(world: World) -> int:
    return len(world.versions("fact_sales_order", 1))


def slots(world: World) -> list[str]:
    with psycopg.connect(world.source_url) as connection:
        return [name for (name,) in connection.execute("select slot_name from pg_replication_slots")]


def counting(world: World) -> World:
    """The same platform, without the log."""
    return World(replace(world.platform, from_log=False))


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


ODDITIES: dict[str, tuple[str, ...]] = {
    "truncated": ("truncate payment",),
    "truncated with others": ("truncate payment, transaction",),
    "a column more": ("alter table staff add column nickname text default 'x'",),
    "a column renamed, and renamed back": (
        "alter table staff rename email_address to email",
        "update staff set email = 'new@example.com' where staff_id = 1",
        "alter table staff rename email to email_address",
    ),
    "rewritten": (
        "alter table sales_order alter units_sold type bigint using units_sold + 1",
        "alter table sales_order alter units_sold type integer",
    ),
    "a table not published for a while": (
        "alter publication totes drop table sales_order",
        EDIT,
        "alter publication totes add table sales_order",
    ),
    "a table not published": ("alter publication totes drop table sales_order", EDIT),
    "deletes not published": ("alter publication totes set (publish = 'insert, update, truncate')", DELETE),
    "rows filtered": ("alter publication totes set table sales_order where (sales_order_id > 5)", EDIT),
    "columns left out": (
        "alter publication totes drop table staff",
        "alter publication totes add table staff (staff_id, first_name)",
        "update staff set last_name = 'Changed'",
    ),
    "no publication": ("drop publication totes", EDIT),
    "another identity": ("alter table sales_order replica identity full", EDIT),
    "no identity": (
        "alter publication totes drop table sales_order",
        "alter table sales_order replica identity nothing",
        EDIT,
    ),
    "made anew": (
        "create table copied as select * from payment where payment_id > 3",
        "drop table payment",
        "alter table copied rename to payment",
        "alter table payment add primary key (payment_id)",
    ),
    "the slot dropped": ("select pg_drop_replication_slot(slot_name) from pg_replication_slots", EDIT),
    "the slot moved": (
        EDIT,
        "select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) from pg_replication_slots",
    ),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_when_the_log_cannot_be_relied_on_the_tables_are_counted(logged: World, oddity: str) -> None:
    logged.change(EDIT)
    logged.refresh()
    assert is_from_log(logged)
    with psycopg.connect(logged.source_url, autocommit=True) as connection:
        for statement in ODDITIES[oddity]:
            connection.execute(sql.SQL(statement))
    logged.refresh()
    assert not is_from_log(logged)
    assert logged.wrongs() == []
    assert logged.has_arrived()


def test_once_all_is_well_again_the_log_is_read_on(logged: World) -> None:
    logged.change("alter publication totes drop table sales_order", EDIT)
    logged.refresh()
    assert newest(logged).log is None
    logged.change("alter publication totes add table sales_order")
    logged.refresh()
    before = versions(logged)
    for _ in range(3):
        logged.change(EDIT)
    logged.refresh()
    assert (versions(logged), is_from_log(logged)) == (before + 3, True)


def test_a_long_value_that_an_update_left_alone_is_never_lost(logged: World) -> None:
    long = "(select string_agg(md5(n::text), '') from generate_series(1, 1000) as n)"
    logged.change("alter table design alter file_name set storage external", f"update design set file_name = {long}")
    logged.refresh()
    logged.change(EDIT)
    logged.change("update design set design_name = 'New' where design_id = 1")
    logged.change(EDIT)
    before = versions(logged)
    logged.refresh()
    assert not is_from_log(logged)  # the log has no long values that did not change
    assert versions(logged) == before + 2  # what came before was taken from the log, what came after was counted
    assert logged.wrongs() == []
    logged.change("alter table design replica identity full")
    logged.refresh()
    logged.change("update design set design_name = 'Newer' where design_id = 1")
    logged.refresh()
    assert is_from_log(logged)
    assert logged.wrongs() == []


def test_a_transaction_too_large_for_memory_is_counted(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "MOST_CHANGES", 10)
    before = versions(logged)
    logged.change(EDIT)
    logged.change("update sales_order set units_sold = units_sold + 1")
    logged.refresh()
    assert not is_from_log(logged)
    assert versions(logged) == before + 2
    assert logged.wrongs() == []
    logged.change(EDIT)
    logged.refresh()
    assert is_from_log(logged)


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


def test_what_others_cannot_see_yet_may_be_in_a_batch_and_never_is_undone(logged: World) -> None:
    """A commit that waits for a synchronous standby is in the log, and in no snapshot."""
    with psycopg.connect(logged.warehouse_url, autocommit=True) as connection:
        ((name,),) = connection.execute("select current_database()").fetchall()
        connection.execute(sql.SQL("alter database {} set synchronous_commit to local").format(sql.Identifier(name)))
    with psycopg.connect(logged.source_url, autocommit=True) as connection:
        connection.execute("alter system set synchronous_standby_names to 'nobody'")
        connection.execute("select pg_reload_conf()")
    try:
        before = versions(logged)
        with psycopg.connect(logged.source_url) as waiting, ThreadPoolExecutor(1) as pool:
            waiting.execute(EDIT)
            pid = waiting.info.backend_pid
            committed = pool.submit(waiting.commit)
            with psycopg.connect(logged.source_url, autocommit=True) as other:
                waits = "select wait_event from pg_stat_activity where pid = %s"
                while other.execute(waits, [pid]).fetchone() != ("SyncRep",):
                    pass
                logged.refresh()
                assert versions(logged) == before + 1
                assert newest(logged).log.unseen != ()  # type: ignore[union-attr]
                with pytest.raises(SourceBehindError, match="waits for a synchronous standby"):
                    take_by_counting(logged)
                logged.refresh()
                assert versions(logged) == before + 1
                other.execute("select pg_cancel_backend(%s)", [pid])
                committed.result()
        take_by_counting(logged)
        assert versions(logged) == before + 1
        assert logged.wrongs() == []
    finally:
        with psycopg.connect(logged.source_url, autocommit=True) as connection:
            connection.execute("alter system reset synchronous_standby_names")
            connection.execute("select pg_reload_conf()")


def take_by_counting(world: World) -> None:
    """Refresh without the log, and without further tries."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TOTES_RETRY_SECONDS", "0")
        counting(world).refresh()


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


def test_a_server_that_was_restarted_is_counted_once(tmp_path: Path) -> None:
    with server_folder() as folder:
        with EmbeddedPostgres(folder, LOGGING) as server:
            for name in ("totesys", "warehouse"):
                server.create_database(name)
            seed(server.url("totesys"), orders=10)
            publish(server.url("totesys"))
            platform = platform_at(server.url("totesys"), server.url("warehouse"), lake_in(tmp_path))
            world = World(replace(platform, from_log=True))
            world.refresh()
            world.change(EDIT)
        wait_until_stopped(folder)
        with EmbeddedPostgres(folder, LOGGING):
            world.refresh()
            assert (is_from_log(world), world.wrongs()) == (False, [])
            world.change(EDIT)
            world.refresh()
            assert is_from_log(world)


def test_a_server_without_a_logical_log_is_counted_and_nothing_fails(
    database: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = database("totesys")
    seed(source, orders=10)
    publish(source)
    platform = platform_at(source, database("warehouse"), lake_in(tmp_path))
    world = World(replace(platform, from_log=True))
    world.refresh()
    world.change(EDIT, DELETE)
    world.refresh()
    assert world.wrongs() == []
    assert "wal_level is replica" in caplog.text
    assert FAST_SETTINGS.get("wal_level") is None


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


def test_a_log_that_piles_up_is_warned_of(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert logged.refresh().ingested.deviations == []
    monkeypatch.setattr(take, "MUCH_HELD", 2**20)
    with logged.transaction() as connection:  # while it is open, the source keeps its log
        connection.execute(EDIT)
        logged.change("create table noise as select md5(n::text) from generate_series(1, 30000) as n")
        for _ in range(2):
            deviations = logged.refresh().ingested.deviations
            (warning,) = [str(each) for each in deviations if each.table == "write-ahead log"]
            assert slot_of(logged.platform.lake.ingestion) in warning
            logged.change("delete from noise")


def test_a_log_in_which_nothing_of_ours_happens_is_given_up(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take, "MOST_HELD", 2**20)
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


def test_after_very_many_transactions_the_tables_are_counted(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take, "MOST_TRANSACTIONS", 100)
    for transactions_before, is_logged in ((1, True), (100, False), (1, True)):
        with psycopg.connect(logged.source_url, autocommit=True) as connection:
            for _ in range(transactions_before):
                connection.execute(EDIT)
        logged.refresh()
        assert is_from_log(logged) is is_logged
        assert logged.wrongs() == []


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


def test_a_row_that_the_source_itself_would_not_take_again_is_counted(logged: World) -> None:
    logged.change(
        "create domain code as text",
        "alter table currency alter currency_code type code",
    )
    logged.refresh()
    before = versions(logged)
    logged.change(EDIT)
    logged.change("insert into currency values (78, 'NOK', now(), now())")
    logged.change("alter domain code add check (value <> 'NOK') not valid")
    logged.refresh()
    assert not is_from_log(logged)
    assert versions(logged) == before + 1
    assert logged.wrongs() == []


def test_many_versions_are_taken_in_many_snapshots(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take, "MOST_BATCHES", 2)
    before, head = versions(logged), logged.head()
    for _ in range(15):
        logged.change(EDIT)
    refreshed = logged.refresh()
    assert (versions(logged), logged.head()) == (before + 15, head + 15)
    assert len(refreshed.ingested.batches) == 15
    assert logged.has_arrived()
