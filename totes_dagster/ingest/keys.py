"""Planning what a batch records about the keys of an event table: which still live, and how many each range has.

Keys that are gone can only be found by their absence. So a batch lists the keys that live, in the ranges in which some
may be gone: those whose count or checksum differs from the previous batch's.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from totes_dagster.errors import PartError
from totes_dagster.ingest.capture import TableCapture, all_keys_remain
from totes_dagster.ingest.census import key_ranges
from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.lake.key_ranges import (
    KeyRanges,
    are_of,
    from_added,
    from_table,
    range_of,
    ranges_without_some,
    to_added,
    total_of,
    with_added,
)
from totes_dagster.lake.manifest import AddedKeys, Census, Part, TableEntry
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of

MOST_ADDED = 100
"""Once keys were added to more ranges than this, they are counted in a new object, to keep the manifest small."""

MOST_LIVE = 10_000
"""If keys may be gone from more ranges than this, a batch lists all keys, to keep the manifest small."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyState:
    """A declared table in a snapshot: what is captured of it, its census, and its entry in the previous batch."""

    table: str
    capture: TableCapture
    census: Census
    entry: TableEntry | None


@dataclass(frozen=True)
class PlannedKeys:
    """What a batch records about the keys of a table; nothing by default.

    Attributes:
        live: whether it lists live keys.
        live_ranges: the ranges whose live keys it lists; None for all of them.
        counted: the table's keys by ranges, to be stored as a new object; None if there is none to store.
        key_ranges: an earlier batch's object, if it still holds.
        added_keys: what was added to that.
    """

    live: bool = False
    live_ranges: tuple[int, ...] | None = None
    counted: KeyRanges | None = None
    key_ranges: Part | None = None
    added_keys: tuple[AddedKeys, ...] = ()


def plan_keys(state: KeyState, snapshot: SourceSnapshot, zone: Zone, *, repair: Collection[int] = ()) -> PlannedKeys:
    """Decide what a batch records about the keys of a declared table.

    Args:
        state: the table, of which the batch captures something.
        snapshot: the source. Unless the census proves that all earlier keys remain, the table's keys are scanned.
        zone: the ingestion zone, with the ranges that earlier batches counted.
        repair: keys that the batch must list if they live.
    """
    if capture_of(SOURCE_TABLES[state.table]) is Capture.WHOLE or not has_known_keys(state):
        return PlannedKeys()
    if state.capture.content is Capture.WHOLE or state.entry is None:
        return PlannedKeys(counted=key_ranges(snapshot.connection, snapshot.catalogue, state.table))
    # Of keys that came and went since the keys were counted, counts say nothing.
    demanded = {range_of(key) for key in repair} | set(state.entry.logged_ranges)
    more = state.census.rows - state.entry.census.rows
    added = key_ranges(snapshot.connection, snapshot.catalogue, state.table, highest=more)
    if all_keys_remain(state.entry.census, state.census, total_of(added).checksum):
        return _where_all_remain(state.entry, zone, added, demanded)
    now = key_ranges(snapshot.connection, snapshot.catalogue, state.table)
    before = known_ranges(state.entry, zone)
    if before is None:
        return PlannedKeys(live=True, counted=now)
    ranges = ranges_without_some(before, now) | demanded
    return PlannedKeys(live=bool(ranges), live_ranges=_listed(ranges), counted=now)


def has_known_keys(state: KeyState) -> bool:
    """Whether the source guarantees that keys are unique, and the warehouse can store all of them."""
    return state.capture.unique_keys and state.census.keyed


def known_ranges(entry: TableEntry, zone: Zone) -> KeyRanges | None:
    """A table's keys by ranges as of an entry; None if they were not counted, or the count is lost."""
    if entry.key_ranges is None:
        return None
    try:
        ranges = with_added(from_table(zone.read_part(entry.key_ranges.path)), from_added(entry.added_keys))
    except PartError as error:
        logger.warning("All keys are listed, instead of those in some ranges: %s", error)
        return None
    return ranges if are_of(ranges, entry.census) else None


def _where_all_remain(entry: TableEntry, zone: Zone, added: KeyRanges, demanded: set[int]) -> PlannedKeys:
    live, live_ranges = bool(demanded), _listed(demanded)
    if entry.key_ranges is None:
        return PlannedKeys(live=live, live_ranges=live_ranges)
    all_added = with_added(from_added(entry.added_keys), added)
    if len(all_added) > MOST_ADDED:
        before = known_ranges(entry, zone)
        return PlannedKeys(live, live_ranges, counted=None if before is None else with_added(before, added))
    return PlannedKeys(live, live_ranges, key_ranges=entry.key_ranges, added_keys=to_added(all_added))


def _listed(ranges: set[int]) -> tuple[int, ...] | None:
    return tuple(sorted(ranges)) if 0 < len(ranges) <= MOST_LIVE else None
