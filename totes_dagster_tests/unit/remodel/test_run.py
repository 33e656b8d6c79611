"""What of the processed zone is missing, and how it is written."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import StarPart, star_parts, star_schema
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.remodel.quarantine import quarantine_schema
from totes_dagster.remodel.reading import read_ingested
from totes_dagster.remodel.rows import remodel_rows
from totes_dagster.remodel.run import RemodelledPart, Written, missing_parts, remodel_part, write_part
from totes_dagster.schema.registry import CALENDAR, STAR_TABLES
from totes_dagster_tests.unit.manifests import BATCHES, history, manifest, quarantine_path, star_path
from totes_dagster_tests.unit.rows import Row, ingested


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Zone((tmp_path / "ingestion").as_uri()), Zone((tmp_path / "processed").as_uri()))


class WatchedZone(Zone):
    """A zone that remembers which objects were asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def read(self, path: str) -> pa.Buffer | None:
        self.asked.append(path)
        return super().read(path)


def committed(zone: Zone, *batches: dict[str, int]) -> BatchLog:
    for batch in history(*batches):
        assert BatchLog(zone).commit(batch)
    return BatchLog(zone)


def every_part(star: str, log: BatchLog) -> list[StarPart]:
    return [part for batch in range(1, log.head() + 1) for part in star_parts(star, log.manifest(batch))]


@given(star=st.sampled_from(list(STAR_TABLES)), batches=BATCHES, data=st.data())
def test_wherever_a_remodel_was_killed_exactly_the_rest_is_missing(
    star: str, batches: list[dict[str, int]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        processed = Zone((Path(folder) / "processed").as_uri())
        log = committed(Zone((Path(folder) / "ingestion").as_uri()), *batches)
        parts = every_part(star, log)
        done = data.draw(st.integers(0, len(parts)), label="parts written before it was killed")
        for part in parts[:done]:
            assert processed.create(part.path, b"")
        assert missing_parts(star, log, processed) == parts[done:]


def test_a_part_that_went_missing_from_the_newest_batch_is_found(lake: Lake) -> None:
    log = committed(lake.ingestion, {}, {"payment": 3})
    processed = lake.processed
    parts = every_part("fact_payment", log)
    for part in (parts[0], parts[1], parts[3]):
        assert processed.create(part.path, b"")
    assert missing_parts("fact_payment", log, processed) == [parts[2]]


def test_quiet_batches_cost_nothing(tmp_path: Path) -> None:
    ingestion = WatchedZone((tmp_path / "ingestion").as_uri())
    log = committed(ingestion, {}, {"staff": 1}, *([{"payment": 1}] * 50), {"department": 1}, *([{"payment": 1}] * 50))
    processed = Zone((tmp_path / "processed").as_uri())
    ingestion.asked.clear()
    assert [part.batch for part in missing_parts("dim_staff", log, processed)] == [1, 2, 53]
    # The newest batch, and at each change its own and the one before, which says when the change before was.
    assert len(ingestion.asked) <= 1 + 2 * 3


def test_before_the_first_batch_nothing_is_missing(lake: Lake) -> None:
    assert missing_parts("dim_staff", BatchLog(lake.ingestion), lake.processed) == []


def ingest(lake: Lake, **rows: list[Row]) -> Manifest:
    """Commit a first batch that brings these rows, and one of every other table."""
    first = manifest({})
    tables = dict(first.tables)
    for name, entry in first.tables.items():
        part = lake.ingestion.create_part(entry.parts[0].path, ingested(name, rows.get(name, [{}])))
        assert part is not None
        tables[name] = entry.model_copy(update={"parts": (part,)})
    first = first.model_copy(update={"tables": tables})
    assert BatchLog(lake.ingestion).commit(first)
    return first


def write_missing(lake: Lake, star: str = "dim_design") -> Written:
    """Compute and write what the processed zone lacks of a star table."""
    written = Written()
    for part in missing_parts(star, BatchLog(lake.ingestion), lake.processed):
        written += write_part(remodel_part(part, lake), lake.processed)
    return written


def remodel_first(lake: Lake) -> RemodelledPart:
    """The first part of the designs that is missing, computed."""
    part, *_ = missing_parts("dim_design", BatchLog(lake.ingestion), lake.processed)
    return remodel_part(part, lake)


def test_a_star_part_is_computed_and_written_once(lake: Lake) -> None:
    ingest(lake, design=[{"design_id": 1, "design_name": "Wooden"}, {"design_id": 2}])
    processed = lake.processed
    written = write_missing(lake)
    path = star_path("dim_design", 1)
    data = processed.read(path)
    assert data is not None
    assert written == Written(batches=(1,), parts=1, rows=2, bytes=data.size)
    table = processed.read_part(path)
    assert table.schema == star_schema("dim_design")
    assert table.column("design_name").to_pylist() == ["Wooden", "design_name"]
    assert processed.paths("quarantine") == []
    assert write_missing(lake) == Written()


def test_what_is_set_aside_is_written_beside_and_both_are_counted_in_the_star_part(lake: Lake) -> None:
    ingest(lake, design=[{"design_id": 1}, {"design_id": 2, "design_name": None}, {"design_id": 3}])
    processed = lake.processed
    written = write_missing(lake)
    assert (written.rows, written.quarantined) == (2, 1)
    assert processed.paths("quarantine") == [quarantine_path("dim_design", 1)]
    aside = processed.read_part(quarantine_path("dim_design", 1))
    assert aside.schema == quarantine_schema("design")
    assert aside.column("design_id").to_pylist() == [2]
    kept = processed.read_part(star_path("dim_design", 1))
    assert kept.column("design_id").to_pylist() == [1, 3]
    assert kept.schema.metadata == {b"ingested": b"3", b"quarantined": b"1"}
    assert write_missing(lake) == Written()


def test_what_is_set_aside_is_written_first_for_nobody_comes_back_once_the_star_part_is_there(lake: Lake) -> None:
    ingest(lake, design=[{"design_id": 2, "design_name": None}])
    remodelled = remodel_first(lake)
    created: list[str] = []

    class Watched(Zone):
        def create(self, path: str, data: bytes | pa.Buffer) -> bool:
            created.append(path)
            return super().create(path, data)

    write_part(remodelled, Watched(lake.processed.url))
    assert created == [remodelled.part.quarantine, remodelled.part.path]


def test_what_another_remodel_wrote_first_is_left_as_it_is(lake: Lake) -> None:
    ingest(lake, design=[{"design_id": 1}])
    remodelled, processed = remodel_first(lake), lake.processed
    assert processed.create(remodelled.part.path, b"another's")
    assert write_part(remodelled, processed) == Written()
    assert processed.read(remodelled.part.path) == pa.py_buffer(b"another's")


def test_the_calendar_of_a_batch_has_the_years_that_its_sound_facts_name(lake: Lake) -> None:
    payments: list[Row] = [{"payment_id": 1}, {"payment_id": 2, "payment_date": "soon", "created_at": None}]
    first = ingest(lake, sales_order=[{"agreed_payment_date": "2021-07-01"}], payment=payments)
    assert write_missing(lake, CALENDAR.name).rows == 3 * 365
    (part,) = star_parts(CALENDAR.name, first)
    years = lake.processed.read_part(part.path).column("year").unique().to_pylist()
    assert years == [2021, 2022, 2023]


def test_what_was_written_adds_up_batch_by_batch() -> None:
    one = Written(batches=(1,), parts=1, rows=2, quarantined=1, bytes=10, newest=pa.table({"a": [1]}))
    other = Written(batches=(1, 2), parts=2, rows=5, bytes=7, newest=pa.table({"a": [2]}))
    both = one + other
    assert both == Written(batches=(1, 2), parts=3, rows=7, quarantined=1, bytes=17)
    assert both.newest is other.newest
    assert (both + Written()).newest is other.newest


def test_the_calendar_has_the_days_of_every_part_of_the_facts(lake: Lake) -> None:
    first = ingest(lake, payment=[{"payment_date": "2021-05-05"}])
    entry = first.tables["payment"]
    second = lake.ingestion.create_part("payment/second.parquet", ingested("payment", [{"payment_date": "1999-05-05"}]))
    assert second is not None
    tables = {**first.tables, "payment": entry.model_copy(update={"parts": (*entry.parts, second)})}
    (part,) = star_parts("dim_date", first.model_copy(update={"tables": tables}))

    def years() -> set[int]:
        return set(remodel_part(part, lake).contents.rows.column("year").to_pylist())

    computed = years()
    assert {1999, 2021} <= computed
    # Days of a fact that is remodelled already are read, and not computed again.
    for number, piece in enumerate((*entry.parts, second)):
        inputs = {"payment": read_ingested(lake.ingestion, "payment", (piece,))}
        rows = remodel_rows("fact_payment", inputs).rows
        assert lake.processed.create_part(star_path("fact_payment", 1, number), rows)
        Path(lake.ingestion.url.removeprefix("file://"), piece.path).unlink()
    assert years() == computed
