"""The lake as the one thing that must never be wrong: immutable, whole or not there, and one warehouse's own."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import boto3
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.errors import ForeignLakeError, PartError, PartMissingError
from totes_dagster.ingest import parts as parts_stage
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster.pipeline import MissingParts, ingest, load, reconcile, remodel, write_parts
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Simulator
from totes_dagster_tests import oracle
from totes_dagster_tests.system.platforms import lake_at, lake_in, warehouse_at
from totes_dagster_tests.world import World

Objects = dict[str, object]
EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"


def file_of(zone: Zone, path: str) -> Path:
    return Path(zone.url.removeprefix("file://")) / path


def files(platform: Platform) -> Objects:
    """Every object of both zones, with all that would tell that somebody touched it."""
    found: Objects = {}
    for zone in (platform.lake.ingestion, platform.lake.processed):
        for path in zone.paths(""):
            file = file_of(zone, path)
            found[str(file)] = (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes())
    return found


# Immutable


def live(world: World, seen: Callable[[], Objects]) -> None:
    """Let the company live a while; what the lake holds at one moment, it must hold at all later ones."""
    known: Objects = {}
    with Simulator(world.source_url, seed=3, harsh=True) as simulator:
        for step in range(12):
            simulator.step()
            if step % 4 == 3:
                reconcile(world.platform)
            world.refresh(recapture=["payment", "staff"] if step % 5 == 4 else [])
            now = seen()
            assert {path: now.get(path) for path in known} == known
            assert len(now) > len(known)
            known = now
    assert world.head() > 6


@pytest.mark.slow
def test_no_file_of_the_lake_is_ever_written_again_or_removed(company: World) -> None:
    live(company, lambda: files(company.platform))


@pytest.mark.slow
def test_no_object_of_the_lake_is_ever_written_again_or_removed(unseen_company: World, bucket: str) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    world = World(replace(unseen_company.platform, lake=lake_at(f"s3://{bucket}")))

    def versions() -> Objects:
        """Every version of every object: the bucket keeps them all, and remembers every removal."""
        found: Objects = {}
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            assert "DeleteMarkers" not in page
            for version in page.get("Versions", []):
                assert version["Key"] not in found
                found[version["Key"]] = (version["VersionId"], version["ETag"], version["LastModified"])
        return found

    live(world, versions)
    assert world.wrongs() == []


# Killed halfway


def test_an_ingest_that_dies_before_its_commit_leaves_nothing_that_anybody_reads(
    company: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.change(EDIT)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(BatchLog, "commit", die)
        company.refresh()
    left = set(files(company.platform))
    assert company.head() == 1
    company.change(EDIT, "delete from sales_order where sales_order_id = 8")
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    assert manifest.batch == 2
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert left <= set(files(company.platform))


def die(log: BatchLog, manifest: Manifest) -> bool:
    raise KeyboardInterrupt


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Parts of so few rows that a small table has several."""
    monkeypatch.setattr(parts_stage, "ROWS_PER_PART", 25)
    return 25


@pytest.mark.parametrize("batches", [1, 2])
def test_a_remodel_that_dies_halfway_is_completed_by_the_next(
    unseen_company: World, small_parts: int, batches: int
) -> None:
    platform = unseen_company.platform
    for _ in range(batches):
        unseen_company.change("update sales_order set units_sold = units_sold + 1")
        ingest(platform.source, platform.lake.ingestion)
    parts = MissingParts("fact_sales_order", platform.lake)
    write_parts(islice(parts, 1 + 3 * (batches - 1)), platform.lake.processed)
    before = files(platform)
    done = unseen_company.refresh()
    assert done.remodelled["fact_sales_order"].parts == 2
    assert unseen_company.wrongs(strict=True) == []
    after = files(platform)
    assert {path: after[path] for path in before} == before


def test_a_remodel_that_comes_second_leaves_what_the_first_wrote(unseen_company: World) -> None:
    platform = unseen_company.platform
    ingest(platform.source, platform.lake.ingestion)
    computed_twice = [list(MissingParts("dim_staff", platform.lake)) for _ in range(2)]
    assert write_parts(computed_twice[0], platform.lake.processed).parts == 1
    before = files(platform)
    write_parts(computed_twice[1], platform.lake.processed)
    assert files(platform) == before


@pytest.mark.parametrize("death", [MemoryError, KeyboardInterrupt])
def test_a_load_that_dies_halfway_is_done_by_the_next(company: World, death: type[BaseException]) -> None:
    def die_in_the_last_fact(stage: str, table: str, rows: int) -> None:
        if (stage, table) == ("load", "fact_payment"):
            raise death

    before = company.ask("select * from load_history")
    history = oracle.history(company.warehouse_url)
    company.change(EDIT, "update payment set paid = not paid", "update design set design_name = 'Drawn anew'")
    platform = company.platform
    ingest(platform.source, platform.lake.ingestion)
    for star in STAR_TABLES:
        remodel(star, platform.lake)
    with pytest.raises(death):
        load(platform.warehouse, platform.lake, progress=die_in_the_last_fact)
    assert company.ask("select * from load_history") == before
    assert oracle.history(company.warehouse_url) == history
    assert company.ask_one("select count(*) from dim_design where design_name = 'Drawn anew'") == 0
    company.refresh()
    assert company.wrongs(strict=True) == []


# Large tables


def test_a_table_of_many_parts_is_loaded_as_one(platform: Platform, small_parts: int) -> None:
    seed(platform.source.url, orders=110)
    world = World(platform)
    manifest = world.refresh().ingested.batch
    assert manifest is not None
    assert [part.rows for part in manifest.tables["sales_order"].parts] == [25, 25, 25, 25, 10]
    assert world.wrongs(strict=True) == []

    world.change(
        "update sales_order set units_sold = units_sold + 1 where sales_order_id > 20",
        "delete from payment where payment_id % 10 = 3",
    )
    manifest = world.refresh().ingested.batch
    assert manifest is not None
    assert len(manifest.tables["payment"].live_keys or ()) > 2
    assert len(manifest.tables["sales_order"].parts) == 4
    assert world.wrongs() == []
    assert world.versions("fact_payment", 13) == ["live", "deleted"]
    assert world.versions("fact_sales_order", 21) == ["live", "live"]
    assert world.versions("fact_sales_order", 20) == ["live"]


# Damage


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def retyped(file: Path) -> None:
    table = pq.read_table(file)
    floats = pa.schema(
        pa.field(field.name, pa.float64() if pa.types.is_integer(field.type) else field.type) for field in table.schema
    )
    pq.write_table(table.cast(floats), file)


def removed(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    ("damage", "error", "victim"),
    [
        *itertools.product([truncated, emptied, retyped], [PartError], ["fact_sales_order", "dim_design", "live keys"]),
        (removed, PartMissingError, "live keys"),
    ],
)
def test_a_load_that_meets_a_damaged_part_names_it_and_changes_nothing(
    company: World, damage: Callable[[Path], None], error: type[PartError], victim: str
) -> None:
    platform = company.platform
    company.change(
        EDIT,
        "update design set design_name = 'Drawn anew'",
        "delete from payment where payment_id = 3",
    )
    manifest = ingest(platform.source, platform.lake.ingestion).batch
    assert manifest is not None
    for star in STAR_TABLES:
        remodel(star, platform.lake)
    if victim == "live keys":
        zone, (first, *_) = platform.lake.ingestion, manifest.tables["payment"].live_keys or ()
        path = first.path
    else:
        (path,) = (path for path in platform.lake.processed.paths(victim) if "batch=0000000002" in path)
        zone = platform.lake.processed
    file, shown = file_of(zone, path), shown_by(company)
    content = file.read_bytes()

    damage(file)
    with pytest.raises(error, match=path):
        load(platform.warehouse, platform.lake)
    assert shown_by(company) == shown

    file.write_bytes(content)  # restored, as the message asks for
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]


def test_a_processed_part_that_went_missing_is_computed_anew(company: World, database: Callable[..., str]) -> None:
    company.change(EDIT)
    company.refresh()
    history = oracle.history(company.warehouse_url)
    first, second = company.platform.lake.processed.paths("fact_sales_order")
    assert first < second  # a remodel goes no further back than to the newest batch that is complete
    lost = file_of(company.platform.lake.processed, first)
    content = lost.read_bytes()
    lost.unlink()

    another = World(replace(company.platform, warehouse=warehouse_at(database("another"))))
    another.refresh()
    assert oracle.history(another.warehouse_url) == history
    assert lost.read_bytes() == content


def shown_by(world: World) -> list[object]:
    """All that the warehouse shows."""
    return [
        oracle.history(world.warehouse_url),
        oracle.dimension_rows(world.warehouse_url),
        oracle.broken_foreign_keys(world.warehouse_url),
        world.ask("select * from load_history"),
    ]


@pytest.mark.parametrize(("damage", "error"), [(truncated, PartError), (emptied, PartError), (removed, PartError)])
def test_a_remodel_that_meets_a_damaged_part_names_it(
    company: World, damage: Callable[[Path], None], error: type[PartError]
) -> None:
    platform = company.platform
    company.change(EDIT)
    manifest = ingest(platform.source, platform.lake.ingestion).batch
    assert manifest is not None
    path = manifest.tables["sales_order"].parts[0].path
    shown = shown_by(company)
    damage(file_of(platform.lake.ingestion, path))
    with pytest.raises(error, match=path):
        company.refresh()
    assert shown_by(company) == shown


# Another's


def test_a_warehouse_refuses_the_batches_of_another_lake(company: World, tmp_path: Path) -> None:
    other = World(replace(company.platform, lake=lake_in(tmp_path / "other")))
    company.change(EDIT)
    shown = shown_by(company)
    with pytest.raises(ForeignLakeError, match="batch 1 of another lake"):
        other.refresh()
    assert shown_by(company) == shown
    # With a warehouse of its own, the other lake is as good as any.
    with psycopg.connect(company.warehouse_url) as connection:
        connection.execute("drop schema public cascade")
    other.refresh()
    assert other.wrongs(strict=True) == []
