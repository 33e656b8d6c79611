"""What workers make is what one process makes, to the byte."""

import logging
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.errors import RowsRepeatedError
from totes_dagster.ingest import extraction
from totes_dagster.lake.processed import star_parts
from totes_dagster.pipeline import ingest, load, rebuild, reconcile, refresh, remodel_all
from totes_dagster.remodel.run import remodel_part
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.system.cluster.conftest import ORDERS
from totes_dagster_tests.system.cluster.hosts import Hosts, hosts_of
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World


@pytest.mark.parametrize("workers", [2, *(pytest.param(many, marks=pytest.mark.slow) for many in (1, 4))])
def test_workers_make_what_one_process_makes(
    world: World, hosts: Hosts, companies: Companies, workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")
    alone = platform_at(world.source_url, companies.database("alone"), lake_in(tmp_path / "alone"), "public")
    refresh(alone)
    hosts.start_workers(workers=workers)
    refresh(hosts.leading())
    assert _contents(world.platform) == _contents(alone)
    assert _processed(world.platform) == _processed(alone)
    assert not world.wrongs()
    assert _leftovers(world.platform) == []
    assert "shares of sales_order were done by workers on 1 machine." in caplog.text
    assert "parts to stage were done by workers on 1 machine." in caplog.text
    assert "by this process" not in caplog.text


@pytest.mark.slow
def test_there_may_be_more_workers_than_pieces(
    world: World, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")
    monkeypatch.setattr(extraction, "ROWS_PER_SHARE", 450)
    hosts.start_workers(workers=5)
    refresh(hosts.leading())
    assert not world.wrongs()
    assert "4 of 4 shares of sales_order were done by workers on 1 machine." in caplog.text
    assert "by this process" not in caplog.text


def test_a_rebuild_a_reconciliation_and_a_remodel_by_workers_do_what_one_process_does(
    world: World, hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")
    refresh(world.platform)
    world.change(
        "update sales_order set units_sold = units_sold + 1 where sales_order_id % 3 = 0",
        "delete from payment where payment_id = 7",
    )
    refresh(world.platform)
    history, processed = _contents(world.platform), _processed(world.platform)
    hosts.start_workers(workers=2)
    leading = hosts.leading()
    rebuild(leading)
    assert _without_record_ids(_contents(world.platform)) == _without_record_ids(history)
    assert "parts to stage were done by workers" in caplog.text
    lost = [path for path in processed if path.startswith(("fact_sales_order", "dim_date"))]
    for path in lost:
        Path(world.platform.lake.processed.url.removeprefix("file://"), path).unlink()
    remodel_all(world.platform.lake, cluster=leading.cluster)
    assert {path: _processed(world.platform)[path] for path in lost} == {path: processed[path] for path in lost}
    assert "parts to remodel were done by workers" in caplog.text
    assert "parts whose days the calendar has were done by workers" in caplog.text
    # Damaged on purpose, in the warehouse alone.
    with psycopg.connect(world.warehouse_url) as connection:
        connection.execute("update fact_payment set payment_amount = 0 where payment_id = 5")
        connection.execute("delete from fact_sales_order where sales_order_id = 9")
    reconciled = reconcile(leading)
    assert {name: found.count for name, found in reconciled.found.items() if found} == {
        "fact_payment": 1,
        "fact_sales_order": 1,
    }
    assert not any(reconciled.left.values())
    assert not world.wrongs()
    assert "ranges of keys of fact_payment were done by workers" in caplog.text


@pytest.mark.slow
def test_a_large_batch_that_changes_what_is_there_is_merged_by_its_versions(world: World, hosts: Hosts) -> None:
    refresh(world.platform)
    hosts.start_workers()
    world.change("update sales_order set unit_price = unit_price + 1", "update payment set paid = not paid")
    refreshed = refresh(hosts.leading(), recapture=["sales_order", "payment", "transaction"])
    changed = {name: done.changed for name, done in refreshed.loaded[0].tables.items() if done.changed}
    assert changed["fact_sales_order"] == ORDERS
    assert changed["fact_payment"] == world.ask_one("select count(*) from current_payment")
    assert not world.wrongs()


def test_a_small_batch_is_not_told_to_workers(world: World, hosts: Hosts) -> None:
    refresh(world.platform)
    leading = hosts.leading()
    world.change("update sales_order set units_sold = 1 where sales_order_id = 4")
    refresh(leading)
    assert leading.cluster
    assert leading.cluster.spread == []
    assert not world.wrongs()


@pytest.mark.slow
def test_tables_that_nobody_has_locked_are_not_told_to_workers(world: World, hosts: Hosts) -> None:
    world.change(
        "create table visit as select number, repeat('x', 100) as page from generate_series(1, 5000) as number"
    )
    hosts.start_workers()
    leading = hosts.leading()
    ingested = ingest(leading.source, leading.lake.ingestion, cluster=leading.cluster).batch
    assert ingested
    assert sum(part.rows for part in ingested.tables["visit"].parts) == 5000
    assert leading.cluster
    told = {done.what for done in leading.cluster.spread}
    assert "shares of sales_order" in told
    assert "shares of visit" not in told


@pytest.mark.slow
def test_what_workers_set_aside_is_in_quarantine(companies: Companies, tmp_path: Path) -> None:
    world = World(companies.unseen(Company(orders=ORDERS, enforced=False)))
    world.change("update sales_order set agreed_payment_date = 'soon' where sales_order_id in (3, 1200)")
    with hosts_of(world.platform, tmp_path) as hosts:
        hosts.start_scheduler()
        hosts.start_workers()
        refresh(hosts.leading())
    assert world.quarantined() == [("sales_order", 3), ("sales_order", 1200)]
    assert world.ask_one("select count(*) from current_sales_order") == ORDERS - 2


@pytest.mark.slow
@pytest.mark.parametrize("place", ["in one part", "in two parts"])
def test_rows_that_share_a_key_are_refused_however_they_are_spread(world: World, hosts: Hosts, place: str) -> None:
    hosts.start_workers()
    leading = hosts.leading()
    ingested = ingest(leading.source, leading.lake.ingestion, cluster=leading.cluster).batch
    assert ingested
    first, second, *_ = star_parts("fact_sales_order", ingested)
    rows = remodel_part(second, leading.lake).contents.rows
    other = rows if place == "in one part" else remodel_part(first, leading.lake).contents.rows
    keys = [*rows.column("sales_order_id").to_pylist()[:-1], other.column("sales_order_id")[0].as_py()]
    field = rows.schema.field("sales_order_id")
    doubled = rows.set_column(0, field, pa.array(keys, field.type)).replace_schema_metadata(rows.schema.metadata)
    assert leading.lake.processed.create_part(second.path, doubled)
    with pytest.raises(RowsRepeatedError, match=rf"the same sales_order_id: {ORDERS:,} rows, but {ORDERS - 1:,} keys"):
        load(leading.warehouse, leading.lake, cluster=leading.cluster)
    assert world.ask_one("select count(*) from load_history") == 0


def _contents(platform: Platform) -> dict[str, list[tuple[str]]]:
    with psycopg.connect(platform.warehouse.database.url) as connection:
        return {
            name: connection.execute(f"select t::text from {name} as t order by 1").fetchall() for name in STAR_TABLES
        }


def _without_record_ids(contents: dict[str, list[tuple[str]]]) -> dict[str, list[str]]:
    """Rows without their first column, which a rebuild gives anew to facts."""
    return {
        name: sorted(row.partition(",")[2] if name.startswith("fact_") else row for (row,) in rows)
        for name, rows in contents.items()
    }


def _processed(platform: Platform) -> dict[str, bytes]:
    zone = platform.lake.processed
    found = {path: zone.read(path) for path in zone.paths("")}
    return {path: data.to_pybytes() for path, data in found.items() if data}


def _leftovers(platform: Platform) -> list[tuple[str]]:
    with psycopg.connect(platform.warehouse.database.url) as connection:
        return connection.execute("select relname from pg_class where relname like 'staging%'").fetchall()
