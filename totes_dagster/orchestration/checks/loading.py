"""The health of the warehouse's tables, which each load evaluates: quarantine, placeholders, and the newest stamps."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, MetadataValue

from totes_dagster.orchestration.metadata import table_of
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.schema.registry import DIMENSIONS, FACTS, STAR_TABLES, driving_table_of
from totes_dagster.schema.star import UNKNOWN
from totes_dagster.warehouse.status import Quarantined, WarehouseStatus

HEALTH = "healthy"

CHECKED = {name: source for name in STAR_TABLES if (source := driving_table_of(name))}
"""The star tables whose rows come from source rows, one for one, and the source table of each."""

OLDEST = timedelta(days=3)
"""How old the newest stamp of an event table may be before the source, or its clock, seems to have stopped."""

_CLOCKS_DIFFER = timedelta(minutes=5)


def _described(name: str, source: str) -> str:
    claims = [f"Every row of {source} can become a row of {name}; none is in quarantine."]
    if name in DIMENSIONS:
        claims.append(f"Every member that a fact refers to came from {source}; none is a placeholder, named {UNKNOWN}.")
    if name in FACTS:
        claims.append(
            f"The newest last_updated of {source} is not older than {OLDEST.days} days, and not in the future."
        )
    return " ".join(claims)


health_specs = [
    AssetCheckSpec(HEALTH, asset=key_of_loaded(name), description=_described(name, source))
    for name, source in CHECKED.items()
]


def health_results(status: WarehouseStatus) -> dict[str, AssetCheckResult]:
    """The check result of each table, from the warehouse after a load.

    Rows that do not add up, or references without a member, fail the load instead.
    """
    return {name: _health(name, source, status) for name, source in CHECKED.items()}


def evaluation_of(name: str, result: AssetCheckResult) -> AssetCheckEvaluation:
    """The check result of a table as an event that belongs to no run."""
    return AssetCheckEvaluation(
        check_name=HEALTH,
        asset_key=key_of_loaded(name),
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def _health(name: str, source: str, status: WarehouseStatus) -> AssetCheckResult:
    quarantined = status.quarantined.get(source, Quarantined())
    problems = list(_problems(name, source, quarantined, status))
    return AssetCheckResult(
        check_name=HEALTH,
        asset_key=key_of_loaded(name),
        passed=not problems,
        severity=AssetCheckSeverity.WARN,
        description=" ".join(problems) or f"{name} is healthy.",
        metadata=_facts(name, quarantined, status),
    )


def _problems(name: str, source: str, quarantined: Quarantined, status: WarehouseStatus) -> Iterator[str]:
    if quarantined.rows:
        yield f"{quarantined.rows:,} rows of {source} are in quarantine. Correct them in the source to load them."
    if placeholders := status.placeholders.get(name):
        yield f"Facts refer to {placeholders:,} rows that {source} lacks; each is {UNKNOWN} until it arrives."
    newest, now = status.newest_stamps.get(name), datetime.now(UTC)
    if newest and newest > now + _CLOCKS_DIFFER:
        yield f"The newest stamp of {source} is {newest:%Y-%m-%d %H:%M} UTC, which is in the future."
    elif newest and newest < now - OLDEST:
        yield f"Nothing in {source} is stamped later than {newest:%Y-%m-%d %H:%M} UTC."


def _facts(name: str, quarantined: Quarantined, status: WarehouseStatus) -> dict[str, Any]:
    columns = ("key", "reason", "batch", "part")
    sample = [dict(zip(columns, row, strict=True)) for row in quarantined.sample]
    newest = status.newest_stamps.get(name)
    return {
        "quarantined": quarantined.rows,
        **({"sample": table_of(sample)} if sample else {}),
        **({"placeholders": status.placeholders[name]} if name in DIMENSIONS else {}),
        **({"newest_stamp": MetadataValue.timestamp(newest)} if newest else {}),
    }
