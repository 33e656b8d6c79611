"""The check of the source against its declaration. The ingest compares them, and reports the result here."""

from collections.abc import Sequence

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from totes_dagster.ingest.contract import Deviation
from totes_dagster.orchestration.metadata import table_of
from totes_dagster.orchestration.specs import key_of_ingested

CONTRACT = "as_declared"

REPORTS = "sales_order"
"""The table whose asset reports on the whole source. A check belongs to one asset."""

contract_specs = [
    AssetCheckSpec(
        CONTRACT,
        asset=key_of_ingested(REPORTS),
        description="The source has the tables, columns and constraints that totes_dagster/schema/totesys.py declares, "
        "and no others. What is not declared is kept in the lake.",
    ),
]


def contract_result(deviations: Sequence[Deviation]) -> AssetCheckResult:
    """The result for deviations that an ingest found. Those that break the contract fail the ingest instead."""
    rows = [{"table": deviation.table, "deviation": str(deviation)} for deviation in deviations]
    return AssetCheckResult(
        check_name=CONTRACT,
        asset_key=key_of_ingested(REPORTS),
        passed=not deviations,
        severity=AssetCheckSeverity.ERROR if any(each.endangers for each in deviations) else AssetCheckSeverity.WARN,
        description="; ".join(map(str, deviations)) or "The source is as declared.",
        metadata={"deviations": table_of(rows)} if rows else {},
    )
