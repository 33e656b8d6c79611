"""The processed zone: which parts a batch becomes, their paths, and their metadata.

Everything follows from the batch's manifest. So missing parts are found by looking for them, and every process that
writes a part writes the same one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, Part
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.registry import STAR_TABLES, driving_table_of, inputs_of
from totes_dagster.schema.star import StarKind, kind_of, remodel_version_of, remodelled_columns
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of

REASON = "reason"
"""Column of a quarantine part: why the row is in quarantine, one sentence per breach."""


@dataclass(frozen=True)
class StarPart:
    """One part of the processed zone, as implied by its batch's manifest.

    Attributes:
        star: the star table.
        batch: the batch's number.
        path: path of the part with the star table's rows.
        quarantine: path of the part with the source rows that could not become rows of it, if there are any.
        inputs: the parts of the ingestion zone that it is computed from, by source table.
    """

    star: str
    batch: int
    path: str
    quarantine: str
    inputs: dict[str, tuple[Part, ...]]

    @property
    def ingested_rows(self) -> int:
        """How many source rows become rows of this part or go to quarantine; 0 for the calendar, which has none."""
        driving = driving_table_of(self.star)
        return sum(part.rows for part in self.inputs[driving]) if driving else 0


@dataclass(frozen=True)
class RowCounts:
    """Counts of the source rows that a part was computed from, kept in the metadata of its Arrow schema.

    Attributes:
        ingested: how many source rows there were.
        quarantined: how many of them could not become rows of the star table.
    """

    ingested: int = 0
    quarantined: int = 0

    def attached_to(self, rows: pa.Table) -> pa.Table:
        """The rows, with these counts as their only metadata."""
        return rows.replace_schema_metadata({"ingested": str(self.ingested), "quarantined": str(self.quarantined)})

    @classmethod
    def of(cls, rows: pa.Table) -> "RowCounts":
        """The counts in the metadata of rows; 0 where there are none."""
        metadata = rows.schema.metadata or {}
        return cls(int(metadata.get(b"ingested", 0)), int(metadata.get(b"quarantined", 0)))


def star_schema(star: str) -> pa.Schema:
    """The Arrow schema of a star table's parts."""
    return arrow_schema(remodelled_columns(STAR_TABLES[star]))


def star_parts(star: str, manifest: Manifest) -> list[StarPart]:
    """The parts of a star table that a batch must have; none if the batch brings nothing to it.

    Event tables are remodelled part by part, which bounds the memory. A dimension of reference tables is one part,
    computed from whole tables, some of which may have come with earlier batches. The calendar is one part.
    """
    names = inputs_of(star)
    if not all(name in manifest.tables for name in names):
        return []  # the batch is older than the declaration of a source table
    brought = {name: manifest.tables[name].parts for name in names if manifest.brings(name)}
    if kind_of(STAR_TABLES[star]) is StarKind.CALENDAR:
        inputs = [{name: parts for name, parts in brought.items() if parts}]
    elif capture_of(SOURCE_TABLES[names[0]]) is Capture.CHANGES:
        inputs = [{name: (part,)} for name, parts in brought.items() for part in parts]
    else:
        inputs = [{name: manifest.tables[name].parts for name in names}] if brought else []
    return [
        StarPart(
            star,
            manifest.batch,
            path=part_path(star, star, manifest.batch, number),
            quarantine=part_path(star, f"quarantine/{names[0]}", manifest.batch, number),
            inputs=tables,
        )
        for number, tables in enumerate(inputs)
        if tables
    ]


def part_path(star: str, folder: str, batch: int, number: int) -> str:
    """The path of a part of a star table in a folder: the table's own, or that of its quarantine."""
    return f"{folder}/v{remodel_version_of(STAR_TABLES[star])}/batch={batch:010}/part-{number:05}.parquet"


def changes_of(star: str, log: BatchLog, newest: int) -> Iterator[Manifest]:
    """The manifests of the batches that brought something to a star table, from a batch back to the first.

    The manifests of the other batches are not read, except for that of the batch itself.
    """
    batch = newest
    while batch:
        manifest = log.manifest(batch)
        last_change = last_change_of(star, manifest)
        if last_change == batch:
            yield manifest
            batch -= 1
        else:
            batch = last_change


def last_change_of(star: str, manifest: Manifest) -> int:
    """The newest batch, up to a manifest's own, that brought something to a star table; 0 if none did."""
    return max((manifest.tables[name].batch for name in inputs_of(star) if name in manifest.tables), default=0)
