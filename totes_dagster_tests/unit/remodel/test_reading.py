"""Parts of the ingestion zone, whichever version of the platform wrote them, are read as the source is declared now."""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from totes_dagster.errors import PartDamagedError, PartMissingError, PartSchemaError
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.manifest import Part
from totes_dagster.lake.zone import Zone
from totes_dagster.remodel.reading import as_declared_now, read_ingested
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.unit.rows import ingested

DESIGN = "design/batch=0000000001/part-00000"

FORMER_NAME = "unfit: values of this row that the types of their columns cannot hold"
"""What the column of unfit values was called in parts of older versions of the platform."""


def written(zone: Zone, table: str, rows: pa.Table, path: str = "") -> Part:
    """A part of a source table in the zone, as its manifest names it."""
    part = zone.create_part(path or f"{table}/batch=0000000001/part-00000", rows)
    assert part is not None
    return part


def read(zone: Zone, table: str, rows: pa.Table, path: str = "") -> pa.Table:
    """Rows of a source table, after they were written and read."""
    return read_ingested(zone, table, (written(zone, table, rows, path),))


@pytest.mark.parametrize("table", SOURCE_TABLES)
def test_the_declared_columns_are_read_and_the_column_of_unfit_values(zone: Zone, table: str) -> None:
    fields = arrow_schema(SOURCE_TABLES[table].columns)
    schema = pa.schema([*(pa.field(field.name, field.type) for field in fields), (UNFIT_VALUES, pa.string())])
    assert read(zone, table, ingested(table, [{}])).schema.equals(schema)
    assert read_ingested(zone, table, ()).equals(schema.empty_table())


def test_all_parts_are_read_in_their_order(zone: Zone) -> None:
    parts = [
        written(zone, "design", ingested("design", [{"design_id": number}]), f"part-{number}") for number in (3, 1, 2)
    ]
    assert read_ingested(zone, "design", tuple(parts)).column("design_id").to_pylist() == [3, 1, 2]


@pytest.mark.parametrize("name", [UNFIT_VALUES, FORMER_NAME], ids=["of today", "of an older version"])
def test_unfit_values_are_read_whatever_their_column_is_called(zone: Zone, name: str) -> None:
    reason = {"file_name": "is odd"}
    rows = ingested("design", [{"design_id": 1}, {"design_id": 2, "file_name": None, "unfit": reason}])
    found = read(zone, "design", rows.rename_columns({UNFIT_VALUES: name}))
    assert found.column_names[-1] == UNFIT_VALUES
    assert found.column(UNFIT_VALUES).to_pylist() == [None, json.dumps(reason)]


def test_a_source_part_that_is_missing_is_named(zone: Zone) -> None:
    with pytest.raises(PartMissingError, match=DESIGN):
        read_ingested(zone, "design", (Part(path=DESIGN, rows=1, bytes=1),))


def test_a_source_part_of_fewer_rows_than_its_manifest_says_is_refused(zone: Zone) -> None:
    part = written(zone, "design", ingested("design", [{"design_id": 1}]))
    with pytest.raises(PartDamagedError, match=f"{DESIGN} in .* has 1 rows; its manifest says 2"):
        read_ingested(zone, "design", (part.model_copy(update={"rows": 2}),))


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
    zone: Zone, spoil: Callable[[pa.Table], pa.Table]
) -> None:
    expected = f"(?s){DESIGN}.*does not have the columns of design.*Found: .*Expected: design_id int32, created_at"
    with pytest.raises(PartSchemaError, match=expected):
        read(zone, "design", spoil(ingested("design", [{}])))


def test_a_source_part_from_before_a_nullable_column_has_none_of_its_values(zone: Zone) -> None:
    rows = ingested("department", [{"location": "Leeds"}]).drop_columns(["location"])
    assert read(zone, "department", rows).column("location").to_pylist() == [None]


def test_a_source_part_from_before_its_table_was_declared_is_read_in_the_declared_types(zone: Zone) -> None:
    rows = ingested("payment", [{"payment_amount": Decimal("2.50")}])
    as_it_came = pa.schema(
        field.with_type({pa.decimal128(10, 2): pa.string(), pa.int32(): pa.int64()}.get(field.type, field.type))
        for field in rows.schema
    )
    found = read(zone, "payment", rows.cast(as_it_came), "undeclared/payment/batch=0000000001/part-00000")
    assert found.column("payment_amount").to_pylist() == [Decimal("2.50")]
    assert found.drop_columns(UNFIT_VALUES).equals(read(zone, "payment", rows).drop_columns(UNFIT_VALUES))


def test_the_order_of_columns_in_a_source_part_does_not_matter(zone: Zone) -> None:
    found = read(zone, "design", ingested("design", [{"design_name": "Wooden"}], reverse=True))
    assert found.column("design_name").to_pylist() == ["Wooden"]


def test_stamps_of_the_oldest_parts_are_read_as_the_milliseconds_that_they_are(zone: Zone) -> None:
    stamp = datetime(2023, 5, 1, 14, 30, 5, 123000)  # noqa: DTZ001 - as the source has it
    rows = ingested("payment", [{"created_at": stamp}])
    in_milliseconds = pa.schema(
        field.with_type(pa.timestamp("ms")) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    )
    found = read(zone, "payment", rows.cast(in_milliseconds)).column("created_at")
    assert (found.type, found.to_pylist()) == (pa.timestamp("us"), [stamp])


# Columns that were declared after their values were ingested

DECLARED = pa.schema([("id", pa.int32()), ("price", pa.decimal128(10, 2)), ("size", pa.int32()), ("note", pa.string())])
LATE = ["price", "size", "note"]


def test_what_was_ingested_before_it_was_declared_is_read_as_if_it_had_been() -> None:
    rows = pa.table(
        {
            "size": pa.array([3, None], pa.int16()),
            "price": ["1.5", "2"],
            "id": pa.array([1, 2], pa.int32()),
            UNFIT_VALUES: pa.nulls(2, pa.string()),
        }
    )
    read = as_declared_now(rows, DECLARED, LATE)
    assert read.schema == DECLARED.append(pa.field(UNFIT_VALUES, pa.string()))
    assert read.to_pylist() == [
        {"id": 1, "price": Decimal("1.50"), "size": 3, "note": None, UNFIT_VALUES: None},
        {"id": 2, "price": Decimal("2.00"), "size": None, "note": None, UNFIT_VALUES: None},
    ]


def test_a_value_that_the_later_declaration_cannot_hold_is_told_beside_those_told_before() -> None:
    before = json.dumps({"id": "is null"})
    rows = pa.table(
        {
            "id": pa.array([None, 2, 3], pa.int32()),
            "price": ["NaN", "2", "1.005"],
            "size": pa.array([2**31, 2**31, 1], pa.int64()),
            UNFIT_VALUES: [before, None, None],
        }
    )
    read = as_declared_now(rows, DECLARED, LATE).to_pylist()
    assert [json.loads(row[UNFIT_VALUES]) for row in read] == [
        {
            "id": "is null",
            "price": "is NaN, which decimal128(10, 2) cannot hold",
            "size": "is 2147483648, which int32 cannot hold",
        },
        {"size": "is 2147483648, which int32 cannot hold"},
        {"price": "is 1.005, which decimal128(10, 2) cannot hold"},
    ]
    assert [(row["price"], row["size"]) for row in read] == [(None, None), (Decimal("2.00"), None), (None, 1)]


def test_columns_that_are_not_late_and_values_of_another_kind_stay_as_they_are() -> None:
    rows = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "size": pa.array([[1]], pa.list_(pa.int32())),
            UNFIT_VALUES: pa.nulls(1, pa.string()),
        }
    )
    read = as_declared_now(rows, DECLARED, ["size"])
    assert read.schema == rows.schema
