"""The stages in their order, as the command line, Dagster's assets and the demo run them.

Stages are retried after transient errors here (see `runtime/retry.py`), and only here. Work finished before a failure
stays done; the next run continues from there. What each stage does belongs to its own package.
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import psycopg

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config.platform import Platform, Warehouse
from totes_dagster.errors import BatchConflictError, ManifestMissingError
from totes_dagster.feed_pipeline import rebuild_feeds
from totes_dagster.ingest.capture import Demand
from totes_dagster.ingest.run import ATTEMPTS, Ingested, ingest_changes, ingest_snapshot
from totes_dagster.ingest.snapshot import SourceSnapshot, open_snapshot
from totes_dagster.ingest.wal.slot import slot_of
from totes_dagster.ingest.wal.start import LogStart
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import StarPart
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.postgres.database import Database
from totes_dagster.postgres.transactions import REPEATABLE_READ
from totes_dagster.reconcile.differences import TableDifferences
from totes_dagster.reconcile.repair import repair_history, repairs_of
from totes_dagster.remodel.run import RemodelledPart, Written, missing_parts, remodel_part, write_part
from totes_dagster.runtime.ahead import ahead
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.registry import CALENDAR, STAR_TABLES, is_of_events
from totes_dagster.warehouse.load import load_batches
from totes_dagster.warehouse.loaded import LoadedBatch
from totes_dagster.warehouse.migrations import migrate as migrate_once
from totes_dagster.warehouse.queries import newest_load
from totes_dagster.warehouse.rebuild import complete_rebuilt, reload_all
from totes_dagster.warehouse.shared_staging import Sharing

if TYPE_CHECKING:
    from totes_dagster.reconcile.spreading import Spreading

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        ingested: the committed batch, and how the source deviates from its contract.
        remodelled: what was written, by star table.
        loaded: the loaded batches, oldest first.
    """

    ingested: Ingested
    remodelled: dict[str, Written]
    loaded: list[LoadedBatch]


@dataclass(frozen=True)
class Reconciled:
    """What a reconciliation found and did, by star table.

    Attributes:
        found: how the warehouse differed from the source.
        left: how it still differs after the repair.
        repair: the batch that repaired it; None if none was needed.
        loaded: the loaded batches, oldest first, including those unrelated to the repair.
    """

    found: dict[str, TableDifferences]
    left: dict[str, TableDifferences]
    repair: Manifest | None
    loaded: list[LoadedBatch]


def refresh(platform: Platform, *, recapture: Collection[str] = (), progress: Progress = silent) -> Refreshed:
    """Bring the warehouse up to date.

    Args:
        platform: what to work on.
        recapture: source tables to capture whole, changed or not.
        progress: called as rows move.

    Raises:
        TotesError: see the stages.
    """
    ingested = ingest(
        platform.source,
        platform.lake.ingestion,
        recapture=recapture,
        from_log=platform.from_log,
        cluster=platform.cluster,
        progress=progress,
    )
    return Refreshed(ingested, *catch_up(platform.warehouse, platform.lake, progress, platform.cluster))


def ingest(
    source: Database,
    ingestion: Zone,
    *,
    recapture: Collection[str] = (),
    from_log: bool = False,
    cluster: Cluster | None = None,
    progress: Progress = silent,
) -> Ingested:
    """Commit everything that changed in the source since the newest batch as the next batch.

    Args:
        source: totesys.
        ingestion: the ingestion zone.
        recapture: source tables to capture whole, changed or not.
        from_log: whether to take changes from the source's write-ahead log, where that is possible.
        cluster: whose workers read large tables that are taken whole.
        progress: called as rows are written.

    Raises:
        TotesError: see `ingest_changes`.
    """
    return retried(
        "Ingest",
        lambda: ingest_changes(
            source, ingestion, recapture=recapture, from_log=from_log, cluster=cluster, progress=progress
        ),
    )


def catch_up(
    warehouse: Warehouse, lake: Lake, progress: Progress = silent, cluster: Cluster | None = None
) -> tuple[dict[str, Written], list[LoadedBatch]]:
    """Remodel and load every committed batch that is not loaded yet.

    Parts are remodelled as the load needs them, while those before are copied.

    Returns:
        What was written to the processed zone, by star table, and the loaded batches, oldest first.
    """
    loaded = load(warehouse, lake, progress, cluster)
    # What is left was lost, of batches that are loaded already.
    written = remodel_all(lake, progress, cluster)
    for batch in reversed(loaded):
        for star, earlier in batch.remodelled.items():
            written[star] = earlier + written[star]
    return written, loaded


def remodel_all(lake: Lake, progress: Progress = silent, cluster: Cluster | None = None) -> dict[str, Written]:
    """Write the parts that the processed zone lacks, of all star tables; return what was written, by star table."""
    log = BatchLog(lake.ingestion)  # one for all tables, which find their manifests read
    # The calendar last: it needs the days in the facts, and reads them where they are remodelled already.
    stars = sorted(STAR_TABLES, key=lambda star: star == CALENDAR.name)
    shared = _remodel_events(lake, log, progress, cluster) if cluster else {}
    written = {star: remodel(star, lake, progress, log=log, cluster=cluster) for star in stars}
    return {star: shared.get(star, Written()) + written[star] for star in STAR_TABLES}


def _remodel_events(lake: Lake, log: BatchLog, progress: Progress, cluster: Cluster) -> dict[str, Written]:
    """Let workers write what is missing of all star tables of event tables at once."""
    missing = [part for star in STAR_TABLES if is_of_events(star) for part in missing_parts(star, log, lake.processed)]
    if not missing:
        return {}
    from totes_dagster.remodel.spreading import write_by_workers  # noqa: PLC0415 - brings pandas

    return retried("Remodel", lambda: write_by_workers(missing, lake, cluster, progress))


def remodel(
    star: str,
    lake: Lake,
    progress: Progress = silent,
    *,
    log: BatchLog | None = None,
    cluster: Cluster | None = None,
) -> Written:
    """Write the parts of one star table that the processed zone lacks."""
    return MissingParts(star, lake, progress, log, cluster).write()


@dataclass(frozen=True)
class MissingParts:
    """The parts of a star table that the processed zone lacks; iterating computes them one by one, oldest first.

    Raises:
        PartError: a part of the ingestion zone is missing, damaged, or of another schema.
    """

    star: str
    lake: Lake
    progress: Progress = silent
    log: BatchLog | None = None
    cluster: Cluster | None = None

    def __iter__(self) -> Iterator[RemodelledPart]:
        return self._computed(self._missing())

    def write(self) -> Written:
        """Write the parts; many of them by the cluster's workers."""
        missing = self._missing()
        if self.cluster and missing:
            from totes_dagster.remodel.spreading import write_by_workers  # noqa: PLC0415 - brings pandas

            cluster = self.cluster
            written = retried("Remodel", lambda: write_by_workers(missing, self.lake, cluster, self.progress))
            if written:
                return written[self.star]
        return _write(self._computed(missing), self.lake.processed)

    def _missing(self) -> list[StarPart]:
        """The parts that are missing."""
        log = self.log or BatchLog(self.lake.ingestion)
        return retried("Remodel", lambda: missing_parts(self.star, log, self.lake.processed))

    def _computed(self, parts: list[StarPart]) -> Iterator[RemodelledPart]:
        for part in parts:
            computed = retried("Remodel", partial(remodel_part, part, self.lake))
            yield computed
            self.progress("remodel", self.star, computed.contents.rows.num_rows)


def write_parts(parts: Iterable[RemodelledPart], processed: Zone) -> Written:
    """Write parts of a star table, one after the other; a part that another process wrote first is left unchanged.

    While one is written, the next is computed.
    """
    return parts.write() if isinstance(parts, MissingParts) else _write(parts, processed)


def _write(parts: Iterable[RemodelledPart], processed: Zone) -> Written:
    written = Written()
    for computed in ahead(parts):
        written += retried("Remodel", partial(write_part, computed, processed))
    return written


def migrate(warehouse: Warehouse) -> str | None:
    """Create the warehouse's tables, or migrate them to the newest revision; see `warehouse.migrations`.

    Returns:
        The revision before; None if there was none.
    """
    return retried("Migrate", lambda: migrate_once(warehouse))


def load(
    warehouse: Warehouse, lake: Lake, progress: Progress = silent, cluster: Cluster | None = None
) -> list[LoadedBatch]:
    """Migrate the warehouse, and load every batch that it has not loaded yet.

    Args:
        warehouse: the warehouse.
        lake: both zones.
        progress: called as rows move.
        cluster: whose workers copy the rows of large batches.

    Raises:
        TotesError: see `load_batches`.
    """
    migrate(warehouse)
    loaded: list[LoadedBatch] = []

    def load_rest() -> None:
        for batch in load_batches(warehouse, lake, progress, cluster):
            loaded.append(batch)  # noqa: PERF402 - batches before one that fails stay loaded

    retried("Load", load_rest)
    return loaded


def rebuild(
    platform: Platform, *, from_another_lake: bool = False, up_to: int | None = None, progress: Progress = silent
) -> list[LoadedBatch]:
    """Replace all loaded rows by those of the lake's batches; see `reload_all`.

    Args:
        platform: what to work on; its source is not read.
        from_another_lake: whether the warehouse may have been loaded from another lake. Rows that only the other lake
            has are lost.
        up_to: the last batch to load; None for the newest.
        progress: called as rows move.

    Raises:
        ManifestMissingError: the lake has no batch.
        ForeignLakeError: the warehouse was loaded from another lake.
        TotesError: see `load`. The warehouse is unchanged.
    """
    lake, warehouse = platform.lake, platform.warehouse
    log = BatchLog(lake.ingestion)
    head = log.head()
    if not head:
        raise ManifestMissingError(
            f"There is no batch in {lake.ingestion.url} to rebuild the warehouse from. Check TOTES_INGESTION_LAKE."
        )
    log.check_head_is_last(head)
    migrate(warehouse)

    def reload() -> list[LoadedBatch]:
        sharing = Sharing(warehouse, lake, platform.cluster, progress)
        return reload_all(sharing, up_to or head, from_another_lake=from_another_lake)

    loaded = retried("Rebuild", reload)
    retried("Rebuild", lambda: complete_rebuilt(warehouse, loaded))
    rebuild_feeds(warehouse, lake, from_another_lake=from_another_lake)
    return loaded


def reconcile(platform: Platform, progress: Progress = silent) -> Reconciled:
    """Bring the warehouse up to date, compare it with the source in one snapshot, and repair what differs.

    Whether capture missed a change or the warehouse was changed by hand, the repair is an ordinary batch: it holds the
    differing rows as they are in the source.

    Raises:
        TotesError: see the stages.
        BatchConflictError: another refresh interfered with every attempt.
    """
    reconciliation = _Reconciliation(platform, progress)
    for _ in range(ATTEMPTS):
        # The snapshot is lost with its connection: after a transient failure, everything starts again.
        done = retried("Reconcile", reconciliation.attempt)
        if done is not None:
            return done
        logger.info("Another refresh interfered; comparing again.")
    raise BatchConflictError(
        f"Other refreshes interfered {ATTEMPTS} times in a row. Nothing is lost; reconcile when there are fewer."
    )


@dataclass
class _Reconciliation:
    """A reconciliation, with what earlier, unfinished attempts found and did."""

    platform: Platform
    progress: Progress
    found: dict[str, TableDifferences] | None = None
    repair: Manifest | None = None
    loaded: list[LoadedBatch] = field(default_factory=list)

    def attempt(self) -> Reconciled | None:
        """Reconcile in one snapshot; None if another refresh interfered."""
        # Read before the snapshot: a batch committed after it must not be followed by this older state.
        previous = BatchLog(self.platform.lake.ingestion).newest()
        with open_snapshot(self.platform.source, undeclared=False, cluster=self.platform.cluster) as snapshot:
            ingested = self._ingest(snapshot, previous)
            if ingested is None:
                return None
            batch = ingested.batch or previous
            found = self._catch_up_and_compare(snapshot, batch)
            if found is None:
                return None
            if not any(found.values()):
                return Reconciled(self.found or found, found, self.repair, self.loaded)
            return self._repair(snapshot, batch, found)

    def _repair(
        self, snapshot: SourceSnapshot, batch: Manifest | None, found: dict[str, TableDifferences]
    ) -> Reconciled | None:
        for star, differences in found.items():
            if differences:
                logger.info("%d rows of %s differ from the source; repairing them.", differences.count, star)
        self.found = self.found or found
        repair_history(self.platform.warehouse, found)
        repaired = self._ingest(snapshot, batch, Demand(repair=repairs_of(found)))
        if repaired is None:
            return None
        self.repair = repaired.batch or self.repair
        left = self._catch_up_and_compare(snapshot, repaired.batch or batch)
        return None if left is None else Reconciled(self.found, left, self.repair, self.loaded)

    def _ingest(
        self, snapshot: SourceSnapshot, previous: Manifest | None, demand: Demand | None = None
    ) -> Ingested | None:
        log = LogStart(slot_of(self.platform.lake.ingestion)) if self.platform.from_log else None
        return ingest_snapshot(
            snapshot, self.platform.lake.ingestion, previous, demand, log=log, progress=self.progress
        )

    def _catch_up_and_compare(
        self, snapshot: SourceSnapshot, batch: Manifest | None
    ) -> dict[str, TableDifferences] | None:
        """Compare the warehouse with the snapshot; None unless the warehouse shows the snapshot's batch."""
        from totes_dagster.reconcile.compare import compare  # noqa: PLC0415 - brings pandas, which refreshes rarely need

        warehouse = self.platform.warehouse
        self.loaded += catch_up(warehouse, self.platform.lake, self.progress, self.platform.cluster)[1]
        with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
            if newest_load(connection, warehouse.schema).batch != (batch.batch if batch else 0):
                return None
            return compare(snapshot, connection, warehouse.schema, self.progress, self._spreading(snapshot, connection))

    def _spreading(self, snapshot: SourceSnapshot, connection: psycopg.Connection) -> "Spreading | None":
        """How workers take part in the comparison; None if there are none."""
        from totes_dagster.reconcile.spreading import Spreading  # noqa: PLC0415 - like `compare`

        platform = self.platform
        if not snapshot.cluster:
            return None
        return Spreading.of(snapshot.cluster, platform.lake.ingestion, snapshot, platform.warehouse, connection)
