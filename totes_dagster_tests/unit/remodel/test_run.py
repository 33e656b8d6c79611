"""What the processed zone must hold, as the manifests imply it, and what of it is missing."""

import tempfile
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from totes_dagster.errors import PartDamagedError, PartMissingError, PartSchemaError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster.remodel.quarantine import quarantine_schema
from totes_dagster.remodel.run import (
    REMODELS,
    StarPart,
    Written,
    missing_parts,
    remodelled,
    star_parts,
    star_schema,
    write_star,
)
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.unit.manifests import history, manifest
from totes_dagster_tests.unit.rows import ingested

EVENT_STARS = {
    "fact_sales_order": "sales_order",
    "fact_purchase_order": "purchase_order",
    "fact_payment": "payment",
    "dim_transaction": "transaction",
}
BATCHES = st.lists(
    st.dictionaries(st.sampled_from(list(SOURCE_TABLES)), st.integers(0, 3), max_size=4), min_size=1, max_size=6
)


class WatchedLake(Zone):
    """A zone that remembers which objects were asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def read(self, path: str) -> pa.Buffer | None:
        self.asked.append(path)
        return super().read(path)


def committed(lake: Zone, *batches: dict[str, int]) -> BatchLog:
    for batch in history(*batches):
        assert BatchLog(lake).commit(batch)
    return BatchLog(lake)


def every_part(star: str, log: BatchLog) -> list[StarPart]:
    return [part for batch in range(1, log.head() + 1) for part in star_parts(star, log.manifest(batch))]


def inputs_of(star: str, manifest: Manifest) -> list[dict[str, list[str]]]:
    return [
        {name: [part.path for part in parts] for name, parts in star_part.inputs.items()}
        for star_part in star_parts(star, manifest)
    ]


@pytest.mark.parametrize("star", EVENT_STARS)
def test_an_event_table_is_remodelled_part_by_part(star: str) -> None:
    source = EVENT_STARS[star]
    _, second = history({}, {source: 3})
    assert [part.path for part in star_parts(star, second)] == [
        f"{star}/v1/batch=0000000002/part-{number:05}.parquet" for number in range(3)
    ]
    assert inputs_of(star, second) == [{source: [f"{source}/batch=0000000002/part-{number:05}"]} for number in range(3)]


def test_a_dimension_of_two_tables_is_remodelled_whole_when_either_changes() -> None:
    _, second, third = history({}, {"department": 1}, {"staff": 2})
    (part,) = star_parts("dim_staff", second)
    assert part.path == "dim_staff/v1/batch=0000000002/part-00000.parquet"
    assert inputs_of("dim_staff", second) == [
        {"staff": ["staff/batch=0000000001/part-00000"], "department": ["department/batch=0000000002/part-00000"]}
    ]
    assert inputs_of("dim_staff", third) == [
        {
            "staff": ["staff/batch=0000000003/part-00000", "staff/batch=0000000003/part-00001"],
            "department": ["department/batch=0000000002/part-00000"],
        }
    ]


def test_the_calendar_of_a_batch_comes_from_the_events_of_that_batch_alone() -> None:
    first, second, third = history({}, {"payment": 2, "staff": 1}, {"payment": 0, "transaction": 1})
    assert [set(inputs) for inputs in inputs_of("dim_date", first)] == [{"sales_order", "purchase_order", "payment"}]
    assert inputs_of("dim_date", second) == [
        {"payment": ["payment/batch=0000000002/part-00000", "payment/batch=0000000002/part-00001"]}
    ]
    assert inputs_of("dim_date", third) == []


def test_a_batch_implies_nothing_for_a_table_that_it_does_not_concern() -> None:
    first, second = history({}, {"payment": 1})
    assert all(star_parts(star, first) for star in STAR_TABLES)
    assert {star for star in STAR_TABLES if star_parts(star, second)} == {"dim_date", "fact_payment"}


def test_deletions_alone_imply_no_part() -> None:
    _, second = history({}, {"sales_order": 0})
    assert star_parts("fact_sales_order", second) == []


def test_an_empty_reference_table_is_an_empty_dimension_nevertheless() -> None:
    (first,) = history({"design": 0})
    assert inputs_of("dim_design", first) == [{"design": []}]


def test_a_new_version_of_a_remodel_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAR_TABLES["fact_payment"].info, "version", 2)
    (first,) = history({})
    assert [part.path for part in star_parts("fact_payment", first)] == [
        "fact_payment/v2/batch=0000000001/part-00000.parquet"
    ]


@settings(deadline=None)
@given(BATCHES)
def test_no_two_parts_have_the_same_name(batches: list[dict[str, int]]) -> None:
    paths = [part.path for manifest in history(*batches) for star in STAR_TABLES for part in star_parts(star, manifest)]
    assert len(paths) == len(set(paths))


@settings(deadline=None)
@given(star=st.sampled_from(list(REMODELS)), batches=BATCHES, data=st.data())
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


def test_a_part_that_went_missing_from_the_newest_batch_is_found(lake: Zone, tmp_path: Path) -> None:
    log = committed(lake, {}, {"payment": 3})
    processed = Zone((tmp_path / "processed").as_uri())
    parts = every_part("fact_payment", log)
    for part in (parts[0], parts[1], parts[3]):
        assert processed.create(part.path, b"")
    assert missing_parts("fact_payment", log, processed) == [parts[2]]


def test_quiet_batches_cost_nothing(tmp_path: Path) -> None:
    ingestion = WatchedLake((tmp_path / "ingestion").as_uri())
    log = committed(ingestion, {}, {"staff": 1}, *([{"payment": 1}] * 50), {"department": 1}, *([{"payment": 1}] * 50))
    processed = Zone((tmp_path / "processed").as_uri())
    ingestion.asked.clear()
    assert [part.batch for part in missing_parts("dim_staff", log, processed)] == [1, 2, 53]
    # The newest batch, and at each change its own and the one before, which says when the change before was.
    assert len(ingestion.asked) <= 1 + 2 * 3


def test_before_the_first_batch_nothing_is_missing(lake: Zone) -> None:
    assert missing_parts("dim_staff", BatchLog(lake), lake) == []


DESIGN = "design/batch=0000000001/part-00000"


def ingested_designs(lake: Zone, *rows: dict[str, Any], told: int | None = None) -> BatchLog:
    """A first batch with these designs, of which the manifest tells so many rows."""
    assert lake.create_part(DESIGN, ingested("design", rows))
    assert BatchLog(lake).commit(manifest({}, rows=len(rows) if told is None else told))
    return BatchLog(lake)


def test_a_star_part_is_computed_and_written_once(lake: Zone, tmp_path: Path) -> None:
    ingested_designs(lake, {"design_id": 1, "design_name": "Wooden"}, {"design_id": 2})
    processed = Zone((tmp_path / "processed").as_uri())
    written = write_star(processed, remodelled("dim_design", lake, processed))
    path = "dim_design/v1/batch=0000000001/part-00000.parquet"
    data = processed.read(path)
    assert data is not None
    assert written == Written(batches=(1,), parts=1, rows=2, bytes=data.size)
    table = processed.read_part(path)
    assert table.schema == star_schema("dim_design")
    assert table.column("design_name").to_pylist() == ["Wooden", "design_name"]
    assert processed.paths("quarantine") == []
    assert write_star(processed, remodelled("dim_design", lake, processed)) == Written()


def test_what_is_set_aside_is_written_beside_and_both_are_counted_in_the_star_part(lake: Zone, tmp_path: Path) -> None:
    ingested_designs(lake, {"design_id": 1}, {"design_id": 2, "design_name": None}, {"design_id": 3})
    processed = Zone((tmp_path / "processed").as_uri())
    written = write_star(processed, remodelled("dim_design", lake, processed))
    assert (written.rows, written.quarantined) == (2, 1)
    assert processed.paths("quarantine") == ["quarantine/design/v1/batch=0000000001/part-00000.parquet"]
    aside = processed.read_part("quarantine/design/v1/batch=0000000001/part-00000.parquet")
    assert aside.schema == quarantine_schema("design")
    assert aside.column("design_id").to_pylist() == [2]
    kept = processed.read_part("dim_design/v1/batch=0000000001/part-00000.parquet")
    assert kept.column("design_id").to_pylist() == [1, 3]
    assert kept.schema.metadata == {b"ingested": b"3", b"quarantined": b"1"}
    assert write_star(processed, remodelled("dim_design", lake, processed)) == Written()


def test_what_is_set_aside_is_written_first_for_nobody_comes_back_once_the_star_part_is_there(lake: Zone) -> None:
    ingested_designs(lake, {"design_id": 2, "design_name": None})
    part, done = next(remodelled("dim_design", lake, lake))
    created: list[str] = []

    class Watched(Zone):
        def create(self, path: str, data: bytes | pa.Buffer) -> bool:
            created.append(path)
            return super().create(path, data)

    write_star(Watched(lake.url), [(part, done)])
    assert created == [part.quarantine, part.path]


def test_what_another_remodel_wrote_first_is_left_as_it_is(lake: Zone, tmp_path: Path) -> None:
    ingested_designs(lake, {"design_id": 1})
    processed = Zone((tmp_path / "processed").as_uri())
    part, done = next(remodelled("dim_design", lake, processed))
    assert processed.create(part.path, b"another's")
    assert write_star(processed, [(part, done)]) == Written()
    assert processed.read(part.path) == pa.py_buffer(b"another's")


def test_a_source_part_that_is_missing_is_named(lake: Zone) -> None:
    committed(lake, {})
    with pytest.raises(PartMissingError, match=DESIGN):
        next(remodelled("dim_design", lake, lake))


def test_a_source_part_of_fewer_rows_than_its_manifest_says_is_refused(lake: Zone) -> None:
    ingested_designs(lake, {"design_id": 1}, told=2)
    with pytest.raises(PartDamagedError, match=f"{DESIGN} in .* has 1 rows; its manifest says 2"):
        next(remodelled("dim_design", lake, lake))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.drop_columns("file_name"),
        lambda rows: rows.set_column(0, "design_id", pa.array([1], pa.int64())),
        lambda rows: rows.set_column(1, "created_at", pa.array([0], pa.timestamp("ns"))),
    ],
    ids=["a column missing", "an integer of another width", "stamps of another resolution"],
)
def test_a_source_part_of_another_schema_is_refused_with_what_was_expected(
    lake: Zone, spoil: Callable[[pa.Table], pa.Table]
) -> None:
    assert lake.create_part(DESIGN, spoil(ingested("design", [{}])))
    committed(lake, {})
    expected = f"(?s){DESIGN}.*does not have the columns of design.*Found: .*Expected: design_id int32, created_at"
    with pytest.raises(PartSchemaError, match=expected):
        next(remodelled("dim_design", lake, lake))


def test_a_source_part_from_before_a_nullable_column_has_none_of_its_values(lake: Zone) -> None:
    rows = ingested("department", [{"location": "Leeds"}]).drop_columns(["location"])
    assert lake.create_part("department/batch=0000000001/part-00000", rows)
    assert lake.create_part("staff/batch=0000000001/part-00000", ingested("staff", [{}]))
    committed(lake, {})
    ((_, done),) = remodelled("dim_staff", lake, lake)
    assert done.rows.column("location").to_pylist() == ["Unknown"]


def test_a_source_part_from_before_its_table_was_declared_is_read_in_the_declared_types(lake: Zone) -> None:
    path = "undeclared/payment/batch=0000000001/part-00000"
    rows = ingested("payment", [{"payment_amount": Decimal("2.50")}])
    as_it_came = pa.schema(
        field.with_type({pa.decimal128(10, 2): pa.string(), pa.int32(): pa.int64()}.get(field.type, field.type))
        for field in rows.schema
    )
    assert lake.create_part(path, rows.cast(as_it_came))
    first = manifest({})
    entry = first.tables["payment"]
    late = entry.model_copy(update={"parts": (entry.parts[0].model_copy(update={"path": path}),)})
    assert BatchLog(lake).commit(first.model_copy(update={"tables": first.tables | {"payment": late}}))
    ((_, done),) = remodelled("fact_payment", lake, lake)
    assert done.rows.column("payment_amount").to_pylist() == [Decimal("2.50")]


def test_the_order_of_columns_in_a_source_part_does_not_matter(lake: Zone) -> None:
    assert lake.create_part(DESIGN, ingested("design", [{"design_name": "Wooden"}], reverse=True))
    committed(lake, {})
    ((_, done),) = remodelled("dim_design", lake, lake)
    assert done.rows.column("design_name").to_pylist() == ["Wooden"]


def test_stamps_of_the_oldest_parts_are_read_as_the_milliseconds_that_they_are(lake: Zone) -> None:
    rows = ingested("payment", [{"created_at": datetime(2023, 5, 1, 14, 30, 5, 123000)}])  # noqa: DTZ001
    in_milliseconds = pa.schema(
        field.with_type(pa.timestamp("ms")) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    )
    assert lake.create_part("payment/batch=0000000001/part-00000", rows.cast(in_milliseconds))
    committed(lake, {})
    ((_, done),) = remodelled("fact_payment", lake, lake)
    assert done.rows.column("created_time").to_pylist() == [time(14, 30, 5, 123000)]
