"""Which parts the processed zone must hold, as manifests imply it, and what a part says of its rows."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import RowCounts, star_parts, star_schema
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.registry import STAR_TABLES, driving_table_of
from totes_dagster.schema.star import remodelled_columns
from totes_dagster_tests.unit.manifests import BATCHES, history, manifest, quarantine_path, star_path, star_rows

EVENT_STARS = {
    "fact_sales_order": "sales_order",
    "fact_purchase_order": "purchase_order",
    "fact_payment": "payment",
    "dim_transaction": "transaction",
}


def paths_of(star: str, manifest: Manifest) -> list[dict[str, list[str]]]:
    return [
        {name: [part.path for part in parts] for name, parts in star_part.inputs.items()}
        for star_part in star_parts(star, manifest)
    ]


@pytest.mark.parametrize("star", EVENT_STARS)
def test_an_event_table_is_remodelled_part_by_part(star: str) -> None:
    source = EVENT_STARS[star]
    _, second = history({}, {source: 3})
    assert [part.path for part in star_parts(star, second)] == [star_path(star, 2, number) for number in range(3)]
    assert paths_of(star, second) == [{source: [f"{source}/batch=0000000002/part-{number:05}"]} for number in range(3)]


def test_a_dimension_of_two_tables_is_remodelled_whole_when_either_changes() -> None:
    _, second, third = history({}, {"department": 1}, {"staff": 2})
    (part,) = star_parts("dim_staff", second)
    assert part.path == star_path("dim_staff", 2)
    assert paths_of("dim_staff", second) == [
        {"staff": ["staff/batch=0000000001/part-00000"], "department": ["department/batch=0000000002/part-00000"]}
    ]
    assert paths_of("dim_staff", third) == [
        {
            "staff": ["staff/batch=0000000003/part-00000", "staff/batch=0000000003/part-00001"],
            "department": ["department/batch=0000000002/part-00000"],
        }
    ]


def test_the_calendar_of_a_batch_comes_from_the_events_of_that_batch_alone() -> None:
    first, second, third = history({}, {"payment": 2, "staff": 1}, {"payment": 0, "transaction": 1})
    assert [set(inputs) for inputs in paths_of("dim_date", first)] == [{"sales_order", "purchase_order", "payment"}]
    assert paths_of("dim_date", second) == [
        {"payment": ["payment/batch=0000000002/part-00000", "payment/batch=0000000002/part-00001"]}
    ]
    assert paths_of("dim_date", third) == []


def test_a_batch_implies_nothing_for_a_table_that_it_does_not_concern() -> None:
    first, second = history({}, {"payment": 1})
    assert all(star_parts(star, first) for star in STAR_TABLES)
    assert {star for star in STAR_TABLES if star_parts(star, second)} == {"dim_date", "fact_payment"}


def test_deletions_alone_imply_no_part() -> None:
    _, second = history({}, {"sales_order": 0})
    assert star_parts("fact_sales_order", second) == []


def test_an_empty_reference_table_is_an_empty_dimension_nevertheless() -> None:
    (first,) = history({"design": 0})
    assert paths_of("dim_design", first) == [{"design": []}]


def test_a_new_version_of_a_remodel_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAR_TABLES["fact_payment"].info, "version", 2)
    (first,) = history({})
    assert [part.path for part in star_parts("fact_payment", first)] == [
        "fact_payment/v2/batch=0000000001/part-00000.parquet"
    ]


@given(BATCHES)
def test_no_two_parts_have_the_same_name(batches: list[dict[str, int]]) -> None:
    paths = [part.path for manifest in history(*batches) for star in STAR_TABLES for part in star_parts(star, manifest)]
    assert len(paths) == len(set(paths))


def test_a_batch_from_before_a_table_was_declared_implies_nothing_for_what_is_made_of_it() -> None:
    (first,) = history({})
    older = first.model_copy(update={"tables": {name: first.tables[name] for name in ("staff", "payment")}})
    assert {star for star in STAR_TABLES if star_parts(star, older)} == {"fact_payment"}


@given(BATCHES)
def test_every_part_that_a_batch_brings_of_a_driving_table_is_an_input_once(batches: list[dict[str, int]]) -> None:
    *_, newest = history(*batches)
    for star in STAR_TABLES:
        driving = driving_table_of(star)
        if driving is not None and newest.brings(driving):
            inputs = [part for star_part in star_parts(star, newest) for part in star_part.inputs[driving]]
            assert inputs == list(newest.tables[driving].parts)


@pytest.mark.parametrize("star", STAR_TABLES)
def test_a_part_counts_the_rows_of_its_driving_table(star: str) -> None:
    parts = star_parts(star, manifest({"sales_order": 2, "staff": 2, "department": 3}, rows=5))
    rows = sum(part.ingested_rows for part in parts)
    driving = driving_table_of(star)
    assert rows == (0 if driving is None else 5 * (2 if driving in {"sales_order", "staff"} else 1))


@pytest.mark.parametrize("star", STAR_TABLES)
def test_quarantined_rows_lie_under_the_name_of_the_table_that_they_are_of(star: str) -> None:
    (part, *_) = star_parts(star, manifest({}))
    assert part.quarantine == quarantine_path(star, 1)


@pytest.mark.parametrize("star", STAR_TABLES)
def test_a_part_has_the_columns_that_the_remodel_computes(star: str) -> None:
    assert star_schema(star).names == [column.name for column in remodelled_columns(STAR_TABLES[star])]


@given(st.builds(RowCounts, st.integers(0, 2**62), st.integers(0, 2**62)))
def test_row_counts_are_read_as_they_were_attached(counts: RowCounts) -> None:
    rows = counts.attached_to(star_rows("dim_design", {}))
    assert RowCounts.of(rows) == counts
    assert rows.replace_schema_metadata().equals(star_rows("dim_design", {}))


def test_row_counts_stay_with_a_part_in_the_lake(zone: Zone) -> None:
    counts = RowCounts(ingested=3, quarantined=1)
    assert zone.create_part("a", counts.attached_to(star_rows("dim_design", {}, {"design_id": 2})))
    assert RowCounts.of(zone.read_part("a")) == counts


def test_row_counts_are_the_only_metadata_and_none_where_there_are_none() -> None:
    rows = pa.table({"a": [1]}).replace_schema_metadata({"theirs": "7"})
    assert RowCounts.of(rows) == RowCounts(0, 0)
    assert RowCounts(1, 0).attached_to(rows).schema.metadata == {b"ingested": b"1", b"quarantined": b"0"}
