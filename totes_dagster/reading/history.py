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
from totes_dagster.lake.key_ranges import RANGE_BITS
from totes_dagster.lake.manifest import Part, TableEntry
from totes_dagster.lake.processed import StarPart, changes_of, star_parts
from totes_dagster.schema.registry import STAR_TABLES, driving_table_of, inputs_of
from totes_dagster.schema.star import StarKind, kind_of
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of

P = TypeVar("P", Part, StarPart)


@dataclass(frozen=True)
class KeyList:
    """A list of the keys that the source had as of a batch, or of changes that the batch took from the source's log.

    Attributes:
        parts: the parts with the keys, or the changes.
        ranges: the ranges of keys that the list covers, by number; None if it covers all keys.
        until: how many parts of the history are not newer than the list.
        is_logged: whether it lists changes, see `LOGGED_SCHEMA`: the keys of deleted rows are gone.
    """

    parts: tuple[Part, ...]
    ranges: tuple[int, ...] | None
    until: int
    is_logged: bool = False


@dataclass(frozen=True)
class History(Generic[P]):
    """The parts that together hold a table as of a batch.

    Attributes:
        parts: in the order of their batches, oldest first.
        lists: lists of the keys that the source still had, newest first, down to one that covers all keys, and of
            changes in between. There are none if no row was deleted since the table was captured whole.
    """

    parts: tuple[P, ...]
    lists: tuple[KeyList, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every row of every part counts."""
        return len(self.parts) <= 1 and not self.lists


def history_of_ingested(table: str, log: BatchLog, batch: int) -> History[Part]:
    """The parts of the ingestion zone that hold a source table as of a batch."""
    changes: list[tuple[tuple[Part, ...], TableEntry | None]] = []
    while batch:
        entry = log.manifest(batch).tables.get(table)
        if entry is None:
            break
        changes.append((entry.parts, entry))
        if entry.content is Capture.WHOLE:
            break
        batch = entry.batch - 1
    return _history(changes)


def history_of_star(star: str, log: BatchLog, batch: int) -> History[StarPart]:
    """The parts of the processed zone that hold a star table as of a batch; see `star_parts`."""
    changes: list[tuple[tuple[StarPart, ...], TableEntry | None]] = []
    for manifest in changes_of(star, log, batch):
        parts = tuple(star_parts(star, manifest))
        driving = driving_table_of(star)
        brought = manifest.tables.get(driving) if driving and manifest.brings(driving) else None
        changes.append((parts, brought))
        if parts and _holds_whole_table(star, brought):
            break
    return _history(changes)


@dataclass(frozen=True)
class ListedKeys:
    """A `KeyList` whose keys were read, one column for each of its parts: those that live, or those that are gone."""

    keys: Sequence[pa.ChunkedArray]
    ranges: tuple[int, ...] | None
    until: int
    are_gone: bool = False


def newest_rows(keys: Sequence[pa.ChunkedArray], lists: Iterable[ListedKeys] = ()) -> Iterator[pa.Array]:
    """For each part, the positions of the rows that count: the newest of their key, if that is not gone.

    Needs about 30 bytes for each row of the parts, and no time per row in Python.

    Args:
        keys: the key column of each part, oldest first. A row without a key does not count.
        lists: lists of live keys. A key is gone if a list covers it, is not older than its newest row, and lacks it;
            or if such a list is one of keys that are gone, and has it.
    """
    lengths = [len(column) for column in keys]
    ends = np.cumsum(lengths, dtype=np.int64)
    numbers = _int64(column for column in keys)
    present = np.flatnonzero(_valid(keys))
    # The first occurrence in reverse order is the newest.
    different, first = np.unique(numbers[present][::-1], return_index=True)
    newest = present[len(present) - 1 - first]
    counts = np.zeros(len(numbers), dtype=bool)
    counts[newest] = True
    for listed in lists:
        those, end = _int64(listed.keys), ends[listed.until - 1] if listed.until else 0
        covered = _covered(different, listed.ranges)
        gone = (newest[covered] < end) & (np.isin(different[covered], those) == listed.are_gone)
        counts[newest[covered][gone]] = False
    for length, end in zip(lengths, ends, strict=True):
        yield pa.array(np.flatnonzero(counts[end - length : end]))


def _covered(keys: np.ndarray, ranges: tuple[int, ...] | None) -> np.ndarray | slice:
    """Where sorted keys are in some ranges, found without looking at all keys; all of them if there are no ranges."""
    if ranges is None:
        return slice(None)
    numbers = np.array(ranges, dtype=np.int64)
    first, after = (np.searchsorted(keys, those << RANGE_BITS) for those in (numbers, numbers + 1))
    return np.concatenate([np.empty(0, dtype=np.int64), *map(np.arange, first, after)])


def _history(changes: Sequence[tuple[tuple[P, ...], TableEntry | None]]) -> History[P]:
    """The history from each batch's parts and, if it brought some, its entry with the live keys; newest first."""
    lists: list[KeyList] = []
    until = sum(len(parts) for parts, _ in changes)
    for parts, entry in changes:
        if entry is not None and entry.content is not Capture.WHOLE and entry.logged:
            lists.append(KeyList(entry.logged, None, until, is_logged=True))
        if entry is not None and entry.content is not Capture.WHOLE and entry.live_keys is not None:
            lists.append(KeyList(entry.live_keys, entry.live_ranges, until))
            if entry.live_ranges is None:
                break
        until -= len(parts)
    return History(tuple(part for parts, _ in reversed(changes) for part in parts), tuple(lists))


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
