"""The warehouse's assets: one multi-asset, because a batch is one transaction over all star tables."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from time import perf_counter
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetExecutionContext,
    AssetSpec,
    DagsterInstance,
    MaterializeResult,
    ResourceParam,
    multi_asset,
)

from totes_dagster import pipeline
from totes_dagster.aws.metrics import Metric, Stage, emit, emit_stage
from totes_dagster.config import settings
from totes_dagster.config.platform import Warehouse
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.processed import last_change_of
from totes_dagster.orchestration.assets.materialized import materialized
from totes_dagster.orchestration.checks.loading import HEALTH, evaluation_of, health_results, health_specs
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.freshness import FRESHNESS
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.orchestration.metadata import PREVIEW, as_of, table_of
from totes_dagster.orchestration.recorded import (
    confirmations,
    due,
    known_until,
    recorded_loads,
    recorded_versions,
    remodelled_by_load,
    versions_of,
)
from totes_dagster.orchestration.resources.databases import WarehouseResource
from totes_dagster.orchestration.resources.workers import WorkersResource, spread_of
from totes_dagster.orchestration.specs import (
    OWNERS,
    WAREHOUSE_TABLES,
    column_schema,
    copied_lineage,
    key_of_loaded,
    key_of_processed,
)
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import is_fact, kind_of, remodel_version_of, remodelled_columns
from totes_dagster.warehouse.loaded import LoadedBatch, LoadedTable
from totes_dagster.warehouse.status import WarehouseStatus, last_changes, newest_rows, warehouse_status

NOTEBOOKS = (
    "In a clone of the project, `make notebook` analyses the facts (notebooks/company.py), and `make notebook "
    "NAME=history` shows how to ask for their earlier states (notebooks/history.py)."
)
"""Text, and no link: an image or a wheel has no notebooks, and Dagster shows those of Jupyter only."""

SCHEMA = os.environ.get(settings.WAREHOUSE_SCHEMA) or settings.DEFAULT_SCHEMA


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
            tags={"stage": "warehouse", "star": kind_of(star).value},
            code_version=str(remodel_version_of(star)),
            metadata={
                "dagster/table_name": f"{SCHEMA}.{name}",
                "dagster/column_schema": column_schema(star),
                "dagster/column_lineage": copied_lineage(key_of_processed(name), remodelled_columns(star)),
                **({"notebooks": NOTEBOOKS} if is_fact(star) else {}),
            },
        ).with_io_manager_key(WAREHOUSE_TABLES)
        for name, star in STAR_TABLES.items()
    ],
    check_specs=health_specs,
    can_subset=True,
)
def load(
    context: AssetExecutionContext,
    warehouse: WarehouseResource,
    workers: WorkersResource,
    processed_zone: ResourceParam[ProcessedIOManager],
) -> Iterator[MaterializeResult | AssetCheckResult]:  # type: ignore[type-arg]
    """Load every batch that the warehouse lacks, and say what became of the tables.

    Those that the run has not selected are told of too if the load changed them, or if they are due for confirmation.
    """

    def load_pending() -> _Done:
        target = warehouse.warehouse()
        loaded = pipeline.load(target, processed_zone.lake, cluster=cluster)
        state = retried("Read the warehouse", lambda: _state(context.instance, target, loaded))
        return _Done(loaded, *state, retried("Read the lake", lambda: _untold(context.instance, loaded, log)))

    cluster = run_step(workers.cluster)
    log, started = BatchLog(processed_zone.lake.ingestion), perf_counter()
    done = run_step(load_pending)
    newest = done.status.newest
    _emit(done, seconds=perf_counter() - started)
    context.log.info(f"The warehouse shows batch {newest.batch}, the source as of {newest.snapshot_at}.")
    selected = {name for name in STAR_TABLES if key_of_loaded(name) in context.selected_asset_keys}
    told = [name for name in STAR_TABLES if name in selected or done.has_changed(name)]
    # The processed zone first: Dagster takes a table for out of date if what it was made of is materialized after it.
    for name, version in done.untold.items():
        context.log_event(remodelled_by_load(name, version))
    for name in told:
        metadata = {**done.metadata_of(name), **spread_of(cluster)}
        yield from materialized(context, key_of_loaded(name), done.versions[name], metadata)
    for event in confirmations(set(done.due).difference(told), newest, done.versions, done.status.rows):
        context.log_event(event)
    for name, result in health_results(done.status).items():
        if AssetCheckKey(key_of_loaded(name), HEALTH) in context.selected_asset_check_keys:
            yield result
        elif done.has_changed(name):
            context.instance.report_runless_asset_event(evaluation_of(name, result))


@dataclass(frozen=True)
class _Done:
    """What a load did, and the state after it.

    Attributes:
        loaded: the batches that it loaded.
        status: the warehouse after it.
        newest_rows: the first few rows of the tables that it changed, newest first.
        versions: the batch that last changed each table.
        due: the tables that Dagster was told of too long ago.
        untold: the data versions of tables of the processed zone that Dagster does not know of: a batch brought more
            than the run had selected, and the load remodelled it.
    """

    loaded: list[LoadedBatch]
    status: WarehouseStatus
    newest_rows: dict[str, Sequence[Mapping[str, str]]]
    versions: dict[str, int]
    due: list[str]
    untold: dict[str, int]

    @cached_property
    def tables(self) -> dict[str, LoadedTable]:
        """What was done to each table, over all batches."""
        return {name: sum((batch.tables[name] for batch in self.loaded), LoadedTable()) for name in STAR_TABLES}

    def has_changed(self, name: str) -> bool:
        """Whether the load changed a table."""
        return name in self.newest_rows

    def metadata_of(self, name: str) -> dict[str, Any]:
        """What to say of a table."""
        newest = self.status.newest
        return {
            "dagster/row_count": self.status.rows[name],
            "batch": newest.batch,
            "batches_loaded": len(self.loaded),
            **self.tables[name].counts(),
            "seconds": round(sum(batch.seconds[name] for batch in self.loaded), 3),
            **(as_of(newest.snapshot_at) if newest.snapshot_at else {}),
            **({"preview": table_of(self.newest_rows[name])} if self.has_changed(name) else {}),
        }


def _state(
    instance: DagsterInstance, target: Warehouse, loaded: list[LoadedBatch]
) -> tuple[WarehouseStatus, dict[str, Sequence[Mapping[str, str]]], dict[str, int], list[str]]:
    status = warehouse_status(target)
    recorded = recorded_loads(instance)
    _, changes = last_changes(target, known_until(recorded))
    changed = [name for name in STAR_TABLES if any(batch.tables[name].has_changes for batch in loaded)]
    return (
        status,
        newest_rows(target, changed, PREVIEW),
        versions_of(recorded, changes),
        due(recorded, datetime.now(UTC)),
    )


def _untold(instance: DagsterInstance, loaded: list[LoadedBatch], log: BatchLog) -> dict[str, int]:
    if not loaded:
        return {}
    manifest, known = log.manifest(loaded[-1].batch), recorded_versions(instance, key_of_processed)
    versions = {name: last_change_of(name, manifest) for name in STAR_TABLES}
    return {name: version for name, version in versions.items() if known[name] < version}


def _emit(done: _Done, seconds: float) -> None:
    """Emit metrics of the load, and of the warehouse after it."""
    total, status = sum(done.tables.values(), LoadedTable()), done.status
    emit_stage(Stage.LOAD, rows=total.new + total.changed + total.deleted + total.placeholders, seconds=seconds)
    measured: dict[Metric, float] = {
        Metric.REFRESHES: 1,
        Metric.QUARANTINED_ROWS: sum(table.rows for table in status.quarantined.values()),
    }
    # Only after a load: on a quiet night the warehouse is current, however old the last change is.
    if done.loaded and status.newest.snapshot_at:
        measured[Metric.FRESHNESS_LAG] = (datetime.now(UTC) - status.newest.snapshot_at).total_seconds()
    emit(measured)
