"""The checks of the feeds: files that were refused, rows that were set aside, and what is odd about the rest."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from totes_dagster.config.platform import Warehouse
from totes_dagster.feeds.declared import EXCHANGE_RATE, SHIPMENT, Feed
from totes_dagster.orchestration.metadata import table_of
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.warehouse.feed_status import FeedStatus, orders_without_sale, rates_needed

FILES = "files_readable"
ROWS = "rows_accepted"
CURRENT = "rates_current"
ORDERS = "orders_known"

OLDEST_RATE = timedelta(days=5)
"""How old the newest rate may be. There is none from Maundy Thursday to the Tuesday after Easter, in the afternoon."""


def check_specs(feed: Feed) -> list[AssetCheckSpec]:
    """The checks of a feed: of its files, and of its rows in the warehouse."""
    key = key_of_loaded(feed.fact.name)
    specs = [
        AssetCheckSpec(
            FILES,
            asset=key,
            description="Every file could be read to its end, and has the feed's columns. A file that was refused is "
            "taken again when it is replaced.",
        ),
        AssetCheckSpec(
            ROWS, asset=key, description="Every row of a file keeps the feed's contract; none is set aside."
        ),
    ]
    if feed is EXCHANGE_RATE:
        specs.append(
            AssetCheckSpec(
                CURRENT,
                asset=key,
                description=f"The newest rate is at most {OLDEST_RATE.days} days old, as long as the longest time "
                "without one, at Easter.",
            )
        )
    if feed is SHIPMENT:
        specs.append(
            AssetCheckSpec(ORDERS, asset=key, description="Every sales order that was delivered is in the warehouse.")
        )
    return specs


def check_results(feed: Feed, status: FeedStatus, warehouse: Warehouse) -> Sequence[AssetCheckResult]:
    """The results for a feed, after a load."""
    results = [_files(feed, status), _rows(feed, status)]
    if feed is EXCHANGE_RATE:
        results.append(_current(feed, warehouse))
    if feed is SHIPMENT:
        results.append(_orders(feed, warehouse))
    return results


def _files(feed: Feed, status: FeedStatus) -> AssetCheckResult:
    rows = [{"file": path, "reason": reason} for path, reason in status.refused_sample]
    first = f", of which the newest is {rows[0]['file']}: {rows[0]['reason']}" if rows else ""
    return AssetCheckResult(
        check_name=FILES,
        asset_key=key_of_loaded(feed.fact.name),
        passed=not status.refused,
        severity=AssetCheckSeverity.ERROR,
        description=f"{status.refused:,} files were refused{first}" if rows else "All files were read.",
        metadata={"refused": table_of(rows)} if rows else {},
    )


def _rows(feed: Feed, status: FeedStatus) -> AssetCheckResult:
    rows = [{"file": path, "line": line, "reason": reason} for path, line, reason in status.quarantined_sample]
    return AssetCheckResult(
        check_name=ROWS,
        asset_key=key_of_loaded(feed.fact.name),
        passed=not status.quarantined,
        severity=AssetCheckSeverity.WARN,
        description=f"{status.quarantined:,} rows are set aside. Correct them in their files, and drop these again."
        if rows
        else "All rows were accepted.",
        metadata={"quarantined": table_of(rows)} if rows else {},
    )


def _current(feed: Feed, warehouse: Warehouse) -> AssetCheckResult:
    newest = rates_needed(warehouse).newest_rate
    passed = newest is not None and datetime.now(UTC).date() - newest <= OLDEST_RATE
    return AssetCheckResult(
        check_name=CURRENT,
        asset_key=key_of_loaded(feed.fact.name),
        passed=passed,
        severity=AssetCheckSeverity.WARN,
        description=f"The newest rate is of {newest}." if newest else "There is no rate yet.",
    )


def _orders(feed: Feed, warehouse: Warehouse) -> AssetCheckResult:
    unknown = orders_without_sale(warehouse)
    return AssetCheckResult(
        check_name=ORDERS,
        asset_key=key_of_loaded(feed.fact.name),
        passed=not unknown,
        severity=AssetCheckSeverity.WARN,
        description=f"Delivered, but not in the warehouse: sales order {', '.join(map(str, unknown))}. They may come "
        "with the next refresh."
        if unknown
        else "All delivered orders are in the warehouse.",
    )
