"""Reading a large table share by share: in this process, or by the workers of a cluster, which make the same parts.

A share is a range of blocks that has about as many rows as a part. Workers read it in the batch's snapshot.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from totes_dagster.cluster.spreading import MANY_PIECES, Cluster
from totes_dagster.config.platform import platform_of_worker
from totes_dagster.errors import ClusterError, PartMissingError, SeveralServersError
from totes_dagster.ingest.blocks import Positions
from totes_dagster.ingest.capture import TableCapture
from totes_dagster.ingest.parts import ROWS_PER_PART, write_parts
from totes_dagster.ingest.snapshot import ExportedSnapshot, SourceSnapshot
from totes_dagster.lake import ingested
from totes_dagster.lake.manifest import Part, Snapshot
from totes_dagster.lake.source_catalogue import Catalogue, read_catalogue, register
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.totesys import Capture

ROWS_PER_SHARE = ROWS_PER_PART * 15 // 16
"""A little less than a part may have, for some blocks are fuller than others."""


@dataclass(frozen=True)
class Extraction:
    """A share of a table, to be read and written by a worker: names only.

    Attributes:
        table: the source table.
        batch: the number of the batch.
        number: which share it is.
        share: its range of blocks.
        taken: what identifies the snapshot and the server.
        exported: the snapshot's name there.
        contract: digest of the catalogue, which the lake has.
        lake: the URL of the ingestion zone.
    """

    table: str
    batch: int
    number: int
    share: Positions
    taken: Snapshot
    exported: str
    contract: str
    lake: str


def extract(snapshot: ExportedSnapshot, zone: Zone, work: Extraction) -> tuple[Part, ...]:
    """Read a share of a table on a connection of its own, and write it; return the parts, mostly one.

    Raises:
        DatabaseUnavailableError: the snapshot is gone, with the connection that held it.
        DatabaseError: the source cannot be reached, refuses, or closes the connection.
        SeveralServersError: the connection reached another server than the one with the snapshot.
        LakeError: the lake cannot be reached, or refuses.
    """
    from totes_dagster.ingest.reader import open_reader  # noqa: PLC0415 - most refreshes find nothing to read

    table = snapshot.catalogue.tables[work.table]
    with open_reader(snapshot) as reader, reader.transaction([work.table]):
        rows = reader.rows(work.table, table, TableCapture(Capture.WHOLE), work.share)
        # A name of its own: a worker that was taken for lost may be writing the same share.
        return write_parts(zone, ingested.folder_of(work.table, work.batch), _new_name(), rows, work.number)


def extract_on_worker(work: Extraction) -> tuple[Part, ...]:
    """Read and write a share with the source and the lake of this machine's own settings.

    Raises:
        ClusterError: they are others than those of the process that asks.
        TotesError: see `extract`.
    """
    platform = platform_of_worker(work.lake)
    zone = platform.lake.ingestion
    snapshot = ExportedSnapshot(platform.source, work.taken, work.exported, _catalogue(zone, work.contract))
    try:
        return extract(snapshot, zone, work)
    except SeveralServersError as error:
        raise ClusterError("TOTESYS_URL leads to another server there, or to another database.") from error


@dataclass(frozen=True)
class Shares:
    """The shares of a table that a batch takes whole."""

    table: str
    batch: int
    ranges: Sequence[Positions]

    @classmethod
    def of(cls, table: str, batch: int, divided: Callable[[int], Sequence[Positions]]) -> "Shares":
        """The shares of a table that is divided into ranges of at most so many rows each."""
        return cls(table, batch, divided(ROWS_PER_SHARE))

    def are_many(self) -> bool:
        """Whether there is enough to do for several machines."""
        return len(self.ranges) >= MANY_PIECES

    def read_by_workers(
        self, cluster: Cluster, snapshot: SourceSnapshot, zone: Zone, done: Callable[[int], None]
    ) -> tuple[Part, ...]:
        """Let workers read and write the shares; return the parts, in order.

        Args:
            cluster: the workers.
            snapshot: the source.
            zone: the ingestion zone.
            done: called with the number of rows of a share when it is written.

        Raises:
            TotesError: see `extract`.
            PartMissingError: a worker has written to another folder of the same name.
        """
        contract = register(zone, snapshot.catalogue)
        works = [
            Extraction(self.table, self.batch, number, share, snapshot.taken, snapshot.exported, contract, zone.url)
            for number, share in enumerate(self.ranges)
        ]
        parts: dict[int, tuple[Part, ...]] = {}
        written = cluster.each(
            f"shares of {self.table}",
            works,
            task=extract_on_worker,
            here=lambda work: extract(snapshot, zone, work),
        )
        for work, of_share in written:
            if zone.is_folder and not all(zone.exists(part.path) for part in of_share):
                raise PartMissingError(
                    f"A worker has written parts of {self.table} to another folder than {zone.url} of this machine. "
                    "Use a bucket, or a folder that all machines share."
                )
            parts[work.number] = of_share
            done(sum(part.rows for part in of_share))
        return tuple(part for number in sorted(parts) for part in parts[number])


@lru_cache(maxsize=4)
def _catalogue(zone: Zone, contract: str) -> Catalogue:
    return read_catalogue(zone, contract)


def _new_name() -> str:
    return uuid.uuid4().hex[:12]
