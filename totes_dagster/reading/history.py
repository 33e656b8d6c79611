"""Which parts of a zone, and which rows in them, are a table as of a batch: found from the manifests and the keys.

A zone keeps every version of a row that a batch has brought. The newest one counts, unless its key is gone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Part, TableEntry
from totes_dagster.lake.processed import StarPart, last_change_of, star_parts
from totes_dagster.schema.registry import STAR_TABLES, driving_table_of, inputs_of
from totes_dagster.schema.star import StarKind, kind_of
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of

P = TypeVar("P", Part, StarPart)


@dataclass(frozen=True)
class History(Generic[P]):
    """The parts that together hold a table as of a batch.

    Attributes:
        parts: in the order of their batches, oldest first.
        live_keys: the parts with the newest list of the keys that the source still had; None if there is none, because
            no row was deleted since the table was captured whole.
        listed_until: how many of the parts are not newer than that list.
    """

    parts: tuple[P, ...]
    live_keys: tuple[Part, ...] | None = None
    listed_until: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row of every part counts."""
        return len(self.parts) <= 1 and self.live_keys is None


def history_of_ingested(table: str, log: BatchLog, batch: int) -> History[Part]:
    """The parts of the ingestion zone that hold a source table as of a batch."""
    changes: list[tuple[tuple[Part, ...], tuple[Part, ...] | None]] = []
    while batch:
        entry = log.manifest(batch).tables.get(table)
        if entry is None:
            break
        changes.append((entry.parts, _live_keys(entry)))
        if entry.content is Capture.WHOLE:
            break
        batch = entry.batch - 1
    return _history(changes)


def history_of_star(star: str, log: BatchLog, batch: int) -> History[StarPart]:
    """The parts of the processed zone that hold a star table as of a batch; see `star_parts`."""
    changes: list[tuple[tuple[StarPart, ...], tuple[Part, ...] | None]] = []
    while batch:
        manifest = log.manifest(batch)
        last_change = last_change_of(star, manifest)
        if last_change < batch:
            batch = last_change
            continue
        parts = tuple(star_parts(star, manifest))
        driving = driving_table_of(star)
        brought = manifest.tables.get(driving) if driving and manifest.brings(driving) else None
        changes.append((parts, _live_keys(brought) if brought else None))
        if parts and _holds_whole_table(star, brought):
            break
        batch -= 1
    return _history(changes)


def newest_rows(
    keys: Sequence[pa.ChunkedArray], live: Sequence[pa.ChunkedArray] | None, listed_until: int
) -> Iterator[pa.Array]:
    """For each part, the positions of the rows that count: the newest of their key, if that is not gone.

    Needs about 20 bytes for each row of the parts, and no time per row in Python.

    Args:
        keys: the key column of each part, oldest first. A row without a key does not count.
        live: the parts of the newest list of live keys; None if there is none.
        listed_until: how many of the parts are not newer than that list.
    """
    lengths = [len(column) for column in keys]
    numbers = _int64(column for column in keys)
    present = np.flatnonzero(_valid(keys))
    # The first occurrence in reverse order is the newest.
    _, first = np.unique(numbers[present][::-1], return_index=True)
    counts = np.zeros(len(numbers), dtype=bool)
    counts[present[len(present) - 1 - first]] = True
    if live is not None:
        listed = slice(0, sum(lengths[:listed_until]))
        counts[listed] &= np.isin(numbers[listed], _int64(live))
    ends = np.cumsum(lengths, dtype=np.int64)
    for length, end in zip(lengths, ends, strict=True):
        yield pa.array(np.flatnonzero(counts[end - length : end]))


def _history(changes: Sequence[tuple[tuple[P, ...], tuple[Part, ...] | None]]) -> History[P]:
    """The history from the parts and live keys of each batch, newest first."""
    listed = next((number for number, (_, live) in enumerate(changes) if live is not None), None)
    return History(
        parts=tuple(part for parts, _ in reversed(changes) for part in parts),
        live_keys=None if listed is None else changes[listed][1],
        listed_until=0 if listed is None else sum(len(parts) for parts, _ in changes[listed:]),
    )


def _live_keys(entry: TableEntry) -> tuple[Part, ...] | None:
    return None if entry.content is Capture.WHOLE else entry.live_keys


def _holds_whole_table(star: str, brought: TableEntry | None) -> bool:
    """Whether a batch's parts of a star table are all of it, so that older ones do not count."""
    if kind_of(STAR_TABLES[star]) is StarKind.CALENDAR:
        return False
    if capture_of(SOURCE_TABLES[inputs_of(star)[0]]) is Capture.WHOLE:
        return True
    return brought is not None and brought.content is Capture.WHOLE


def _int64(columns: Iterable[pa.ChunkedArray]) -> np.ndarray:
    """Keys or days as one array, with 0 for those that are missing."""
    pieces = [_numbers(column) for column in columns]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    numbers = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    return numbers.cast(pa.int64()).fill_null(0).to_numpy()


def _valid(columns: Sequence[pa.ChunkedArray]) -> np.ndarray:
    pieces = [pc.is_valid(column).to_numpy(zero_copy_only=False) for column in columns]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=bool)
