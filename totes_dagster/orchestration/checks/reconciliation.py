"""Checks of the warehouse against the source: what a reconciliation found, and whether it could repair it."""

from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    ResourceParam,
    multi_asset_check,
)

from totes_dagster import pipeline
from totes_dagster.config.platform import Platform
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.orchestration.metadata import table_of
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.orchestration.resources.workers import WorkersResource
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.pipeline import Reconciled
from totes_dagster.reconcile.differences import TableDifferences
from totes_dagster.schema.registry import STAR_TABLES

MATCHES = "matches_source"


@multi_asset_check(
    name="compare_with_source",
    description="Compares the warehouse with the source in one snapshot, and repairs what differs by a new batch.",
    specs=[
        AssetCheckSpec(
            MATCHES,
            asset=key_of_loaded(name),
            description="Every row equals the source: compared by checksums of key ranges, and row by row where they "
            "differ.",
        )
        for name in STAR_TABLES
    ],
    can_subset=True,
)
def matches_source(
    context: AssetCheckExecutionContext,
    totesys: TotesysResource,
    warehouse: WarehouseResource,
    workers: WorkersResource,
    processed_zone: ResourceParam[ProcessedIOManager],
) -> Iterator[AssetCheckResult]:
    """Compare, repair, and report what was found."""

    def compare() -> Reconciled:
        source, lake = totesys.database(), processed_zone.lake
        target, cluster = warehouse.warehouse(), workers.cluster()
        return pipeline.reconcile(Platform(source, lake, target, from_log=totesys.from_log, cluster=cluster))

    reconciled = run_step(compare)
    rows = sum(found.rows for found in reconciled.found.values())
    differing = sum(found.count for found in reconciled.found.values())
    context.log.info(f"Compared {rows:,} rows with the source: {differing:,} differed.")
    # All tables were compared, in one snapshot, whichever checks were selected.
    selected = {key.asset_key for key in context.selected_asset_check_keys}
    yield from (result for result in reconcile_results(reconciled) if result.asset_key in selected)


def reconcile_results(reconciled: Reconciled) -> Iterator[AssetCheckResult]:
    """The result for each table: a warning if something was repaired, an error if it could not be."""
    for name, found in reconciled.found.items():
        left = reconciled.left[name]
        broken = bool(left) or bool(left.unaccounted)
        yield AssetCheckResult(
            check_name=MATCHES,
            asset_key=key_of_loaded(name),
            passed=not found and not broken,
            severity=AssetCheckSeverity.ERROR if broken else AssetCheckSeverity.WARN,
            description=_description(found, left, reconciled),
            metadata={
                "rows": found.rows,
                "missing": len(found.missing),
                "extra": len(found.extra),
                "different": len(found.different),
                "doubled": len(found.repeated),
                "still_differing": left.count,
                "key_ranges": found.ranges,
                "key_ranges_descended": found.ranges_descended,
                **(
                    {"sample": table_of([{"difference": text} for text in found.redacted_samples])}
                    if found.redacted_samples
                    else {}
                ),
            },
        )


def _description(found: TableDifferences, left: TableDifferences, reconciled: Reconciled) -> str:
    if not found:
        outcome = f"{found.rows:,} rows equal the source."
    elif left:
        outcome = f"{found.count:,} of {found.rows:,} rows differed from the source, and {left.count:,} still do."
    else:
        by = f" by batch {reconciled.repair.batch}" if reconciled.repair else ""
        outcome = f"{found.count:,} of {found.rows:,} rows differed from the source, and were repaired{by}."
    return " ".join([outcome, *(f"History cannot be repaired from the source: {line}." for line in left.unaccounted)])
