"""Planning a batch: the decisions of `capture.py`, made for each table from its census in the snapshot."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from totes_dagster.errors import DatabaseError
from totes_dagster.ingest.capture import (
    Demand,
    TableCapture,
    TableState,
    capture_of_table,
    progression_of,
)
from totes_dagster.ingest.contract import has_unique_keys
from totes_dagster.ingest.keys import KeyState, PlannedKeys, plan_keys
from totes_dagster.ingest.snapshot import SourceSnapshot, censuses_of
from totes_dagster.lake.manifest import Census, Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedTable:
    """What to capture of one table, and its census."""

    table: str
    capture: TableCapture
    census: Census


def plan_declared(snapshot: SourceSnapshot, previous: Manifest | None, demand: Demand) -> list[PlannedTable]:
    """Decide what to capture of the declared tables.

    Args:
        snapshot: the source.
        previous: the newest batch.
        demand: what to capture in addition to what changed.

    Returns:
        The tables of which something is to be captured.
    """
    progression = progression_of(previous, snapshot.taken)
    if previous and progression.horizon is None:
        logger.warning("%s Capturing every table whole.", progression.reason)
    planned = []
    for name, census in censuses_of(snapshot).items():
        entry = previous.tables.get(name) if previous else None
        unique_keys = has_unique_keys(snapshot.catalogue, name)
        state = TableState(capture_of(SOURCE_TABLES[name]), census, entry, unique_keys)
        capture = capture_of_table(
            state, progression, recapture=name in demand.recapture, repair=demand.repair.get(name, ())
        )
        if capture is None:
            continue
        planned.append(PlannedTable(name, capture, census))
    return planned


@contextmanager
def planned_keys(
    planned: Collection[PlannedTable], snapshot: SourceSnapshot, zone: Zone, previous: Manifest | None, demand: Demand
) -> Iterator[dict[str, Future[PlannedKeys]]]:
    """Decide what the batch records about the keys of planned declared tables, while the block runs.

    The keys of event tables may be scanned for that, on the connection that holds the snapshot: the largest table's
    first, because its rows are read first, too.
    """
    known = previous.tables if previous else {}
    with ThreadPoolExecutor(1) as pool:
        keys = {
            item.table: pool.submit(
                plan_keys,
                KeyState(item.table, item.capture, item.census, known.get(item.table)),
                snapshot,
                zone,
                repair=demand.repair.get(item.table, ()),
            )
            for item in sorted(planned, key=lambda item: -item.census.rows)
        }
        try:
            yield keys
        except DatabaseError as error:
            pool.shutdown(cancel_futures=True)
            # Readers fail too when the connection that holds their snapshot does, but only its own failure says why.
            for failure in _failures(keys.values()):
                if failure is not error:
                    raise failure from error
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _failures(futures: Iterable[Future[PlannedKeys]]) -> Iterator[BaseException]:
    return (failure for future in futures if not future.cancelled() and (failure := future.exception()))


def plan_undeclared(
    snapshot: SourceSnapshot, previous: Manifest | None, demand: Demand, counted: Mapping[str, Census]
) -> list[PlannedTable]:
    """Decide what to capture of undeclared tables, from their censuses in the snapshot.

    They are captured as changes, because such a table may be large.
    """
    progression = progression_of(previous, snapshot.taken)
    planned = []
    for name, census in counted.items():
        state = TableState(Capture.CHANGES, census, previous.tables.get(name) if previous else None)
        capture = capture_of_table(state, progression, recapture=name in demand.recapture)
        if capture is not None:
            planned.append(PlannedTable(name, capture, census))
    return planned
