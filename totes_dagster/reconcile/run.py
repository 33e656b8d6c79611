"""Reconciliation: the warehouse is compared with the source in one snapshot, and repaired where it differs.

Whatever the cause, a change that capture missed or a warehouse that somebody changed by hand, the repair is a batch
like any other: it brings the rows that differ, as they are in the source.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from totes_dagster.config.platform import Platform
from totes_dagster.errors import BatchConflictError
from totes_dagster.ingest.run import ATTEMPTS, ingest_snapshot, newest_batch
from totes_dagster.ingest.snapshot import Leader, snapshot_of
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.pipeline import bring_up
from totes_dagster.postgres.transactions import REPEATABLE_READ
from totes_dagster.reconcile.compare import TableDifferences, compare
from totes_dagster.remodel.run import REMODELS
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.runtime.retry import retried
from totes_dagster.schema import warehouse
from totes_dagster.warehouse.load import LoadedBatch, restore_calendar
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.queries import newest_load

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconciled:
    """What a reconciliation found and did, by star table.

    Attributes:
        found: how the warehouse differed from the source.
        left: how it still does after the repair.
        repair: the batch that repaired it; None where none was needed.
        loaded: the batches that were loaded, also those that had nothing to do with it.
    """

    found: dict[str, TableDifferences]
    left: dict[str, TableDifferences]
    repair: Manifest | None
    loaded: list[LoadedBatch]


@dataclass
class _SoFar:
    """What a reconciliation found and did in attempts that it did not see to their end."""

    found: dict[str, TableDifferences] | None = None
    repair: Manifest | None = None
    loaded: list[LoadedBatch] = field(default_factory=list)


def reconcile(platform: Platform, progress: Progress = silent) -> Reconciled:
    """Bring the warehouse up to date, compare it with the source, and repair what differs.

    Raises:
        TotesError: see the stages. What was done before it stays done.
        BatchConflictError: other refreshes kept coming in between.
    """
    so_far = _SoFar()
    for _ in range(ATTEMPTS):
        # The snapshot goes with its connection: what fails for a moment is begun anew.
        done = retried("Reconcile", lambda: _attempt(platform, so_far, progress))
        if done is not None:
            return done
        logger.info("Another refresh came in between; comparing anew.")
    raise BatchConflictError(
        f"Other refreshes came in between, {ATTEMPTS} times in a row. Nothing is lost; reconcile when there are fewer."
    )


def _attempt(platform: Platform, so_far: _SoFar, progress: Progress) -> Reconciled | None:
    # Read first: what is committed after the snapshot was taken is not to be followed by an older state.
    previous = newest_batch(BatchLog(platform.ingestion))
    with snapshot_of(platform.source, undeclared=False) as leader:
        return _reconcile(platform, leader, previous, so_far, progress)


def _reconcile(
    platform: Platform, leader: Leader, previous: Manifest | None, so_far: _SoFar, progress: Progress
) -> Reconciled | None:
    """Do all of it in one snapshot; None where another refresh came in between."""
    lake = platform.ingestion
    ingested = ingest_snapshot(leader, lake, previous, progress=progress)
    if ingested is None:
        return None
    batch = ingested.batch or previous
    so_far.loaded += bring_up(platform, progress)[1]
    found = _compare(platform, leader, batch, progress)
    if found is None:
        return None
    if not any(found.values()):
        return Reconciled(so_far.found or found, found, so_far.repair, so_far.loaded)

    for star, differences in found.items():
        if differences:
            logger.info("%d rows of %s differ from the source; repairing them.", differences.count, star)
    so_far.found = so_far.found or found
    _mend(platform, found)
    repaired = ingest_snapshot(leader, lake, batch, repair=repairs_of(found), progress=progress)
    if repaired is None:
        return None
    so_far.repair = repaired.batch or so_far.repair
    so_far.loaded += bring_up(platform, progress)[1]
    left = _compare(platform, leader, repaired.batch or batch, progress)
    return None if left is None else Reconciled(so_far.found, left, so_far.repair, so_far.loaded)


def repairs_of(found: Mapping[str, TableDifferences]) -> dict[str, tuple[int, ...]]:
    """The keys whose rows a batch must bring to repair what was found, by source table.

    A table that values are only looked up in is brought whole.
    """
    repairs: dict[str, tuple[int, ...]] = {}
    for star, differences in found.items():
        if star == warehouse.dim_date.name or not differences.repairable:
            continue
        for name in REMODELS[star].inputs:
            repairs[name] = tuple(sorted({*repairs.get(name, ()), *differences.repairable}))
    return repairs


def _mend(platform: Platform, found: Mapping[str, TableDifferences]) -> None:
    """Repair what no batch can: versions that repeat the one before, and the calendar."""
    doubled = {name: found[name].doubled for name in warehouse.FACTS if found[name].doubled}
    if not doubled and not found[warehouse.dim_date.name]:
        return
    with (
        platform.warehouse.connect_bulk() as connection,
        LoadTransaction.begin(connection, platform.schema, watched_from=platform.warehouse) as transaction,
    ):
        for name, keys in doubled.items():
            removed = transaction.remove_repeated_versions(warehouse.FACTS[name], keys)
            logger.info("Removed %d versions of %s that repeated the one before.", removed, name)
        if found[warehouse.dim_date.name]:
            restore_calendar(transaction)
        transaction.commit()


def _compare(
    platform: Platform, leader: Leader, batch: Manifest | None, progress: Progress
) -> dict[str, TableDifferences] | None:
    """Compare the snapshot with the warehouse, if this shows the batch that was taken in it."""
    with platform.warehouse.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        if newest_load(connection, platform.schema).batch != (batch.batch if batch else 0):
            return None
        return compare(leader, connection, platform.schema, progress)
