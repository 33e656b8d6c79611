"""Checks of the ingestion zone: whether the source is as it is declared. The ingest finds out, and reports it here."""

from collections.abc import Iterable, Iterator

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from totes_dagster.ingest.contract import Deviation
from totes_dagster.orchestration.specs import key_of_ingested
from totes_dagster.schema.totesys import SOURCE_TABLES

CONTRACT = "as_declared"
UNDECLARED = "no_undeclared_tables"

REPORTS_UNDECLARED = "sales_order"
"""The table whose asset also tells of tables that nobody declared, and that have no asset of their own."""

contract_specs = [
    *(
        AssetCheckSpec(
            CONTRACT,
            asset=key_of_ingested(name),
            description=f"The source's {name} has the columns and constraints that totes_dagster/schema/totesys.py "
            "declares. What is new is kept in the lake.",
        )
        for name in SOURCE_TABLES
    ),
    AssetCheckSpec(
        UNDECLARED,
        asset=key_of_ingested(REPORTS_UNDECLARED),
        description="The source has no tables but the declared ones. New ones are kept in the lake.",
    ),
]


def contract_results(deviations: Iterable[Deviation]) -> Iterator[AssetCheckResult]:
    """What an ingest says of the contract; a broken one fails the ingest instead."""
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
