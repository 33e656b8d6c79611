"""The first stage: what changed in totesys since the previous batch becomes the next batch of the ingestion zone."""

import logging
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

import pyarrow as pa

from totes_dagster.database import Database
from totes_dagster.errors import BatchConflictError, LakeError
from totes_dagster.lake.log import BatchLog
from totes_dagster.lake.manifest import Census, Manifest, Part, TableEntry
from totes_dagster.lake.store import Lake
from totes_dagster.schema.totesys import TABLES, Capture, capture_of
from totes_dagster.stages.capture import TableCapture, capture_of_table, horizon_of, none_gone
from totes_dagster.stages.progress import Progress, silent
from totes_dagster.stages.source import (
    Follower,
    Leader,
    censuses_of,
    checksum_of_newest_keys,
    columns_of,
    follower_of,
    snapshot_of,
)

ROWS_PER_PART = 2**18
"""Bounds the memory of a part in every stage: some 30 MB of an event table."""

_READERS = 2
_ATTEMPTS = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """What to capture of one table."""

    table: str
    capture: TableCapture
    live_keys: bool


def ingest(
    source: Database,
    lake: Lake,
    *,
    recapture: Collection[str] = (),
    progress: Progress = silent,
) -> Manifest | None:
    """Commit everything that changed in the source since the newest batch as the next batch.

    Args:
        source: totesys.
        lake: the ingestion zone.
        recapture: source tables to take whole, changed or not.
        progress: notified of rows as they are written.

    Returns:
        The new batch's manifest, or None when nothing changed.

    Raises:
        SourceSchemaError: the source's tables are not as declared.
        DatabaseError: the source cannot be reached, refuses, or breaks off.
        LakeError: the lake cannot be reached, or refuses.
        BatchConflictError: other ingests committed every number that this one tried for.
    """
    log = BatchLog(lake)
    for _ in range(_ATTEMPTS):
        head = log.head()
        previous = log.manifest(head) if head else None
        manifest = _capture(source, lake, previous, recapture, progress)
        if manifest is None:
            logger.info("Nothing changed in totesys since batch %d.", head)
            return None
        if log.commit(manifest):
            rows = sum(entry.rows for name, entry in manifest.tables.items() if manifest.brings(name))
            logger.info("Committed batch %d: %d rows.", manifest.batch, rows)
            return manifest
        # What the other ingest committed is not to be captured again: look at the source anew.
        logger.info("Another ingest committed batch %d first; its work stands, starting over.", manifest.batch)
    raise BatchConflictError(
        f"Other ingests committed the next batch first, {_ATTEMPTS} times in a row. Nothing is lost; run one ingest at "
        "a time."
    )


def changed_tables(source: Database, lake: Lake) -> list[str]:
    """The source tables that the next batch would hold, found by counting and without capturing anything.

    Raises:
        SourceSchemaError: the source's tables are not as declared.
    """
    log = BatchLog(lake)
    head = log.head()
    previous = log.manifest(head) if head else None
    with snapshot_of(source) as leader:
        columns_of(leader)
        return [item.table for item in _work_of(leader, previous, censuses_of(leader), recapture=())]


def _capture(
    source: Database, lake: Lake, previous: Manifest | None, recapture: Collection[str], progress: Progress
) -> Manifest | None:
    batch = previous.batch + 1 if previous else 1
    with snapshot_of(source) as leader, ExitStack() as stack:
        columns = columns_of(leader)
        censuses = censuses_of(leader)
        work = _work_of(leader, previous, censuses, recapture)
        if not work:
            return None
        # The attempt's own name: parts of an attempt that died stay where they are, and nobody reads them.
        attempt = uuid.uuid4().hex[:12]
        readers = min(_READERS, len(work))
        idle: SimpleQueue[Follower] = SimpleQueue()

        def capture(item: _Work) -> tuple[str, TableEntry]:
            name, folder = item.table, f"{item.table}/batch={batch:010}"
            follower = idle.get()
            try:
                rows = _counted(follower.rows(name, columns[name], item.capture), name, progress)
                parts = _write_parts(lake, folder, attempt, rows)
                keys = (
                    _write_parts(lake, f"live_keys/{folder}", attempt, follower.keys(name)) if item.live_keys else None
                )
            finally:
                idle.put(follower)
            content = item.capture.content
            return name, TableEntry(batch=batch, content=content, census=censuses[name], parts=parts, live_keys=keys)

        with ThreadPoolExecutor(readers) as pool:
            for follower in pool.map(lambda _: stack.enter_context(follower_of(source, leader)), range(readers)):
                idle.put(follower)
            # The largest tables first, so that the readers end together.
            captured = dict(pool.map(capture, sorted(work, key=lambda item: -censuses[item.table].rows)))
        carried = dict(previous.tables) if previous else {}
        return Manifest(batch=batch, snapshot=leader.snapshot, tables=carried | captured)


def _work_of(
    leader: Leader, previous: Manifest | None, censuses: dict[str, Census], recapture: Collection[str]
) -> list[_Work]:
    horizon = horizon_of(previous, leader.snapshot)
    work = []
    for name, table in TABLES.items():
        entry = previous.tables.get(name) if previous else None
        now = censuses[name]
        item = capture_of_table(capture_of(table), entry, now, horizon, recapture=name in recapture)
        if item is None:
            continue
        live_keys = False
        if item.content is Capture.CHANGES and entry is not None:
            newest = checksum_of_newest_keys(leader, name, now.rows - entry.census.rows)
            live_keys = not none_gone(entry.census, now, newest)
        work.append(_Work(name, item, live_keys))
    return work


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
                yield pa.Table.from_batches(waiting)
                waiting, rows = [], 0
    if rows:
        yield pa.Table.from_batches(waiting)
