"""Checksums of large tables by the workers of a cluster: each takes a range of keys, on one of the two servers.

They read in the snapshots of the process that compares, and return numbers, no rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from totes_dagster.cluster.spreading import MANY_PIECES, Cluster
from totes_dagster.config.platform import Warehouse, platform_of_worker
from totes_dagster.errors import ClusterError, DatabaseError, SeveralServersError
from totes_dagster.ingest.reader import SNAPSHOT_MISSING, open_reader
from totes_dagster.ingest.snapshot import ExportedSnapshot
from totes_dagster.lake.manifest import Snapshot
from totes_dagster.lake.source_catalogue import read_catalogue, register
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.transactions import REPEATABLE_READ, SNAPSHOT_LIMIT
from totes_dagster.reconcile.checksums import HashedRows, RangeChecksum, source_rows, warehouse_rows
from totes_dagster.schema.registry import STAR_TABLES

KEYS_AT_ONCE = 2**20
"""How many keys a worker takes: a multiple of what a range of checksums has."""


@dataclass(frozen=True)
class SourceSide:
    """The source, in a snapshot: names only.

    Attributes:
        taken: what identifies the snapshot and the server.
        exported: the snapshot's name there.
        contract: digest of the catalogue, which the lake has.
        lake: the URL of the ingestion zone.
    """

    taken: Snapshot
    exported: str
    contract: str
    lake: str


@dataclass(frozen=True)
class WarehouseSide:
    """The warehouse, in a snapshot: names only.

    Attributes:
        exported: the snapshot's name on its server.
        lake: the URL of the ingestion zone.
    """

    exported: str
    lake: str


@dataclass(frozen=True)
class Summing:
    """A range of keys of one side, to be summed."""

    star: str
    side: SourceSide | WarehouseSide
    lowest: int
    highest: int


@dataclass(frozen=True)
class Spreading:
    """The two sides of a comparison, as workers reach them.

    Attributes:
        cluster: the workers.
        snapshot: the source.
        warehouse: the warehouse.
        in_source: the same, in names.
        in_warehouse: the warehouse's snapshot, in names.
    """

    cluster: Cluster
    snapshot: ExportedSnapshot
    warehouse: Warehouse
    in_source: SourceSide
    in_warehouse: WarehouseSide

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        zone: Zone,
        snapshot: ExportedSnapshot,
        warehouse: Warehouse,
        connection: psycopg.Connection,
    ) -> "Spreading":
        """Those of a comparison.

        Args:
            cluster: the workers.
            zone: the ingestion zone, which has the source's catalogue.
            snapshot: the source.
            warehouse: the warehouse.
            connection: to the warehouse, in a repeatable-read transaction.
        """
        # It is idle while workers read.
        limit = sql.SQL("set local idle_in_transaction_session_timeout = {}").format(sql.Literal(SNAPSHOT_LIMIT))
        connection.execute(limit)
        ((exported,),) = connection.execute("select pg_export_snapshot()").fetchall()
        contract = register(zone, snapshot.catalogue)
        return cls(
            cluster,
            snapshot,
            warehouse,
            SourceSide(snapshot.taken, snapshot.exported, contract, zone.url),
            WarehouseSide(exported, zone.url),
        )

    def range_checksums(
        self, star: str, bounds: tuple[int, int]
    ) -> tuple[dict[int, RangeChecksum], dict[int, RangeChecksum]] | None:
        """The checksums of both sides; None if there are too few keys to share.

        Args:
            star: the star table.
            bounds: the lowest and the highest key of either side.

        Raises:
            DatabaseError: a database cannot be reached, refuses, or closes the connection.
        """
        lowest, highest = bounds
        pieces = range(lowest // KEYS_AT_ONCE, highest // KEYS_AT_ONCE + 1)
        if len(pieces) < MANY_PIECES:
            return None
        works = [
            Summing(star, side, number * KEYS_AT_ONCE, (number + 1) * KEYS_AT_ONCE - 1)
            for number in pieces
            for side in (self.in_source, self.in_warehouse)
        ]
        found: tuple[dict[int, RangeChecksum], dict[int, RangeChecksum]] = ({}, {})
        for work, sums in self.cluster.each(
            f"ranges of keys of {star}", works, task=_sum_on_worker, here=self._sum_here
        ):
            found[isinstance(work.side, WarehouseSide)].update(sums)
        return found

    def _sum_here(self, work: Summing) -> dict[int, RangeChecksum]:
        if isinstance(work.side, SourceSide):
            return _sum_of_source(self.snapshot, work)
        return _sum_of_warehouse(self.warehouse, work.side, work)


def _sum_on_worker(work: Summing) -> dict[int, RangeChecksum]:
    platform = platform_of_worker(work.side.lake)
    if isinstance(work.side, WarehouseSide):
        return _sum_of_warehouse(platform.warehouse, work.side, work)
    side = work.side
    catalogue = read_catalogue(platform.lake.ingestion, side.contract)
    try:
        return _sum_of_source(ExportedSnapshot(platform.source, side.taken, side.exported, catalogue), work)
    except SeveralServersError as error:
        raise ClusterError("TOTESYS_URL leads to another server there, or to another database.") from error


def _sum_of_source(snapshot: ExportedSnapshot, work: Summing) -> dict[int, RangeChecksum]:
    with open_reader(snapshot) as reader, reader.transaction([]):
        return _sum(source_rows(reader.connection, snapshot.catalogue, STAR_TABLES[work.star]), work)


def _sum_of_warehouse(warehouse: Warehouse, side: WarehouseSide, work: Summing) -> dict[int, RangeChecksum]:
    with _in_snapshot(warehouse, side.exported) as connection:
        return _sum(warehouse_rows(connection, warehouse.schema, STAR_TABLES[work.star]), work)


def _sum(rows: HashedRows, work: Summing) -> dict[int, RangeChecksum]:
    return rows.range_checksums(max(work.lowest, -(2**31)), min(work.highest, 2**31 - 1))


@contextmanager
def _in_snapshot(warehouse: Warehouse, exported: str) -> Iterator[psycopg.Connection]:
    with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        try:
            connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(exported)))
        except DatabaseError as error:
            if error.facts["sqlstate"] not in SNAPSHOT_MISSING:
                raise
            raise ClusterError("The snapshot of the warehouse is not on the server of its settings.") from error
        yield connection
