"""Deletions, range by range of keys: each arrives with its batch, and moves no more than the keys of its ranges."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totes_dagster.ingest import keys as keys_stage
from totes_dagster.ingest.census import key_ranges
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.key_ranges import RangeCount, range_of
from totes_dagster.lake.manifest import Manifest, TableEntry
from totes_dagster.lake.zone import Zone
from totes_dagster.pipeline import catch_up, ingest, rebuild, reconcile
from totes_dagster.reading.lake import ingested_rows, remodelled_rows
from totes_dagster.reading.selection import Selection
from totes_dagster.schema.totesys import Capture
from totes_dagster_tests import oracle
from totes_dagster_tests.system.end_to_end.neighbours.partitioned import NOTHING_REFERS, PARTITIONED
from totes_dagster_tests.world import World

Keys = set[int]

EVERY_KEY = [
    *(number * 2**14 + offset for number in (-2, -1, 0, 1, 7) for offset in (0, 1, 2, 2**14 - 1)),
    -(2**31),
    -(2**31) + 1,
    2**31 - 2,
    2**31 - 1,
]
"""Keys at both ends of some ranges, and of what the warehouse can store."""

KEYS = st.sets(st.sampled_from(EVERY_KEY), max_size=8)


@dataclass(frozen=True)
class Step:
    """What happens to the payments before a batch."""

    deleted: Keys = field(default_factory=set)
    inserted: Keys = field(default_factory=set)
    updated: Keys = field(default_factory=set)
    recaptured: bool = False


STEPS = st.builds(Step, KEYS, KEYS, KEYS, st.integers(0, 9).map(lambda number: number == 0))


def source_keys(world: World) -> Keys:
    with psycopg.connect(world.source_url) as connection:
        return {key for (key,) in connection.execute("select payment_id from payment")}


def amounts(world: World) -> dict[int, Any]:
    with psycopg.connect(world.source_url) as connection:
        return dict(connection.execute("select payment_id, payment_amount from payment").fetchall())


def take(world: World, step: Step) -> None:
    """Delete, insert and update payments, in one transaction; a key may be deleted and inserted again."""
    with psycopg.connect(world.source_url) as connection:
        ((columns,),) = connection.execute(
            "select string_agg(attname, ', ' order by attnum) from pg_attribute where attrelid = 'payment'::regclass "
            "and attnum > 0 and attname <> 'payment_id'"
        ).fetchall()
        connection.execute("alter table payment drop constraint if exists payment_transaction_id_key")
        connection.execute(
            "create temporary table pattern as select * from payment where payment_id > 2 order by payment_id limit 1"
        )
        connection.execute("delete from payment where payment_id = any (%s)", [list(step.deleted)])
        connection.execute(
            f"insert into payment (payment_id, {columns}) select key, {columns} from pattern, unnest(%s::integer[]) as "
            "key on conflict do nothing",
            [list(step.inserted)],
        )
        connection.execute(
            "update payment set payment_amount = payment_amount + 1 where payment_id = any (%s)", [list(step.updated)]
        )
        connection.execute("drop table pattern")


def in_lake(world: World, as_of: int | None = None) -> tuple[dict[int, Any], dict[int, Any]]:
    """Keys and amounts of the payments in both zones."""
    lake, selection = world.platform.lake, Selection(as_of=as_of)
    return tuple(  # type: ignore[return-value]
        dict(zip(*(rows.column(name).to_pylist() for name in ("payment_id", "payment_amount")), strict=True))
        for rows in (
            ingested_rows("payment", lake.ingestion, selection).read_all(),
            remodelled_rows("fact_payment", lake, selection).read_all(),
        )
    )


def entry_of(manifest: Manifest | None) -> TableEntry:
    assert manifest is not None
    return manifest.tables["payment"]


def live_keys(world: World, entry: TableEntry) -> Keys:
    parts = [world.platform.lake.ingestion.read_part(part.path) for part in entry.live_keys or ()]
    return {key for rows in parts for key in rows.column("payment_id").to_pylist()}


@contextmanager
def limits(added: int, live: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keys_stage, "MOST_ADDED", added)
        patched.setattr(keys_stage, "MOST_LIVE", live)
        yield


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(life=st.lists(STEPS, min_size=1, max_size=5), bounds=st.sampled_from([(100, 10_000), (1, 10_000), (1, 2)]))
def test_a_deletion_arrives_with_its_batch_whatever_else_happens(
    company: World, life: list[Step], bounds: tuple[int, int]
) -> None:
    with limits(*bounds):
        states: dict[int, dict[int, Any]] = {}
        for step in life:
            before = source_keys(company)
            take(company, step)
            manifest = company.refresh(recapture=["payment"] if step.recaptured else []).ingested.batch
            now = source_keys(company)
            states[company.head()] = amounts(company)
            assert in_lake(company) == (amounts(company), amounts(company))
            shown = dict(company.ask("select payment_id, payment_amount from current_payment"))
            assert shown == amounts(company)
            if manifest is not None and manifest.brings("payment"):
                check_lists(company, entry_of(manifest), before, now, most_live=bounds[1])
        for batch, state in states.items():
            assert in_lake(company, as_of=batch) == (state, state)


def check_lists(world: World, entry: TableEntry, before: Keys, now: Keys, *, most_live: int) -> None:
    """That a batch lists the live keys of all ranges in which keys are gone, and of none in which nothing changed."""
    if entry.content is Capture.WHOLE:
        assert (entry.live_keys, entry.live_ranges) == (None, None)
        return
    lost = {range_of(key) for key in before - now}
    touched = {range_of(key) for key in before ^ now} & {range_of(key) for key in before}
    if entry.live_keys is None:
        assert not lost
    elif entry.live_ranges is None:
        assert len(touched) > most_live
        assert live_keys(world, entry) == now
    else:
        assert lost <= set(entry.live_ranges) <= touched
        assert len(entry.live_ranges) <= most_live
        assert live_keys(world, entry) == {key for key in now if range_of(key) in entry.live_ranges}


def test_one_deletion_lists_the_keys_of_one_range(company: World) -> None:
    take(company, Step(inserted=set(EVERY_KEY)))
    added = entry_of(company.refresh().ingested.batch)
    take(company, Step(deleted={2**14 + 1}))
    entry = entry_of(company.refresh().ingested.batch)
    assert added.live_keys is None or added.live_ranges is not None
    assert entry.live_ranges == (1,)
    assert live_keys(company, entry) == {2**14, 2**14 + 2, 2**15 - 1}
    assert company.versions("fact_payment", 2**14 + 1) == ["live", "deleted"]
    assert company.wrongs() == []


def test_the_last_key_of_a_range_leaves_an_empty_list(company: World) -> None:
    take(company, Step(inserted={2**31 - 1}))
    company.refresh()
    take(company, Step(deleted={2**31 - 1}))
    entry = entry_of(company.refresh().ingested.batch)
    assert (entry.live_ranges, entry.live_keys) == ((2**17 - 1,), ())
    assert company.versions("fact_payment", 2**31 - 1) == ["live", "deleted"]
    assert company.wrongs() == []


def test_what_is_added_at_the_end_scans_no_keys_and_writes_no_object(
    company: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = entry_of(BatchLog(company.platform.lake.ingestion).manifest(1)).key_ranges
    assert counted is not None
    asked = []

    def count(*where: Any, **which: Any) -> dict[int, RangeCount]:
        asked.append(which)
        return key_ranges(*where, **which)

    monkeypatch.setattr(keys_stage, "key_ranges", count)
    for key in (50_000, 50_001, 90_000):
        take(company, Step(inserted={key}, updated={2}))
        entry = entry_of(company.refresh().ingested.batch)
        assert entry.key_ranges == counted
    assert asked == 3 * [{"highest": 1}]  # and never all
    assert [(added.number, added.keys) for added in entry.added_keys] == [(3, 2), (5, 1)]
    take(company, Step(deleted={50_000}))
    assert entry_of(company.refresh().ingested.batch).live_ranges == (3,)
    assert company.wrongs() == []


def of_an_older_version(world: World, batch: int) -> None:
    """Make the newest manifest one that knows nothing of ranges."""
    zone = world.platform.lake.ingestion
    manifest = BatchLog(zone).manifest(batch)
    tables = {
        name: entry.model_copy(update={"key_ranges": None, "added_keys": ()}) for name, entry in manifest.tables.items()
    }
    file = world_file(zone, f"batches/{batch:010}.json")
    file.write_bytes(manifest.model_copy(update={"tables": tables}).to_json())


def world_file(zone: Zone, path: str) -> Any:
    return Path(zone.url.removeprefix("file://")) / path


def test_after_a_batch_of_an_older_version_all_keys_are_listed_once(unseen_company: World) -> None:
    platform = unseen_company.platform
    take(unseen_company, Step(inserted=set(EVERY_KEY)))
    ingest(platform.source, platform.lake.ingestion)
    of_an_older_version(unseen_company, 1)
    catch_up(platform.warehouse, platform.lake)
    take(unseen_company, Step(inserted={2**14 + 5}, deleted={-1}))
    first = entry_of(unseen_company.refresh().ingested.batch)
    assert first.live_ranges is None
    assert live_keys(unseen_company, first) == source_keys(unseen_company)
    take(unseen_company, Step(deleted={-(2**14)}))
    assert entry_of(unseen_company.refresh().ingested.batch).live_ranges == (-1,)
    assert unseen_company.wrongs() == []


@pytest.mark.parametrize("damage", ["removed", "truncated", "another's"])
def test_where_the_count_is_lost_all_keys_are_listed(company: World, damage: str, caplog: Any) -> None:
    zone = company.platform.lake.ingestion
    counted = entry_of(BatchLog(zone).manifest(1)).key_ranges
    assert counted is not None
    file = world_file(zone, counted.path)
    if damage == "removed":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        other = BatchLog(zone).manifest(1).tables["sales_order"].key_ranges
        assert other is not None
        file.write_bytes(world_file(zone, other.path).read_bytes())
    take(company, Step(deleted={3}))
    entry = entry_of(company.refresh().ingested.batch)
    assert entry.live_keys is not None
    assert entry.live_ranges is None
    assert ("All keys are listed" in caplog.text) == (damage != "another's")
    assert company.versions("fact_payment", 3) == ["live", "deleted"]
    take(company, Step(deleted={4}))
    assert entry_of(company.refresh().ingested.batch).live_ranges == (0,)
    assert company.wrongs() == []


def test_a_repair_lists_the_ranges_of_the_keys_that_it_names(company: World) -> None:
    take(company, Step(inserted=set(EVERY_KEY)))
    company.refresh()
    with psycopg.connect(company.warehouse_url) as connection:
        # One that is not in the source, in a range where the source has keys, and one that the warehouse has lost.
        connection.execute(
            "insert into fact_payment select (jsonb_populate_record(shown, jsonb_build_object('payment_record_id', "
            "1000000, 'payment_id', 20000))).* from current_payment as shown where payment_id = 2"
        )
        connection.execute("delete from fact_payment where payment_id = -1")
    before = BatchLog(company.platform.lake.ingestion).manifest(company.head()).tables["payment"]
    done = reconcile(company.platform)
    entry = entry_of(done.repair)
    assert entry.live_ranges == (-1, 1)
    assert (entry.key_ranges, entry.added_keys) == (before.key_ranges, before.added_keys)
    assert not any(done.left.values())
    assert company.versions("fact_payment", 20_000)[-1] == "deleted"
    assert company.wrongs() == []


def test_a_row_in_quarantine_leaves_it_when_it_is_deleted_in_its_range(company: World) -> None:
    take(company, Step(inserted={70_000, 90_000}))
    company.change("update payment set payment_date = 'soon' where payment_id in (3, 70000, 90000)")
    company.refresh()
    assert company.quarantined() == [("payment", 3), ("payment", 70_000), ("payment", 90_000)]
    take(company, Step(deleted={70_000}))
    assert entry_of(company.refresh().ingested.batch).live_ranges == (4,)
    assert company.quarantined() == [("payment", 3), ("payment", 90_000)]


def test_a_warehouse_that_is_built_anew_is_the_same(company: World) -> None:
    for step in (
        Step(inserted=set(EVERY_KEY)),
        Step(deleted={2**14, -1}),
        Step(inserted={-1}, deleted={2**31 - 1}),
        Step(deleted={-1, -2}, inserted={2**14}),
    ):
        take(company, step)
        company.refresh()
    history = oracle.history(company.warehouse_url)
    rebuild(company.platform)
    assert {k: [v[:-1] for v in vs] for k, vs in oracle.history(company.warehouse_url)["fact_payment"].items()} == {
        k: [v[:-1] for v in vs] for k, vs in history["fact_payment"].items()
    }
    assert company.wrongs() == []


def test_the_keys_of_a_partitioned_table_are_listed_by_ranges_too(company: World) -> None:
    company.change(*NOTHING_REFERS, *PARTITIONED)
    company.change(
        "insert into sales_order select key, created_at, last_updated, design_id, staff_id, counterparty_id, "
        "units_sold, unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id "
        "from sales_order, unnest(array[-20000, -19999, 40000, 40001]) as key where sales_order_id = 5"
    )
    company.refresh()
    company.change("delete from sales_order where sales_order_id in (-20000, 7, 40001)")
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    entry = manifest.tables["sales_order"]
    assert entry.live_ranges == (-2, 0, 2)
    assert sum(part.rows for part in entry.live_keys or ()) == 61
    assert company.wrongs() == []
