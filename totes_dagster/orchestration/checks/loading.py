"""Checks that a load evaluates: rows accounted for, quarantine, placeholders, and the newest stamps."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, MetadataValue

from totes_dagster.orchestration.metadata import table_of
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.schema.registry import DIMENSIONS, FACTS, STAR_TABLES, driving_table_of, inputs_of
from totes_dagster.schema.star import UNKNOWN
from totes_dagster.warehouse.load_transaction import LoadedTable
from totes_dagster.warehouse.status import Quarantined, WarehouseStatus

ACCOUNTED = "rows_accounted_for"
QUARANTINE = "nothing_in_quarantine"
RESOLVED = "references_resolved"
RECENT = "stamps_recent"

REMODELLED = [name for name in STAR_TABLES if driving_table_of(name)]
"""The star tables whose rows come from source rows, one for one."""

REFERRED_TO = [name for name in DIMENSIONS if driving_table_of(name)]
"""The dimensions that may have placeholders. The calendar has none, because it is computed."""

OLDEST = timedelta(days=3)
"""How old the newest stamp of an event table may be before the source, or its clock, seems to have stopped."""

_CLOCKS_DIFFER = timedelta(minutes=5)

load_specs = [
    *(
        AssetCheckSpec(
            ACCOUNTED,
            asset=key_of_loaded(name),
            description=f"Every ingested row of {driving_table_of(name)} is loaded, unchanged, or in quarantine.",
        )
        for name in REMODELLED
    ),
    *(
        AssetCheckSpec(
            QUARANTINE,
            asset=key_of_loaded(name),
            description=f"Every row of {driving_table_of(name)} can become a row of {name}.",
        )
        for name in REMODELLED
    ),
    *(
        AssetCheckSpec(
            RESOLVED,
            asset=key_of_loaded(name),
            description=f"Every member of {name} that a fact refers to came from the source's "
            f"{driving_table_of(name)}; none is a placeholder, named {UNKNOWN}.",
        )
        for name in REFERRED_TO
    ),
    *(
        AssetCheckSpec(
            RECENT,
            asset=key_of_loaded(name),
            description=f"The newest last_updated of {driving_table_of(name)} is not older than {OLDEST.days} days, "
            "and not in the future.",
        )
        for name in FACTS
    ),
]


def load_results(loaded: Mapping[str, LoadedTable], status: WarehouseStatus) -> Iterator[AssetCheckResult]:
    """Check results from what a load did, and from the warehouse after it.

    Rows that do not add up, or references without a member, fail the load instead.

    Args:
        loaded: what the load did, by star table.
        status: the status of the warehouse after the load.
    """
    for name in REMODELLED:
        yield _accounted(name, loaded[name])
        yield _quarantine(name, status.quarantined.get(inputs_of(name)[0], Quarantined()))
    for name in REFERRED_TO:
        yield _resolved(name, status.placeholders[name])
    for name in FACTS:
        yield _recent(name, status.newest_stamps[name], datetime.now(UTC))


def _accounted(name: str, done: LoadedTable) -> AssetCheckResult:
    return AssetCheckResult(
        check_name=ACCOUNTED,
        asset_key=key_of_loaded(name),
        passed=done.ingested == done.quarantined + done.new + done.changed + done.unchanged,
        description=f"{done.ingested:,} ingested = {done.new:,} new + {done.changed:,} changed + "
        f"{done.unchanged:,} unchanged + {done.quarantined:,} quarantined.",
        metadata=done.counts(),
    )


def _quarantine(name: str, quarantined: Quarantined) -> AssetCheckResult:
    source = driving_table_of(name)
    columns = ("key", "reason", "batch", "part")
    sample = [dict(zip(columns, row, strict=True)) for row in quarantined.sample]
    return AssetCheckResult(
        check_name=QUARANTINE,
        asset_key=key_of_loaded(name),
        passed=not quarantined.rows,
        severity=AssetCheckSeverity.WARN,
        description=f"{quarantined.rows:,} rows of {source} are in quarantine. Correct them in the source to load them."
        if quarantined.rows
        else f"No row of {source} is in quarantine.",
        metadata={"rows": quarantined.rows, **({"sample": table_of(sample)} if sample else {})},
    )


def _resolved(name: str, placeholders: int) -> AssetCheckResult:
    source = driving_table_of(name)
    return AssetCheckResult(
        check_name=RESOLVED,
        asset_key=key_of_loaded(name),
        passed=not placeholders,
        severity=AssetCheckSeverity.WARN,
        description=f"Facts refer to {placeholders:,} rows that {source} lacks; each is {UNKNOWN} until it arrives."
        if placeholders
        else f"{source} has every row that facts refer to.",
        metadata={"placeholders": placeholders},
    )


def _recent(name: str, newest: datetime | None, now: datetime) -> AssetCheckResult:
    source = driving_table_of(name)
    if newest is None:
        description, passed = f"There are no rows of {source} yet.", True
    elif newest > now + _CLOCKS_DIFFER:
        description, passed = (
            f"The newest stamp of {source} is {newest:%Y-%m-%d %H:%M} UTC, which is in the future.",
            False,
        )
    elif newest < now - OLDEST:
        description, passed = f"Nothing in {source} is stamped later than {newest:%Y-%m-%d %H:%M} UTC.", False
    else:
        description, passed = f"{source} was last stamped {newest:%Y-%m-%d %H:%M} UTC.", True
    return AssetCheckResult(
        check_name=RECENT,
        asset_key=key_of_loaded(name),
        passed=passed,
        severity=AssetCheckSeverity.WARN,
        description=description,
        metadata={"newest_stamp": MetadataValue.timestamp(newest)} if newest else {},
    )
