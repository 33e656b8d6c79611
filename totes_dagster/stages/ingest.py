"""The first stage: what changed in totesys since the previous batch becomes the next batch of the ingestion zone."""

import logging
import uuid
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from urllib.parse import quote

import pyarrow as pa

from totes_dagster.database import Database
from totes_dagster.errors import BatchConflictError, DatabaseError, DatabaseUnavailableError, SourceBehindError
from totes_dagster.lake.catalogue import register
from totes_dagster.lake.log import BatchLog
from totes_dagster.lake.manifest import Census, Manifest, Snapshot, TableEntry
from totes_dagster.lake.store import Lake
from totes_dagster.schema.totesys import TABLES, Capture, capture_of
from totes_dagster.stages.capture import TableCapture, capture_of_table, horizon_of, none_gone, was_restarted
from totes_dagster.stages.census import checksum_of_newest_keys
from totes_dagster.stages.contract import (
    UNDECLARED,
    Deviation,
    deviations_of,
    has_unique_keys,
    see_that_it_holds,
    set_aside,
    undeclared,
)
from totes_dagster.stages.follower import Follower, follower_of
from totes_dagster.stages.parts import write_parts
from totes_dagster.stages.progress import Progress, silent
from totes_dagster.stages.source import Leader, censuses_of, snapshot_of
from totes_dagster.stages.undeclared import look_at_undeclared, why

ATTEMPTS = 5
"""How often to start over when other ingests commit first."""

_READERS = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ingested:
    """What an ingest did, and what it saw.

    Attributes:
        batch: the manifest that it committed; None when nothing had changed.
        deviations: how the source differs from the declaration without breaking the contract.
    """

    batch: Manifest | None
    deviations: list[Deviation]


@dataclass(frozen=True)
class _Work:
    """What to capture of one table, and what it counts."""

    table: str
    capture: TableCapture
    census: Census
    live_keys: bool


def ingest(source: Database, lake: Lake, *, recapture: Collection[str] = (), progress: Progress = silent) -> Ingested:
    """Commit everything that changed in the source since the newest batch as the next batch.

    Args:
        source: totesys.
        lake: the ingestion zone.
        recapture: source tables to take whole, changed or not.
        progress: notified of rows as they are written.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        DatabaseError: the source cannot be reached, refuses, or breaks off.
        LakeError: the lake cannot be reached, or refuses.
        BatchConflictError: other ingests committed every number that this one tried for.
    """
    log = BatchLog(lake)
    for _ in range(ATTEMPTS):
        previous = newest_batch(log)
        with snapshot_of(source) as leader:
            ingested = ingest_snapshot(leader, lake, previous, recapture=recapture, progress=progress)
        if ingested is not None:
            return ingested
        # What the other ingest committed is not to be captured again: look at the source anew.
    raise BatchConflictError(
        f"Other ingests committed the next batch first, {ATTEMPTS} times in a row. Nothing is lost; run one ingest at "
        "a time."
    )


def newest_batch(log: BatchLog) -> Manifest | None:
    """The manifest that the next batch follows; it must be read before the source's snapshot is taken.

    Raises:
        ManifestMissingError: it is missing, though later ones exist.
    """
    head = log.head()
    log.see_that_head_is_last(head)
    return log.manifest(head) if head else None


def ingest_snapshot(
    leader: Leader,
    lake: Lake,
    previous: Manifest | None,
    *,
    recapture: Collection[str] = (),
    repair: Mapping[str, Collection[int]] | None = None,
    progress: Progress = silent,
) -> Ingested | None:
    """Commit what changed between the previous batch and a snapshot; None where another ingest committed first.

    Args:
        leader: the snapshot.
        lake: the ingestion zone.
        previous: the newest batch, read before the snapshot was taken.
        recapture: source tables to take whole, changed or not.
        repair: keys of rows to take, changed or not, by table; also tells which keys the table still has.
        progress: notified of rows as they are written.

    Raises:
        SourceSchemaError, DatabaseError, LakeError: see `ingest`.
    """
    deviations = contract_of(leader)
    see_that_it_is_not_behind(previous, leader.snapshot)
    work = _work_of(leader, previous, recapture, repair or {})
    # A repair is of declared tables, in a snapshot whose other tables were captured already.
    new, failed = ([], {}) if repair else _undeclared_work_of(leader, previous, recapture)
    batch = previous.batch + 1 if previous else 1
    captured: dict[str, TableEntry] = {}
    if work or new:
        contract = register(lake, leader.catalogue)
        captured, failed_later = _capture(leader, lake, batch, work, new, progress)
        failed |= failed_later
    for name, reason in failed.items():
        logger.warning("The undeclared table %s is set aside this time: %s", name, reason)
    deviations = [set_aside(item.table, failed[item.table]) if item.table in failed else item for item in deviations]
    if not captured:
        logger.info("Nothing changed in totesys since batch %d.", previous.batch if previous else 0)
        return Ingested(None, deviations)
    carried = dict(previous.tables) if previous else {}
    manifest = Manifest(batch=batch, contract=contract, snapshot=leader.snapshot, tables=carried | captured)
    if not BatchLog(lake).commit(manifest):
        logger.info("Another ingest committed batch %d first; its work stands, starting over.", batch)
        return None
    logger.info("Committed batch %d, the source as of %s: %s.", batch, manifest.snapshot.taken_at, _told(captured))
    return Ingested(manifest, deviations)


def _told(captured: Mapping[str, TableEntry]) -> str:
    return ", ".join(f"{entry.rows:,} rows of {name}" for name, entry in captured.items())


def changed_tables(source: Database, lake: Lake) -> list[str]:
    """The declared tables that the next batch would hold, found by counting and without capturing anything.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        SourceBehindError: the source is a standby that is behind the newest batch.
    """
    previous = newest_batch(BatchLog(lake))
    with snapshot_of(source, undeclared=False) as leader:
        contract_of(leader)
        see_that_it_is_not_behind(previous, leader.snapshot)
        return [item.table for item in _work_of(leader, previous, (), {})]


def contract_of(leader: Leader) -> list[Deviation]:
    """How the source differs from the declaration without breaking the contract.

    Raises:
        SourceSchemaError: it breaks the contract.
    """
    deviations = deviations_of(leader.catalogue)
    see_that_it_holds(deviations)
    return deviations


def see_that_it_is_not_behind(previous: Manifest | None, snapshot: Snapshot) -> None:
    """Refuse an older state than the newest batch's, as a standby may show it.

    Raises:
        SourceBehindError: that is what the snapshot shows.
    """
    if previous and snapshot.is_behind(previous.snapshot):
        raise SourceBehindError(
            f"The source is a standby that has not replayed yet all that batch {previous.batch} holds. It is refreshed "
            "once it has."
        )


def _work_of(
    leader: Leader,
    previous: Manifest | None,
    recapture: Collection[str],
    repair: Mapping[str, Collection[int]],
) -> list[_Work]:
    """What to capture of the declared tables."""
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
        work.append(_Work(name, item, now, live_keys))
    return work


def _undeclared_work_of(
    leader: Leader, previous: Manifest | None, recapture: Collection[str]
) -> tuple[list[_Work], dict[str, str]]:
    """What to capture of tables that nobody declared; and the reasons why others are set aside."""
    horizon, _ = horizon_of(previous, leader.snapshot)
    restarted = previous is not None and was_restarted(previous.snapshot, leader.snapshot)
    counted, failed = look_at_undeclared(leader, undeclared(leader.catalogue))
    work = []
    for name, now in counted.items():
        entry = previous.tables.get(name) if previous else None
        # Nobody knows how large such a table may be.
        item = capture_of_table(Capture.CHANGES, entry, now, horizon, recapture=name in recapture, restarted=restarted)
        if item is not None:
            work.append(_Work(name, item, now, live_keys=False))
    return work, failed


def _capture(
    leader: Leader,
    lake: Lake,
    batch: int,
    work: Collection[_Work],
    undeclared_work: Collection[_Work],
    progress: Progress,
) -> tuple[dict[str, TableEntry], dict[str, str]]:
    """Write the parts of a batch; return what it holds, and why tables that nobody declared are not in it."""
    # The attempt's own name: parts of an attempt that died stay where they are, and nobody reads them.
    attempt = uuid.uuid4().hex[:12]
    readers = min(_READERS, len(work) + len(undeclared_work))
    idle: SimpleQueue[Follower] = SimpleQueue()
    failed: dict[str, str] = {}

    def capture(item: _Work, follower: Follower) -> TableEntry:
        name, folder = item.table, f"{_folder_of(item.table)}/batch={batch:010}"
        table = leader.catalogue.tables[name]
        rows = _counted(follower.rows(name, table, item.capture), name, progress)
        parts = write_parts(lake, folder, attempt, rows)
        keys = write_parts(lake, f"live_keys/{folder}", attempt, follower.keys(name, table)) if item.live_keys else None
        return TableEntry(batch=batch, content=item.capture.content, census=item.census, parts=parts, live_keys=keys)

    def capture_declared(item: _Work) -> tuple[str, TableEntry]:
        with _taken_from(idle) as follower:
            return item.table, capture(item, follower)

    def capture_undeclared(item: _Work) -> Iterator[tuple[str, TableEntry]]:
        captured = []
        with _taken_from(idle) as follower:
            try:
                with follower.visiting(item.table):
                    captured.append((item.table, capture(item, follower)))
            except DatabaseUnavailableError:
                raise
            except DatabaseError as error:
                failed[item.table] = why(error)
        return iter(captured)

    with ExitStack() as stack, ThreadPoolExecutor(max(readers, 1)) as pool:
        followers = list(pool.map(lambda _: stack.enter_context(follower_of(leader)), range(readers)))
        for follower in followers:
            idle.put(follower)
        with ExitStack() as joined:
            for follower in followers:
                joined.enter_context(follower.joined([item.table for item in work]))
            # The largest tables first, so that the readers end together.
            captured = dict(pool.map(capture_declared, sorted(work, key=lambda item: -item.census.rows)))
        for entries in pool.map(capture_undeclared, undeclared_work):
            captured |= dict(entries)
    return captured, failed


@contextmanager
def _taken_from(idle: "SimpleQueue[Follower]") -> Iterator[Follower]:
    follower = idle.get()
    try:
        yield follower
    finally:
        idle.put(follower)


def _folder_of(table: str) -> str:
    """Where a table's parts lie. New ones can have any name, also one that is ours or no name of a folder."""
    return table if table in TABLES else f"{UNDECLARED}/{quote(table, safe='').replace('.', '%2E')}"


def _counted(chunks: Iterator[pa.RecordBatch], table: str, progress: Progress) -> Iterator[pa.RecordBatch]:
    for chunk in chunks:
        yield chunk
        progress("ingest", table, chunk.num_rows)
