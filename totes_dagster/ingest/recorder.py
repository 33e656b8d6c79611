"""Recording a batch: rows of the source's tables become parts in the ingestion zone, several tables at a time."""

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pyarrow as pa

from totes_dagster.errors import DatabaseError, DatabaseUnavailableError
from totes_dagster.ingest.contract import UNDECLARED
from totes_dagster.ingest.parts import write_parts
from totes_dagster.ingest.plan import Work, undeclared_work
from totes_dagster.ingest.reader import Follower, follower_of
from totes_dagster.ingest.snapshot import Leader
from totes_dagster.ingest.undeclared import look_at_undeclared, why
from totes_dagster.lake.manifest import Manifest, TableEntry
from totes_dagster.lake.store import Lake
from totes_dagster.runtime.progress import Progress
from totes_dagster.schema.totesys import TABLES

_READERS = 2


class Recorder:
    """Writes the parts of one attempt at a batch; nobody reads them before its manifest names them."""

    def __init__(self, lake: Lake, batch: int, progress: Progress) -> None:
        self.batch = batch
        self._lake = lake
        self._progress = progress
        # The attempt's own name: parts of an attempt that died stay where they are.
        self._attempt = uuid.uuid4().hex[:12]

    def declared(self, leader: Leader, work: Collection[Work]) -> dict[str, TableEntry]:
        """Record what a batch takes from the declared tables.

        Raises:
            DatabaseError: the source cannot be reached, refuses, or breaks off.
            LakeError: the lake cannot be reached, or refuses.
        """

        def record(share: Sequence[Work]) -> dict[str, TableEntry]:
            with follower_of(leader) as follower, follower.joined([item.table for item in share]):
                return {item.table: self._entry(item, follower, leader) for item in share}

        return _at_once(record, work)

    def undeclared(
        self, leader: Leader, tables: Collection[str], previous: Manifest | None, recapture: Collection[str]
    ) -> tuple[dict[str, TableEntry], dict[str, str]]:
        """Record what a batch takes from tables that nobody declared, each by itself.

        Returns:
            What was recorded, and why other tables were not.

        Raises:
            DatabaseUnavailableError: the source broke off.
            LakeError: the lake cannot be reached, or refuses.
        """
        counted, failed = look_at_undeclared(leader, tables)

        def record(share: Sequence[Work]) -> dict[str, TableEntry]:
            recorded = {}
            with follower_of(leader) as follower:
                for item in share:
                    try:
                        with follower.visiting(item.table):
                            recorded[item.table] = self._entry(item, follower, leader)
                    except DatabaseUnavailableError:
                        raise
                    except DatabaseError as error:
                        failed[item.table] = why(error)
            return recorded

        return _at_once(record, undeclared_work(leader, previous, recapture, counted)), failed

    def _entry(self, item: Work, follower: Follower, leader: Leader) -> TableEntry:
        name, folder = item.table, f"{_folder_of(item.table)}/batch={self.batch:010}"
        table = leader.catalogue.tables[name]
        rows = self._counted(follower.rows(name, table, item.capture), name)
        parts = write_parts(self._lake, folder, self._attempt, rows)
        keys = None
        if item.live_keys:
            keys = write_parts(self._lake, f"live_keys/{folder}", self._attempt, follower.keys(name, table))
        return TableEntry(
            batch=self.batch, content=item.capture.content, census=item.census, parts=parts, live_keys=keys
        )

    def _counted(self, chunks: Iterator[pa.RecordBatch], table: str) -> Iterator[pa.RecordBatch]:
        for chunk in chunks:
            yield chunk
            self._progress("ingest", table, chunk.num_rows)


def _shares(work: Collection[Work]) -> list[list[Work]]:
    """Work divided among readers, so that they end together: the largest tables first, each to who has least."""
    shares: list[list[Work]] = [[] for _ in range(min(_READERS, len(work)))]
    for item in sorted(work, key=lambda item: -item.census.rows):
        min(shares, key=lambda share: sum(other.census.rows for other in share)).append(item)
    return shares


def _at_once(
    record: Callable[[Sequence[Work]], dict[str, TableEntry]], work: Collection[Work]
) -> dict[str, TableEntry]:
    """Record shares of the work at the same time."""
    shares = _shares(work)
    with ThreadPoolExecutor(max(len(shares), 1)) as pool:
        return {name: entry for entries in pool.map(record, shares) for name, entry in entries.items()}


def _folder_of(table: str) -> str:
    """Where a table's parts lie. New ones can have any name, also one that is ours or no name of a folder."""
    return table if table in TABLES else f"{UNDECLARED}/{quote(table, safe='').replace('.', '%2E')}"
