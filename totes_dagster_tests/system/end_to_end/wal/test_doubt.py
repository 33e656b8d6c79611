"""When the log may not have everything, a census is taken: nothing is missed, and the log is read on."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from totes_dagster.errors import SourceBehindError
from totes_dagster.ingest.wal import continuity, transactions
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster_tests.logged_sources import LOGGING, drop_slots
from totes_dagster_tests.servers import FAST_SETTINGS, server_folder, wait_until_stopped
from totes_dagster_tests.system.end_to_end.wal.logged import (
    DELETE,
    EDIT,
    is_from_log,
    newest,
    take_by_counting,
    versions,
)
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

pytestmark = pytest.mark.slow

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


@pytest.fixture
def waiting(logged: World) -> Iterator[Callable[[], None]]:
    """A change whose commit waits for a synchronous standby: it is in the log, and in no snapshot.

    Yields:
        A function that ends the wait.
    """
    with psycopg.connect(logged.warehouse_url, autocommit=True) as connection:
        ((name,),) = connection.execute("select current_database()").fetchall()
        connection.execute(sql.SQL("alter database {} set synchronous_commit to local").format(sql.Identifier(name)))
    with psycopg.connect(logged.source_url, autocommit=True) as other:
        other.execute("alter system set synchronous_standby_names to 'nobody'")
        other.execute("select pg_reload_conf()")
        with psycopg.connect(logged.source_url) as committing, ThreadPoolExecutor(1) as pool:
            committing.execute(EDIT)
            pid = committing.info.backend_pid
            committed = pool.submit(committing.commit)
            while other.execute("select wait_event from pg_stat_activity where pid = %s", [pid]).fetchone() != (
                "SyncRep",
            ):
                pass

            def go_on() -> None:
                other.execute("select pg_cancel_backend(%s)", [pid])
                committed.result()

            yield go_on
            go_on()
        other.execute("alter system reset synchronous_standby_names")
        other.execute("select pg_reload_conf()")


def test_what_others_cannot_see_yet_may_be_in_a_batch_and_never_is_undone(
    logged: World, waiting: Callable[[], None]
) -> None:
    before = versions(logged)
    logged.refresh()
    assert versions(logged) == before + 1
    assert newest(logged).log.unseen != ()  # type: ignore[union-attr]
    with pytest.raises(SourceBehindError, match="waits for a synchronous standby"):
        take_by_counting(logged)
    logged.refresh()
    assert versions(logged) == before + 1
    waiting()
    take_by_counting(logged)
    assert versions(logged) == before + 1
    assert logged.wrongs() == []


def test_what_a_census_cannot_see_yet_is_taken_from_the_log_after_it(
    logged: World, waiting: Callable[[], None]
) -> None:
    before = versions(logged)
    logged.refresh(recapture=["staff"])
    assert versions(logged) == before
    waiting()
    logged.refresh()
    assert (versions(logged), is_from_log(logged)) == (before + 1, True)
    assert logged.wrongs() == []


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


def test_after_very_many_transactions_the_tables_are_counted(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuity, "MOST_TRANSACTIONS", 100)
    for transactions_before, is_logged in ((1, True), (100, False), (1, True)):
        with psycopg.connect(logged.source_url, autocommit=True) as connection:
            for _ in range(transactions_before):
                connection.execute(EDIT)
        logged.refresh()
        assert is_from_log(logged) is is_logged
        assert logged.wrongs() == []


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


def test_text_in_no_encoding_is_counted(
    logging_server: EmbeddedPostgres, database: Callable[..., str], tmp_path: Path
) -> None:
    with psycopg.connect(logging_server.url(), autocommit=True) as connection:
        connection.execute("create database ascii encoding 'SQL_ASCII' locale 'C' template template0")
    source = logging_server.url("ascii")
    seed(source, orders=10)
    publish(source)
    platform = platform_at(source, database("warehouse"), lake_in(tmp_path))
    world = World(replace(platform, from_log=True))
    world.refresh()
    world.change(EDIT)
    world.refresh()
    assert is_from_log(world)
    world.change(r"update staff set first_name = e'caf\xe9' where staff_id = 1")
    world.refresh()
    assert not is_from_log(world)
    world.change("update staff set first_name = 'Ann' where staff_id = 1", EDIT)
    world.refresh()
    assert is_from_log(world)
    drop_slots(logging_server.url())
