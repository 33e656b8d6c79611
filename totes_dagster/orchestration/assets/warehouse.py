"""The warehouse's assets: one multi-asset, because a batch is one transaction over all star tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter

from dagster import AssetCheckResult, AssetExecutionContext, AssetSpec, MaterializeResult, ResourceParam, multi_asset

from totes_dagster import pipeline
from totes_dagster.aws.metrics import Metric, Stage, emit, emit_stage
from totes_dagster.lake.zone import Lake
from totes_dagster.orchestration.checks.loading import load_results, load_specs
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.freshness import FRESHNESS
from totes_dagster.orchestration.io_manager import ZoneIOManager
from totes_dagster.orchestration.metadata import PREVIEW, as_of, table_of
from totes_dagster.orchestration.resources.databases import WarehouseResource
from totes_dagster.orchestration.specs import OWNERS, column_schema, copied_lineage, key_of_loaded, key_of_processed
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import is_fact, remodelled_columns
from totes_dagster.warehouse.load import LoadedBatch
from totes_dagster.warehouse.load_transaction import LoadedTable
from totes_dagster.warehouse.status import WarehouseStatus, newest_rows, warehouse_status


@multi_asset(
    name="load",
    description="Batches that the warehouse lacks are loaded in order, each in one transaction.",
    specs=[
        AssetSpec(
            key_of_loaded(name),
            deps=[key_of_processed(name)],
            group_name="warehouse",
            description=star.comment,
            kinds={"postgres", "table"},
            owners=OWNERS,
            freshness_policy=FRESHNESS,
            tags={"star": "fact" if is_fact(star) else "dimension"},
            metadata={
                "dagster/column_schema": column_schema(star),
                "dagster/column_lineage": copied_lineage(key_of_processed(name), remodelled_columns(star)),
            },
        )
        for name, star in STAR_TABLES.items()
    ],
    check_specs=load_specs,
    can_subset=False,
)
def load(
    context: AssetExecutionContext,
    warehouse: WarehouseResource,
    ingestion_zone: ResourceParam[ZoneIOManager],
    processed_zone: ResourceParam[ZoneIOManager],
) -> Iterator[MaterializeResult | AssetCheckResult]:  # type: ignore[type-arg]
    """Load every batch that the warehouse lacks."""

    def load_pending() -> tuple[list[LoadedBatch], WarehouseStatus, dict[str, Sequence[Mapping[str, str]]]]:
        target = warehouse.warehouse()
        loaded = pipeline.load(target, Lake(ingestion_zone.zone, processed_zone.zone))
        status, newest = retried("Read the warehouse", lambda: (warehouse_status(target), newest_rows(target, PREVIEW)))
        return loaded, status, newest

    started = perf_counter()
    loaded, status, newest = run_step(load_pending)
    seconds = perf_counter() - started
    done = {name: sum((batch.tables[name] for batch in loaded), LoadedTable()) for name in STAR_TABLES}
    _emit(done.values(), status, seconds, loaded=bool(loaded))
    context.log.info(f"The warehouse shows batch {status.newest.batch}, the source as of {status.newest.snapshot_at}.")
    for name in STAR_TABLES:
        yield MaterializeResult(
            asset_key=key_of_loaded(name),
            metadata={
                "dagster/row_count": status.rows[name],
                "batch": status.newest.batch,
                "batches_loaded": len(loaded),
                **done[name].counts(),
                "seconds": round(sum(batch.seconds[name] for batch in loaded), 3),
                **(as_of(status.newest.snapshot_at) if status.newest.snapshot_at else {}),
                "preview": table_of(newest[name]),
            },
        )
    yield from load_results(done, status)


def _emit(done: Iterable[LoadedTable], status: WarehouseStatus, seconds: float, *, loaded: bool) -> None:
    """Emit metrics of the load, and of the warehouse after it."""
    total = sum(done, LoadedTable())
    emit_stage(Stage.LOAD, rows=total.new + total.changed + total.deleted + total.placeholders, seconds=seconds)
    measured: dict[Metric, float] = {
        Metric.REFRESHES: 1,
        Metric.QUARANTINED_ROWS: sum(table.rows for table in status.quarantined.values()),
    }
    # Only after a load: on a quiet night the warehouse is current, however old the last change is.
    if loaded and status.newest.snapshot_at:
        measured[Metric.FRESHNESS_LAG] = (datetime.now(UTC) - status.newest.snapshot_at).total_seconds()
    emit(measured)
