"""Asset checks: what each is called and says, and how the outcome of a stage becomes a check's result.

The stages that find something out report it: ingest the contract, load the quarantine and the accounting, `reconcile`
the comparison with the source.
"""

from collections.abc import Iterable, Iterator, Mapping

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    ResourceParam,
    TableRecord,
    TableSchema,
    multi_asset_check,
)
from dagster import TableColumn as Column
from dagster import TableMetadataValue as TableOf

from totes_dagster.assets.specs import key_of_ingested, key_of_loaded
from totes_dagster.failures import failing_clearly
from totes_dagster.platform import Platform
from totes_dagster.resources.databases import Totesys, Warehouse
from totes_dagster.resources.zones import Zone
from totes_dagster.schema import totesys, warehouse
from totes_dagster.stages.comparison import TableDifferences
from totes_dagster.stages.contract import Deviation
from totes_dagster.stages.reconcile import Reconciled
from totes_dagster.stages.reconcile import reconcile as run_reconcile
from totes_dagster.stages.remodel import driving_table
from totes_dagster.stages.status import Quarantined
from totes_dagster.stages.warehouse import LoadedTable

CONTRACT = "as_declared"
UNDECLARED = "no_undeclared_tables"
ACCOUNTED = "rows_accounted_for"
QUARANTINE = "nothing_in_quarantine"
MATCHES = "matches_source"

REPORTS_UNDECLARED = "sales_order"
"""The table whose asset also tells of tables that nobody declared, and that have no asset of their own."""

REMODELLED = [name for name in warehouse.TABLES if name != warehouse.dim_date.name]
"""The star tables whose rows come from source rows, one for one."""

contract_specs = [
    *(
        AssetCheckSpec(
            CONTRACT,
            asset=key_of_ingested(name),
            description=f"The source's {name} has the columns and constraints that totes_dagster/schema/totesys.py "
            "declares. What is new is kept in the lake.",
        )
        for name in totesys.TABLES
    ),
    AssetCheckSpec(
        UNDECLARED,
        asset=key_of_ingested(REPORTS_UNDECLARED),
        description="The source has no tables but the declared ones. New ones are kept in the lake.",
    ),
]

load_specs = [
    spec
    for name in REMODELLED
    for spec in (
        AssetCheckSpec(
            ACCOUNTED,
            asset=key_of_loaded(name),
            description=f"Every ingested row of {driving_table(name)} was loaded, unchanged, or set aside.",
        ),
        AssetCheckSpec(
            QUARANTINE,
            asset=key_of_loaded(name),
            description=f"Every row of {driving_table(name)} can become a row of {name}.",
        ),
    )
]


def contract_results(deviations: Iterable[Deviation]) -> Iterator[AssetCheckResult]:
    """What an ingest says of the contract; a broken one fails the ingest instead."""
    by_table: dict[str, list[Deviation]] = {name: [] for name in totesys.TABLES}
    undeclared: list[Deviation] = []
    for deviation in deviations:
        by_table.get(deviation.table, undeclared).append(deviation)
    for name, found in by_table.items():
        yield AssetCheckResult(
            check_name=CONTRACT,
            asset_key=key_of_ingested(name),
            passed=not found,
            severity=AssetCheckSeverity.WARN,
            description="; ".join(map(str, found)) or "The table is as declared.",
        )
    yield AssetCheckResult(
        check_name=UNDECLARED,
        asset_key=key_of_ingested(REPORTS_UNDECLARED),
        passed=not undeclared,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(map(str, undeclared)) or "There are no other tables.",
    )


def load_results(
    loaded: Mapping[str, LoadedTable], quarantined: Mapping[str, Quarantined]
) -> Iterator[AssetCheckResult]:
    """What a load says of the rows that it brought; rows that do not add up fail the load instead."""
    for name in REMODELLED:
        done = loaded[name]
        yield AssetCheckResult(
            check_name=ACCOUNTED,
            asset_key=key_of_loaded(name),
            passed=done.ingested == done.quarantined + done.new + done.changed + done.unchanged,
            description=f"{done.ingested:,} ingested = {done.new:,} new + {done.changed:,} changed + "
            f"{done.unchanged:,} unchanged + {done.quarantined:,} quarantined.",
            metadata=done.counts(),
        )
        source = driving_table(name)
        aside = quarantined.get(source, Quarantined())
        yield AssetCheckResult(
            check_name=QUARANTINE,
            asset_key=key_of_loaded(name),
            passed=not aside.rows,
            severity=AssetCheckSeverity.WARN,
            description=f"{aside.rows:,} rows of {source} are set aside. Correct them in the source, and they flow."
            if aside.rows
            else f"No row of {source} is set aside.",
            metadata={
                "rows": aside.rows,
                **({"sample": _table(("key", "reason", "batch", "part"), aside.sample)} if aside.sample else {}),
            },
        )


@multi_asset_check(
    name="compare_with_source",
    description="Compares the warehouse with the source in one snapshot, and repairs what differs by a new batch.",
    specs=[
        AssetCheckSpec(
            MATCHES,
            asset=key_of_loaded(name),
            description="Every row is what the source says now: compared by checksums of key ranges, and row by row "
            "where they differ.",
        )
        for name in warehouse.TABLES
    ],
    can_subset=False,
)
def matches_source(
    context: AssetCheckExecutionContext,
    totesys: Totesys,
    warehouse: Warehouse,
    ingestion_zone: ResourceParam[Zone],
    processed_zone: ResourceParam[Zone],
) -> Iterator[AssetCheckResult]:
    """Compare, repair, and say what was found."""
    with failing_clearly():
        platform = Platform(
            source=totesys.database(),
            warehouse=warehouse.database(),
            schema=warehouse.warehouse_schema,
            ingestion=ingestion_zone.lake,
            processed=processed_zone.lake,
        )
        reconciled = run_reconcile(platform)
    rows = sum(found.rows for found in reconciled.found.values())
    differing = sum(found.count for found in reconciled.found.values())
    context.log.info(f"Compared {rows:,} rows with the source: {differing:,} differed.")
    yield from reconcile_results(reconciled)


def reconcile_results(reconciled: Reconciled) -> Iterator[AssetCheckResult]:
    """What a reconciliation says of each table: a warning where it repaired something, an error where it could not."""
    for name, found in reconciled.found.items():
        left = reconciled.left[name]
        broken = bool(left) or bool(left.unaccounted)
        yield AssetCheckResult(
            check_name=MATCHES,
            asset_key=key_of_loaded(name),
            passed=not found and not broken,
            severity=AssetCheckSeverity.ERROR if broken else AssetCheckSeverity.WARN,
            description=_compared(found, left, reconciled),
            metadata={
                "rows": found.rows,
                "missing": len(found.missing),
                "extra": len(found.extra),
                "different": len(found.different),
                "doubled": len(found.doubled),
                "still_differing": left.count,
                "key_ranges": found.ranges,
                "key_ranges_descended": found.ranges_descended,
                **({"sample": _table(("difference",), [(text,) for text in found.samples])} if found.samples else {}),
            },
        )


def _compared(found: TableDifferences, left: TableDifferences, reconciled: Reconciled) -> str:
    if not found:
        said = f"{found.rows:,} rows equal the source."
    elif left:
        said = f"{found.count:,} of {found.rows:,} rows differed from the source, and {left.count:,} still do."
    else:
        by = f" by batch {reconciled.repair.batch}" if reconciled.repair else ""
        said = f"{found.count:,} of {found.rows:,} rows differed from the source, and were repaired{by}."
    return " ".join([said, *(f"History cannot be repaired from the source: {line}." for line in left.unaccounted)])


def _table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> TableOf:
    schema = TableSchema([Column(name) for name in columns])
    return TableOf([TableRecord(dict(zip(columns, map(str, row), strict=True))) for row in rows], schema)
