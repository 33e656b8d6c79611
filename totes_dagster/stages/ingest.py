"""The first stage: what changed in totesys since the previous batch becomes the next batch of the ingestion zone."""

import logging
import uuid
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from urllib.parse import quote

import pyarrow as pa

from totes_dagster.database import Database
from totes_dagster.errors import BatchConflictError, LakeError
from totes_dagster.lake.catalogue import register
from totes_dagster.lake.log import BatchLog
from totes_dagster.lake.manifest import Census, Manifest, Part, TableEntry
from totes_dagster.lake.store import Lake
from totes_dagster.schema.totesys import TABLES, Capture, capture_of
from totes_dagster.stages.capture import TableCapture, capture_of_table, horizon_of, none_gone, was_restarted
from totes_dagster.stages.contract import UNDECLARED, Deviation, deviations_of, has_unique_keys, see_that_it_holds
from totes_dagster.stages.fitting import UNFIT
from totes_dagster.stages.follower import Follower, follower_of
from totes_dagster.stages.progress import Progress, silent
from totes_dagster.stages.source import Leader, censuses_of, checksum_of_newest_keys, snapshot_of

ROWS_PER_PART = 2**18
"""Bounds the memory of a part in every stage: some 30 MB of an event table."""

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
    """What to capture of one table."""

    table: str
    capture: TableCapture
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
            ingested = ingest_snapshot(source, leader, lake, previous, recapture=recapture, progress=progress)
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
    source: Database,
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
        source: totesys.
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
    work, censuses = _work_of(leader, previous, recapture, repair or {})
    if not work:
        logger.info("Nothing changed in totesys since batch %d.", previous.batch if previous else 0)
        return Ingested(None, deviations)
    contract = register(lake, leader.catalogue)
    batch = previous.batch + 1 if previous else 1
    captured = _capture(source, leader, lake, batch, censuses, work, progress)
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
    """The source tables that the next batch would hold, found by counting and without capturing anything.

    Raises:
        SourceSchemaError: the source's tables break the contract.
    """
    previous = newest_batch(BatchLog(lake))
    with snapshot_of(source) as leader:
        contract_of(leader)
        return [item.table for item in _work_of(leader, previous, (), {})[0]]


def contract_of(leader: Leader) -> list[Deviation]:
    """How the source differs from the declaration without breaking the contract.

    Raises:
        SourceSchemaError: it breaks the contract.
    """
    deviations = deviations_of(leader.catalogue)
    see_that_it_holds(deviations)
    return deviations


def _work_of(
    leader: Leader,
    previous: Manifest | None,
    recapture: Collection[str],
    repair: Mapping[str, Collection[int]],
) -> tuple[list[_Work], dict[str, Census]]:
    horizon, why_all = horizon_of(previous, leader.snapshot)
    if previous and horizon is None:
        logger.warning("%s Capturing every table whole.", why_all)
    censuses = censuses_of(leader)
    work = []
    for name, now in censuses.items():
        declared = TABLES.get(name)
        entry = previous.tables.get(name) if previous else None
        item = capture_of_table(
            # Nobody knows how large a new table may be.
            Capture.CHANGES if declared is None else capture_of(declared),
            entry,
            now,
            horizon,
            recapture=name in recapture,
            restarted=previous is not None and was_restarted(previous.snapshot, leader.snapshot),
            repair=repair.get(name, ()),
            unique_keys=declared is None or has_unique_keys(leader.catalogue, name),
        )
        if item is None:
            continue
        live_keys = False
        if item.content is Capture.CHANGES and entry is not None and declared is not None:
            newest = checksum_of_newest_keys(leader, name, now.rows - entry.census.rows)
            live_keys = name in repair or not none_gone(entry.census, now, newest)
        work.append(_Work(name, item, live_keys))
    return work, censuses


def _capture(
    source: Database,
    leader: Leader,
    lake: Lake,
    batch: int,
    censuses: Mapping[str, Census],
    work: Collection[_Work],
    progress: Progress,
) -> dict[str, TableEntry]:
    # The attempt's own name: parts of an attempt that died stay where they are, and nobody reads them.
    attempt = uuid.uuid4().hex[:12]
    readers = min(_READERS, len(work))
    idle: SimpleQueue[Follower] = SimpleQueue()

    def capture(item: _Work) -> tuple[str, TableEntry]:
        name, folder = item.table, f"{_folder_of(item.table)}/batch={batch:010}"
        follower = idle.get()
        try:
            rows = _counted(follower.rows(name, leader.catalogue.tables[name], item.capture), name, progress)
            parts = _write_parts(lake, folder, attempt, rows)
            keys = _write_parts(lake, f"live_keys/{folder}", attempt, follower.keys(name)) if item.live_keys else None
        finally:
            idle.put(follower)
        content = item.capture.content
        return name, TableEntry(batch=batch, content=content, census=censuses[name], parts=parts, live_keys=keys)

    with ExitStack() as stack, ThreadPoolExecutor(readers) as pool:
        for follower in pool.map(lambda _: stack.enter_context(follower_of(source, leader)), range(readers)):
            idle.put(follower)
        # The largest tables first, so that the readers end together.
        return dict(pool.map(capture, sorted(work, key=lambda item: -censuses[item.table].rows)))


def _folder_of(table: str) -> str:
    """Where a table's parts lie. New ones can have any name, also one that is ours or no name of a folder."""
    return table if table in TABLES else f"{UNDECLARED}/{quote(table, safe='').replace('.', '%2E')}"


def _counted(chunks: Iterator[pa.RecordBatch], table: str, progress: Progress) -> Iterator[pa.RecordBatch]:
    for chunk in chunks:
        yield chunk
        progress("ingest", table, chunk.num_rows)


def _write_parts(lake: Lake, folder: str, attempt: str, chunks: Iterator[pa.RecordBatch]) -> tuple[Part, ...]:
    """Write a stream as parts of at most ROWS_PER_PART rows, holding one part in memory at a time."""
    parts = []
    for number, rows in enumerate(_tables(chunks)):
        path = f"{folder}/part-{number:05}-{attempt}.parquet"
        part = lake.create_part(path, rows)
        if part is None:
            raise LakeError(f"{path} exists already in {lake.url}, though its name was made up a moment ago.")
        parts.append(part)
    return tuple(parts)


def _tables(chunks: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for chunk in chunks:
        offset = 0
        while offset < chunk.num_rows:
            piece = chunk.slice(offset, ROWS_PER_PART - rows)
            waiting.append(piece)
            rows += piece.num_rows
            offset += piece.num_rows
            if rows == ROWS_PER_PART:
                yield _part(waiting)
                waiting, rows = [], 0
    if rows:
        yield _part(waiting)


def _part(chunks: list[pa.RecordBatch]) -> pa.Table:
    """Chunks as one table, without the column `UNFIT` where it says nothing."""
    rows = pa.Table.from_batches(chunks)
    says_nothing = UNFIT in rows.column_names and rows.column(UNFIT).null_count == rows.num_rows
    return rows.drop_columns(UNFIT) if says_nothing else rows
