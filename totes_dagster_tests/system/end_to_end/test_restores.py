"""Runs that meet what nobody expects every day: nothing to do, a backlog, and backups put back on either end."""

import logging
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.errors import PartDamagedError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import ingest, load, reconcile, refresh
from totes_dagster.postgres.database import Database
from totes_dagster.remodel.run import Written
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests import oracle
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.end_to_end.backups import Backups, running
from totes_dagster_tests.system.end_to_end.chronicle import History
from totes_dagster_tests.system.end_to_end.life import folder_of
from totes_dagster_tests.system.faults.scenes import shown_by
from totes_dagster_tests.world import NEW_DEAL, World, of_the_older_source

pytestmark = pytest.mark.slow

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"
NEW_STAFF = "insert into staff values (1000, 'Ada', 'Byron', 1, 'ada@totes.example', now(), now())"


@pytest.fixture(autouse=True)
def _listen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "totes_dagster")


@pytest.fixture
def dumps(postgres: EmbeddedPostgres, tmp_path: Path) -> Backups:
    return Backups(postgres, dumped=True, folder=tmp_path)


@pytest.fixture
def copies(postgres: EmbeddedPostgres, tmp_path: Path) -> Backups:
    return Backups(postgres, dumped=False, folder=tmp_path)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since this was last asked, but for the counts of rows that a load tells."""
    messages = [re.sub(r"^(Loaded batch \d+): .*", r"\1.", record.getMessage()) for record in caplog.records]
    caplog.clear()
    return messages


# Nothing to do


def test_a_run_that_has_nothing_to_do_says_so_and_touches_nothing(
    company: World, caplog: pytest.LogCaptureFixture
) -> None:
    tables = (*oracle.DIMENSIONS, *oracle.FACTS, "load_history", "quarantine")

    def places() -> dict[str, Any]:
        rows = {table: company.ask(f"select ctid::text, xmin::text from {table} order by ctid") for table in tables}
        objects = [path for zone in zones for path in sorted(folder_of(zone).rglob("*"))]
        return rows | {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in objects}

    zones = (company.platform.lake.ingestion, company.platform.lake.processed)
    before = places()
    said(caplog)
    for work in (refresh, reconcile, refresh):
        work(company.platform)
        assert said(caplog) == ["Nothing changed in totesys since batch 1."]
    assert places() == before
    done = company.refresh()
    assert (done.ingested.batch, set(done.remodelled.values()), done.loaded) == (None, {Written()}, [])


# A backlog


def test_ten_waiting_batches_are_loaded_one_by_one_in_their_order(
    company: World, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(company)
    platform = company.platform
    for key in range(1, 11):
        history.change(EDIT.format(7), f"delete from payment where payment_id = {key}")
        assert ingest(platform.source, platform.lake.ingestion).batch
    assert company.ask_one("select max(batch) from load_history") == 1
    said(caplog)
    done = company.refresh()
    assert [batch.batch for batch in done.loaded] == list(range(2, 12))
    assert said(caplog) == [
        "Nothing changed in totesys since batch 11.",
        *(f"Loaded batch {batch}." for batch in range(2, 12)),
    ]
    assert history.wrongs(company) == []
    assert company.versions("fact_sales_order", 7) == ["live"] * 11
    log = BatchLog(platform.lake.ingestion)
    assert company.ask("select batch, snapshot_at from load_history order by batch") == [
        (batch, log.manifest(batch).snapshot.taken_at) for batch in range(1, 12)
    ]


def test_of_waiting_batches_those_before_one_that_cannot_be_loaded_are_loaded(company: World) -> None:
    platform = company.platform
    for key in range(1, 6):
        company.change(EDIT.format(key))
        assert ingest(platform.source, platform.lake.ingestion).batch
    log = BatchLog(platform.lake.ingestion)
    (part,) = log.manifest(4).tables["sales_order"].parts
    file = Path(platform.lake.ingestion.url.removeprefix("file://"), part.path)
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(PartDamagedError, match=part.path):
        load(platform.warehouse, platform.lake)
    assert company.ask_one("select max(batch) from load_history") == 3
    file.write_bytes(content)
    assert [batch.batch for batch in load(platform.warehouse, platform.lake)] == [4, 5, 6]
    assert company.wrongs() == []


# A warehouse from yesterday


@of_the_older_source
def test_a_warehouse_from_yesterdays_backup_loads_what_it_lacks(
    company: World, dumps: Backups, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(company)
    history.change(EDIT.format(7), "delete from payment where payment_id = 3")
    company.refresh()
    dumps.make(company.warehouse_url)
    history.change(*NEW_DEAL, NEW_STAFF, EDIT.format(7))
    company.refresh()
    history.change(
        "delete from sales_order where sales_order_id = 8",
        "update sales_order set design_id = 777 where sales_order_id = 9",
        "update staff set last_name = 'Lovelace' where staff_id = 1000",
    )
    company.refresh()
    before = shown_by(company.platform)
    head = company.head()

    dumps.restore(company.warehouse_url)
    assert company.ask_one("select max(batch) from load_history") == 2
    said(caplog)
    company.refresh()
    assert said(caplog) == [
        f"Nothing changed in totesys since batch {head}.",
        *(f"Loaded batch {batch}." for batch in range(3, head + 1)),
    ]
    assert shown_by(company.platform) == before
    assert history.wrongs(company) == []

    history.change(EDIT.format(9))
    company.refresh()
    assert history.wrongs(company) == []
    assert not any(reconcile(company.platform).found.values())


# A source from a backup


@pytest.mark.parametrize(("means", "work"), [("dumps", refresh), ("copies", reconcile)])
def test_a_source_from_a_backup_is_captured_anew_and_the_truth_recorded(
    company: World,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    means: str,
    work: Callable[[Platform], object],
) -> None:
    backups: Backups = request.getfixturevalue(means)
    history = History(company)
    backups.make(company.source_url)
    # A life that will be lost: a part of it is loaded, and a part not yet.
    history.change(*NEW_DEAL, NEW_STAFF, EDIT.format(7), "update staff set last_name = 'Byron' where staff_id = 1")
    company.refresh()
    history.change(EDIT.format(9), "delete from sales_order where sales_order_id = 8")
    ingest(company.platform.source, company.platform.lake.ingestion)

    backups.restore(company.source_url)
    history.change(EDIT.format(10))
    said(caplog)
    work(company.platform)
    assert said(caplog)[0] == (
        "The source is not the one that batch 3 was taken from, but another database, a restored backup, or a promoted "
        "replica. Capturing every table whole."
    )
    manifest = BatchLog(company.platform.lake.ingestion).manifest(4)
    assert {name: (entry.batch, entry.content) for name, entry in manifest.tables.items()} == dict.fromkeys(
        SOURCE_TABLES, (4, Capture.WHOLE)
    )
    assert history.wrongs(company) == []
    for key, versions in {
        1000: ["live", "deleted"],
        7: ["live", "live", "live"],
        8: ["live", "deleted", "live"],
        9: ["live", "live", "live"],
        10: ["live", "live"],
        11: ["live"],
    }.items():
        assert company.versions("fact_sales_order", key) == versions
    assert company.versions("fact_payment", 1000) == ["live", "deleted"]
    assert company.ask_one("select count(*) from dim_staff where staff_id = 1000") == 1
    said(caplog)
    company.refresh()
    assert said(caplog) == ["Nothing changed in totesys since batch 4."]


def test_when_both_ends_come_from_backups_of_different_days_the_truth_is_recorded(
    company: World, copies: Backups
) -> None:
    history = History(company)
    for day in range(1, 5):
        history.change(EDIT.format(7), f"delete from payment where payment_id = {day}")
        company.refresh()
        if day == 2:
            copies.make(company.warehouse_url)
        if day == 3:
            copies.make(company.source_url)
    for url in (company.warehouse_url, company.source_url):
        copies.restore(url)
    history.chronicle.note()
    done = company.refresh()
    assert [batch.batch for batch in done.loaded] == [4, 5, 6]
    assert history.wrongs(company) == []
    assert company.versions("fact_payment", 4) == ["live", "deleted", "live"]
    assert company.versions("fact_sales_order", 7) == ["live"] * 6


def test_a_source_restored_from_a_copy_of_its_volume_is_noticed_whatever_its_transaction_ids(
    unseen_company: World, caplog: pytest.LogCaptureFixture
) -> None:
    with server_folder() as folder:
        volume, older, newer = (folder / which for which in ("volume", "older", "newer"))

        def company_of(server: EmbeddedPostgres) -> World:
            return World(replace(unseen_company.platform, source=Database("totesys", server.url("totesys"))))

        with running(volume) as server:
            server.create_database("totesys")
            seed(server.url("totesys"), orders=20)
        for copy in (older, newer):
            subprocess.run(["cp", "-a", volume, copy], check=True)
        with running(volume) as server:
            world = company_of(server)
            for _ in range(20):
                world.change(EDIT.format(7))
            world.refresh()
            world.change(
                "update purchase_order set item_code = 'lost'", "delete from sales_order where sales_order_id = 8"
            )
            world.refresh()

        # Before anybody looks, this life gives out all transaction ids again that the one before it used, and more.
        with running(newer) as server:
            world = company_of(server)
            world.change("update purchase_order set item_code = 'new' where purchase_order_id = 3")
            for _ in range(50):
                world.change(EDIT.format(9))
            world.refresh()
            assert world.wrongs() == []
            assert world.versions("fact_sales_order", 8) == ["live", "deleted", "live"]
            assert world.versions("fact_purchase_order", 3) == ["live", "live", "live"]
            assert world.refresh().ingested.batch is None

        with running(older) as server:
            world = company_of(server)
            said(caplog)
            world.refresh()
            assert said(caplog)[0] == (
                "The source is older than batch 3: it was restored from a backup. Capturing every table whole."
            )
            assert world.wrongs() == []
            assert world.versions("fact_sales_order", 9) == ["live", "live", "live"]
            assert world.versions("fact_purchase_order", 3) == ["live"] * 4
            assert world.refresh().ingested.batch is None
