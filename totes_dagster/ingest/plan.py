"""What a batch takes from each table: the source's counts, put to the decisions of `capture.py`."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from totes_dagster.ingest.capture import TableCapture, capture_of_table, horizon_of, none_gone, was_restarted
from totes_dagster.ingest.census import checksum_of_newest_keys
from totes_dagster.ingest.contract import has_unique_keys
from totes_dagster.ingest.snapshot import Leader, censuses_of
from totes_dagster.lake.manifest import Census, Manifest
from totes_dagster.schema.totesys import TABLES, Capture, capture_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What to capture of one table, what it counts, and whether to capture its live keys as well."""

    table: str
    capture: TableCapture
    census: Census
    live_keys: bool = False


def declared_work(
    leader: Leader,
    previous: Manifest | None,
    recapture: Collection[str],
    repair: Mapping[str, Collection[int]],
) -> list[Work]:
    """What to capture of the declared tables.

    Args:
        leader: the snapshot.
        previous: the newest batch.
        recapture: tables to take whole, changed or not.
        repair: keys of rows to take, changed or not, by table.
    """
    horizon, why_all = horizon_of(previous, leader.snapshot)
    if previous and horizon is None:
        logger.warning("%s Capturing every table whole.", why_all)
    work = []
    for name, now in censuses_of(leader).items():
        entry = previous.tables.get(name) if previous else None
        item = capture_of_table(
            capture_of(TABLES[name]),
            entry,
            now,
            horizon,
            recapture=name in recapture,
            restarted=previous is not None and was_restarted(previous.snapshot, leader.snapshot),
            repair=repair.get(name, ()),
            unique_keys=has_unique_keys(leader.catalogue, name),
        )
        if item is None:
            continue
        live_keys = False
        if item.content is Capture.CHANGES and entry is not None:
            newest = checksum_of_newest_keys(leader.connection, leader.catalogue, name, now.rows - entry.census.rows)
            live_keys = name in repair or not none_gone(entry.census, now, newest)
        work.append(Work(name, item, now, live_keys))
    return work


def undeclared_work(
    leader: Leader, previous: Manifest | None, recapture: Collection[str], counted: Mapping[str, Census]
) -> list[Work]:
    """What to capture of tables that nobody declared, by their counts.

    They are captured as changes, for nobody knows how large such a table may be.
    """
    horizon, _ = horizon_of(previous, leader.snapshot)
    restarted = previous is not None and was_restarted(previous.snapshot, leader.snapshot)
    work = []
    for name, now in counted.items():
        entry = previous.tables.get(name) if previous else None
        item = capture_of_table(Capture.CHANGES, entry, now, horizon, recapture=name in recapture, restarted=restarted)
        if item is not None:
            work.append(Work(name, item, now))
    return work
