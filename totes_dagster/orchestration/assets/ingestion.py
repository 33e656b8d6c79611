"""The ingestion zone's assets: one multi-asset, because a batch is one snapshot of all tables."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetObservation,
    AssetSpec,
    Config,
    MaterializeResult,
    ResourceParam,
    TableMetadataValue,
    multi_asset,
)
from pydantic import Field
from sqlalchemy import Table

from totes_dagster import pipeline
from totes_dagster.aws.metrics import Stage, emit_stage
from totes_dagster.ingest.run import Ingested
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, TableEntry
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.checks.source import contract_results, contract_specs
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.io_manager import ZoneIOManager
from totes_dagster.orchestration.metadata import as_of, preview_of
from totes_dagster.orchestration.resources.databases import TotesysResource
from totes_dagster.orchestration.specs import OWNERS, column_schema, copied_lineage, key_of_ingested, key_of_source
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of, is_personal

_CAPTURED = {
    Capture.CHANGES: "Each batch holds the rows that may have changed since the one before, as immutable Parquet.",
    Capture.WHOLE: "Each batch in which a row changed holds the whole table, as immutable Parquet.",
}


class IngestConfig(Config):
    """How to ingest."""

    recapture: bool = Field(default=False, description="Capture all tables whole, whether or not they changed.")


@multi_asset(
    name="ingest",
    description="One snapshot of totesys becomes the next batch: what changed, as Parquet, committed by one manifest.",
    specs=[
        AssetSpec(
            key_of_ingested(name),
            deps=[key_of_source(name)],
            group_name="ingestion",
            description=f"{table.comment} {_CAPTURED[capture_of(table)]}",
            kinds={"s3", "parquet"},
            owners=OWNERS,
            metadata={
                "dagster/column_schema": column_schema(table),
                "dagster/column_lineage": copied_lineage(key_of_source(name), table.columns),
            },
        )
        for name, table in SOURCE_TABLES.items()
    ],
    check_specs=contract_specs,
    can_subset=False,
)
def ingest(
    config: IngestConfig, totesys: TotesysResource, ingestion_zone: ResourceParam[ZoneIOManager]
) -> Iterator[MaterializeResult | AssetCheckResult | AssetObservation]:  # type: ignore[type-arg]
    """Commit what changed in the source since the newest batch."""
    zone = ingestion_zone.zone
    log = BatchLog(zone)
    recapture = tuple(SOURCE_TABLES) if config.recapture else ()
    started = perf_counter()

    def ingest_next() -> Ingested:
        return pipeline.ingest(totesys.database(), zone, recapture=recapture)

    ingested = run_step(ingest_next)
    seconds = round(perf_counter() - started, 3)
    emit_stage(Stage.INGEST, rows=_rows_of(ingested.batch), seconds=seconds)
    manifest = ingested.batch or log.manifest(log.head())
    for name, table in SOURCE_TABLES.items():
        entry = manifest.tables[name]
        captured = ingested.batch is not None and manifest.brings(name)
        state: dict[str, Any] = {
            "dagster/row_count": entry.census.rows,
            **as_of(manifest.snapshot.taken_at),
        }
        if captured:
            yield AssetObservation(key_of_source(name), metadata=state)
        yield MaterializeResult(
            asset_key=key_of_ingested(name),
            metadata={
                **state,
                "batch": entry.batch,
                "content": _content(entry, captured=captured),
                "rows": entry.rows if captured else 0,
                "parts": len(entry.parts) if captured else 0,
                "bytes": sum(part.bytes for part in entry.parts) if captured else 0,
                "seconds": seconds,
                **(_preview(zone, table, entry) if captured else {}),
            },
        )
    yield from contract_results(ingested.deviations)


def _rows_of(batch: Manifest | None) -> int:
    """How many rows a batch brought."""
    return sum(entry.rows for name, entry in batch.tables.items() if batch.brings(name)) if batch else 0


def _content(entry: TableEntry, *, captured: bool) -> str:
    if not captured:
        return f"nothing new since batch {entry.batch}"
    return "the whole table" if entry.content is Capture.WHOLE else "rows that may have changed"


def _preview(zone: Zone, table: Table, entry: TableEntry) -> dict[str, TableMetadataValue]:
    if not entry.parts:
        return {}
    columns = [column.name for column in table.columns if not is_personal(column)]
    return {"preview": preview_of(zone.read_part(entry.parts[-1].path, columns), columns)}
