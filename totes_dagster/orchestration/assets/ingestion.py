"""The ingestion zone's assets: one multi-asset, because a batch is one snapshot of all tables."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
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
from totes_dagster.aws.metrics import Metric, Stage, emit, emit_stage
from totes_dagster.errors import SettingsError
from totes_dagster.ingest.run import Ingested
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, TableEntry
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.assets.materialized import materialized
from totes_dagster.orchestration.checks.source import contract_result, contract_specs
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.metadata import as_of, preview_of
from totes_dagster.orchestration.resources.databases import TotesysResource
from totes_dagster.orchestration.resources.workers import WorkersResource, spread_of
from totes_dagster.orchestration.specs import (
    INGESTION_ZONE,
    OWNERS,
    column_schema,
    copied_lineage,
    key_of_ingested,
    key_of_source,
)
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of, is_personal

_CAPTURED = {
    Capture.CHANGES: "Each batch holds the rows that may have changed since the one before, as immutable Parquet.",
    Capture.WHOLE: "Each batch in which a row changed holds the whole table, as immutable Parquet.",
}


CAPTURE_VERSION = str(Manifest.model_fields["format"].default)
"""Version of the code behind the ingested tables: the format of what it writes."""

EVERY_TABLE = "all"
"""What stands for every table in `IngestConfig`."""


class IngestConfig(Config):
    """How to ingest."""

    recapture: list[str] = Field(
        default=[],
        description=f"Source tables to capture whole, whether or not they changed; `{EVERY_TABLE}` for every table.",
    )

    def tables(self) -> list[str]:
        """The source tables to capture whole.

        Raises:
            SettingsError: there is no such table.
        """
        unknown = [name for name in self.recapture if name not in (*SOURCE_TABLES, EVERY_TABLE)]
        if unknown:
            raise SettingsError(
                f"totesys has no table {unknown[0]!r} to recapture. It has {', '.join(SOURCE_TABLES)}; "
                f"{EVERY_TABLE!r} stands for every table."
            )
        return list(SOURCE_TABLES) if EVERY_TABLE in self.recapture else self.recapture


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
            tags={"stage": "ingestion", "capture": capture_of(table).value},
            code_version=CAPTURE_VERSION,
            metadata={
                "dagster/table_name": f"ingestion.{name}",
                "dagster/column_schema": column_schema(table),
                "dagster/column_lineage": copied_lineage(key_of_source(name), table.columns),
            },
        ).with_io_manager_key(INGESTION_ZONE)
        for name, table in SOURCE_TABLES.items()
    ],
    check_specs=contract_specs,
    can_subset=True,
)
def ingest(
    context: AssetExecutionContext,
    config: IngestConfig,
    totesys: TotesysResource,
    workers: WorkersResource,
    ingestion_zone: ResourceParam[IngestionIOManager],
) -> Iterator[MaterializeResult | AssetCheckResult]:  # type: ignore[type-arg]
    """Commit what changed in the source since the newest batch, whichever tables were selected."""
    zone = ingestion_zone.zone
    log = BatchLog(zone)
    started = perf_counter()

    cluster = run_step(workers.cluster)

    def ingest_next() -> tuple[Ingested, Manifest]:
        ingested = pipeline.ingest(
            totesys.database(), zone, recapture=config.tables(), from_log=totesys.from_log, cluster=cluster
        )
        return ingested, ingested.batch or log.manifest(log.head())

    ingested, manifest = run_step(ingest_next)
    seconds = round(perf_counter() - started, 3)
    emit_stage(Stage.INGEST, rows=sum(batch.rows for batch in ingested.batches), seconds=seconds)
    if ingested.kept_log_bytes is not None:
        emit({Metric.KEPT_LOG: ingested.kept_log_bytes})
    for name, table in SOURCE_TABLES.items():
        entry = manifest.tables[name]
        brought = [batch.tables[name] for batch in ingested.batches if batch.brings(name)]
        captured = bool(brought)
        if not captured and key_of_ingested(name) not in context.selected_asset_keys:
            continue
        state: dict[str, Any] = as_of(manifest.snapshot.taken_at)
        if not entry.logged:  # otherwise nobody has counted
            state["dagster/row_count"] = entry.census.rows
        if captured:
            context.log_event(AssetObservation(key_of_source(name), metadata=state))
        metadata = {
            **state,
            "batch": entry.batch,
            "content": _content(entry, captured=captured),
            "rows": sum(each.rows for each in brought),
            "parts": sum(len(each.parts) for each in brought),
            "bytes": sum(part.bytes for each in brought for part in each.parts),
            "seconds": seconds,
            **spread_of(cluster),
            **(_preview(zone, table, entry) if captured else {}),
        }
        yield from materialized(context, key_of_ingested(name), entry.batch, metadata)
    if context.selected_asset_check_keys:
        yield contract_result(ingested.deviations)


def _content(entry: TableEntry, *, captured: bool) -> str:
    if not captured:
        return f"nothing new since batch {entry.batch}"
    if entry.content is Capture.WHOLE:
        return "the whole table"
    return "every version, from the log" if entry.logged else "rows that may have changed"


def _preview(zone: Zone, table: Table, entry: TableEntry) -> dict[str, TableMetadataValue]:
    if not entry.parts:
        return {}
    columns = [column.name for column in table.columns if not is_personal(column)]
    return {"preview": preview_of(zone.read_part(entry.parts[-1].path, columns), columns)}
