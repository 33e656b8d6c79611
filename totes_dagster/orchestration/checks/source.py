"""Checks of the source against its declaration. The ingest compares them, and reports the result here."""

from collections.abc import Iterable, Iterator

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from totes_dagster.ingest.contract import Deviation
from totes_dagster.orchestration.specs import key_of_ingested
from totes_dagster.schema.totesys import SOURCE_TABLES

CONTRACT = "as_declared"
UNDECLARED = "no_undeclared_tables"

REPORTS_UNDECLARED = "sales_order"
"""The table whose asset also reports undeclared tables, which have no assets."""

contract_specs = [
    *(
        AssetCheckSpec(
            CONTRACT,
            asset=key_of_ingested(name),
            description=f"The source's {name} has the columns and constraints that totes_dagster/schema/totesys.py "
            "declares. New columns are kept in the lake.",
        )
        for name in SOURCE_TABLES
    ),
    AssetCheckSpec(
        UNDECLARED,
        asset=key_of_ingested(REPORTS_UNDECLARED),
        description="The source has only declared tables. New ones are kept in the lake.",
    ),
]


def contract_results(deviations: Iterable[Deviation]) -> Iterator[AssetCheckResult]:
    """The results for deviations that an ingest found. Those that break the contract fail the ingest instead."""
    by_table: dict[str, list[Deviation]] = {name: [] for name in SOURCE_TABLES}
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
