"""Recording a batch: the source's rows are written as parts of the ingestion zone, from two tables at a time."""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pyarrow as pa

from totes_dagster.errors import DatabaseError, DatabaseUnavailableError
from totes_dagster.ingest.blocks import Positions
from totes_dagster.ingest.capture import Demand
from totes_dagster.ingest.extraction import Shares
from totes_dagster.ingest.keys import PlannedKeys
from totes_dagster.ingest.parts import write_keys, write_part, write_parts
from totes_dagster.ingest.plan import PlannedTable, plan_undeclared
from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.ingest.undeclared import count_undeclared, reason_from
from totes_dagster.lake import ingested
from totes_dagster.lake.key_ranges import to_table
from totes_dagster.lake.manifest import Manifest, Part, TableEntry
from totes_dagster.lake.zone import Zone
from totes_dagster.runtime.progress import Progress
from totes_dagster.schema.totesys import SOURCE_TABLES

if TYPE_CHECKING:
    from totes_dagster.ingest.reader import SnapshotReader

_READERS = 2


class Recorder:
    """Writes the parts of one attempt at a batch. No part is read before a manifest names it."""

    def __init__(self, zone: Zone, batch: int, progress: Progress) -> None:
        self.batch = batch
        self._zone = zone
        self._progress = progress
        # Unique to the attempt: the parts of an attempt that died stay where they are.
        self._attempt = uuid.uuid4().hex[:12]

    def declared(
        self, snapshot: SourceSnapshot, planned: Collection[PlannedTable], keys: Mapping[str, Future[PlannedKeys]]
    ) -> dict[str, TableEntry]:
        """Record what a batch takes from the declared tables.

        Args:
            snapshot: the source.
            planned: what to take.
            keys: what to record about each table's keys, as soon as that is decided.

        Raises:
            DatabaseError: the source cannot be reached, refuses, or closes the connection.
            LakeError: the lake cannot be reached, or refuses.
        """

        def record(share: Sequence[PlannedTable]) -> dict[str, TableEntry]:
            with _open_reader(snapshot) as reader, reader.transaction([item.table for item in share]):
                return {item.table: self._entry(item, reader, snapshot, keys[item.table].result) for item in share}

        return _concurrently(record, planned)

    def undeclared(
        self, snapshot: SourceSnapshot, tables: Collection[str], previous: Manifest | None, demand: Demand
    ) -> tuple[dict[str, TableEntry], dict[str, str]]:
        """Record what a batch takes from undeclared tables, each in its own transaction.

        Returns:
            The entries of the recorded tables, and the reasons why the others could not be recorded.

        Raises:
            DatabaseUnavailableError: the source closed the connection.
            LakeError: the lake cannot be reached, or refuses.
        """
        counted, failed = count_undeclared(snapshot, tables)

        def record(share: Sequence[PlannedTable]) -> dict[str, TableEntry]:
            recorded = {}
            with _open_reader(snapshot) as reader:
                for item in share:
                    try:
                        with reader.transaction_on_unlocked(item.table):
                            recorded[item.table] = self._entry(item, reader, snapshot)
                    except DatabaseUnavailableError:
                        raise
                    except DatabaseError as error:
                        failed[item.table] = reason_from(error)
            return recorded

        return _concurrently(record, plan_undeclared(snapshot, previous, demand, counted)), failed

    def _entry(
        self,
        item: PlannedTable,
        reader: "SnapshotReader",
        snapshot: SourceSnapshot,
        plan_keys: Callable[[], PlannedKeys] = PlannedKeys,
    ) -> TableEntry:
        name, table = item.table, snapshot.catalogue.tables[item.table]
        parts = self._parts(item, reader, snapshot)
        keys = plan_keys()
        live, counted = None, keys.key_ranges
        if keys.live:
            folder = ingested.live_keys_folder_of(name, self.batch)
            live = write_keys(self._zone, folder, self._attempt, reader.keys(name, table, keys.live_ranges))
        if keys.counted is not None:
            folder = ingested.key_ranges_folder_of(name, self.batch)
            counted = write_part(self._zone, folder, self._attempt, to_table(keys.counted))
        return TableEntry(
            batch=self.batch,
            content=item.capture.content,
            census=item.census,
            parts=parts,
            live_keys=live,
            live_ranges=keys.live_ranges,
            key_ranges=counted,
            added_keys=keys.added_keys,
        )

    def _parts(self, item: PlannedTable, reader: "SnapshotReader", snapshot: SourceSnapshot) -> tuple[Part, ...]:
        """Read what a batch takes from a table, and write it: a table that is taken whole, share by share."""
        name, table, capture = item.table, snapshot.catalogue.tables[item.table], item.capture
        folder = ingested.folder_of(name, self.batch)
        ranges: Sequence[Positions | None] = [None]
        # Which keys are repeated is asked of the table as a whole.
        if capture.is_whole and capture.unique_keys:
            shares = Shares.of(name, self.batch, lambda rows: reader.shares(name, table, item.census.rows, rows))
            ranges = shares.ranges
            # Nobody has locked an undeclared table, which may be rewritten before a worker comes to it.
            if snapshot.cluster and name in SOURCE_TABLES and shares.are_many():
                return shares.read_by_workers(
                    snapshot.cluster, snapshot, self._zone, lambda rows: self._progress("ingest", name, rows)
                )
        return tuple(
            part
            for number, share in enumerate(ranges)
            for part in write_parts(
                self._zone,
                folder,
                self._attempt,
                self._with_progress(reader.rows(name, table, capture, share), name),
                number,
            )
        )

    def _with_progress(self, chunks: Iterator[pa.RecordBatch], table: str) -> Iterator[pa.RecordBatch]:
        for chunk in chunks:
            yield chunk
            self._progress("ingest", table, chunk.num_rows)


def _open_reader(snapshot: SourceSnapshot) -> "AbstractContextManager[SnapshotReader]":
    from totes_dagster.ingest.reader import open_reader  # noqa: PLC0415 - most refreshes find nothing to read

    return open_reader(snapshot)


def _shares(planned: Collection[PlannedTable]) -> list[list[PlannedTable]]:
    """The tables, divided among readers so that they finish together: the largest first, to the least loaded reader."""
    shares: list[list[PlannedTable]] = [[] for _ in range(min(_READERS, len(planned)))]
    for item in sorted(planned, key=lambda item: -item.census.rows):
        min(shares, key=lambda share: sum(other.census.rows for other in share)).append(item)
    return shares


def _concurrently(
    record: Callable[[Sequence[PlannedTable]], dict[str, TableEntry]], planned: Collection[PlannedTable]
) -> dict[str, TableEntry]:
    """Divide the tables among readers, and record all shares at the same time."""
    shares = _shares(planned)
    with ThreadPoolExecutor(max(len(shares), 1)) as pool:
        return {name: entry for entries in pool.map(record, shares) for name, entry in entries.items()}
