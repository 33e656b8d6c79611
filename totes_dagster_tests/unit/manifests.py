"""Manifests and parts made by hand."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from totes_dagster.lake.manifest import Census, Manifest, Part, Snapshot, TableEntry
from totes_dagster.lake.processed import star_schema
from totes_dagster.schema.registry import STAR_TABLES, inputs_of
from totes_dagster.schema.star import remodel_version_of
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of

SNAPSHOT = Snapshot(
    taken_at=datetime(2024, 2, 29, 12, tzinfo=UTC),
    xmin=1000,
    xmax=1000,
    system_identifier=1,
    timeline=1,
    database_oid=5,
)
CENSUS = Census(table_oid=1, rows=3, keys=5, versions=7)

MANIFEST = Manifest(
    batch=1,
    snapshot=Snapshot(
        taken_at=datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=UTC),
        xmin=7,
        xmax=9,
        system_identifier=1,
        timeline=1,
        database_oid=5,
    ),
    tables={
        "payment": TableEntry(
            batch=1,
            content=Capture.CHANGES,
            census=Census(table_oid=1, rows=2, keys=-(2**63), versions=2**63 - 1),
            parts=(Part(path="a", rows=2, bytes=9), Part(path="b", rows=3, bytes=9)),
        )
    },
)
"""A batch that brings changes of one table, in two parts."""

BATCHES = st.lists(
    st.dictionaries(st.sampled_from(list(SOURCE_TABLES)), st.integers(0, 3), max_size=4), min_size=1, max_size=6
)
"""Batches from the first on: which tables each brings, and in how many parts."""


def manifest(brought: Mapping[str, int], previous: Manifest | None = None, *, rows: int = 1) -> Manifest:
    """The batch after `previous`, which brings some tables, each with so many parts; the first one brings all.

    Every part has so many `rows`.
    """
    batch = previous.batch + 1 if previous else 1
    brought = brought if previous else {**dict.fromkeys(SOURCE_TABLES, 1), **brought}
    entries = {
        name: TableEntry(
            batch=batch,
            content=capture_of(SOURCE_TABLES[name]),
            census=CENSUS,
            parts=tuple(
                Part(path=f"{name}/batch={batch:010}/part-{number:05}", rows=rows, bytes=1) for number in range(parts)
            ),
        )
        for name, parts in brought.items()
    }
    return Manifest(batch=batch, snapshot=SNAPSHOT, tables=(dict(previous.tables) if previous else {}) | entries)


def history(*batches: Mapping[str, int]) -> list[Manifest]:
    """Batches from the first on."""
    manifests: list[Manifest] = []
    for brought in batches:
        manifests.append(manifest(brought, manifests[-1] if manifests else None))
    return manifests


def star_rows(star: str, *rows: Mapping[str, Any], schema: pa.Schema | None = None) -> pa.Table:
    """Rows of a part of a star table; what a row leaves out is filled in."""
    schema = schema or star_schema(star)
    values = [{**{field.name: _usual(field) for field in schema}, **row} for row in rows]
    return pa.Table.from_pylist(values, schema=schema)


def _usual(field: pa.Field) -> Any:
    if field.nullable:
        return None
    usual = {
        pa.int32(): 1,
        pa.string(): field.name,
        pa.bool_(): True,
        pa.date32(): date(2023, 5, 1),
        pa.time64("us"): time(14, 30, 5, 123000),
        pa.decimal128(10, 2): Decimal("1.50"),
    }
    return usual[field.type]


def star_path(star: str, batch: int, number: int = 0) -> str:
    """Where a part of a star table lies in the processed zone."""
    return f"{star}/v{remodel_version_of(STAR_TABLES[star])}/batch={batch:010}/part-{number:05}.parquet"


def quarantine_path(star: str, batch: int, number: int = 0) -> str:
    """Where the source rows of a part lie that are in quarantine."""
    return star_path(star, batch, number).replace(star, f"quarantine/{inputs_of(star)[0]}", 1)
