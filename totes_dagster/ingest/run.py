"""Running the first stage: what changed in totesys since the previous batch becomes the next batch."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from totes_dagster.errors import BatchConflictError, SourceBehindError
from totes_dagster.ingest.capture import Demand
from totes_dagster.ingest.contract import Deviation, deviations_of, not_captured, refuse_broken, undeclared
from totes_dagster.ingest.plan import plan_declared, plan_undeclared, planned_keys
from totes_dagster.ingest.recorder import Recorder
from totes_dagster.ingest.snapshot import SourceSnapshot, open_snapshot, without_locks
from totes_dagster.ingest.undeclared import count_undeclared
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, Snapshot
from totes_dagster.lake.source_catalogue import register
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.database import Database
from totes_dagster.runtime.progress import Progress, silent

ATTEMPTS = 5
"""How many times to try when other ingests commit first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ingested:
    """The result of an ingest.

    Attributes:
        batch: the manifest that it committed; None if nothing had changed.
        deviations: differences between the source and the declaration that do not break the contract.
    """

    batch: Manifest | None
    deviations: list[Deviation]


def ingest_changes(
    source: Database, zone: Zone, *, recapture: Collection[str] = (), progress: Progress = silent
) -> Ingested:
    """Commit everything that changed in the source since the newest batch as the next batch.

    Args:
        source: totesys.
        zone: the ingestion zone.
        recapture: source tables to take whole, changed or not.
        progress: notified of rows as they are written.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        SourceBehindError: the source is a standby that is behind the newest batch.
        DatabaseError: the source cannot be reached, refuses, or closes the connection.
        LakeError: the lake cannot be reached, or refuses.
        BatchConflictError: other ingests took the next batch number on every attempt.
    """
    log = BatchLog(zone)
    for _ in range(ATTEMPTS):
        previous = newest_batch(log)
        with open_snapshot(source) as snapshot:
            ingested = ingest_snapshot(snapshot, zone, previous, Demand(recapture), progress=progress)
        if ingested is not None:
            return ingested
        # What the other ingest committed must not be captured again: start from its batch, with a new snapshot.
    raise BatchConflictError(
        f"Other ingests committed the next batch first, {ATTEMPTS} times in a row. Nothing is lost; run one ingest at "
        "a time."
    )


def newest_batch(log: BatchLog) -> Manifest | None:
    """The manifest that the next batch follows; None before the first batch.

    It must be read before the source's snapshot is taken.

    Raises:
        ManifestMissingError: a manifest is missing, although later ones exist.
    """
    head = log.head()
    log.check_head_is_last(head)
    return log.manifest(head) if head else None


def ingest_snapshot(
    snapshot: SourceSnapshot,
    zone: Zone,
    previous: Manifest | None,
    demand: Demand | None = None,
    *,
    progress: Progress = silent,
) -> Ingested | None:
    """Commit what changed between the previous batch and a snapshot.

    Args:
        snapshot: the source. If its catalogue lists undeclared tables, its transaction, and with it its locks, ends
            once the declared tables are captured.
        zone: the ingestion zone.
        previous: the newest batch, read before the snapshot was taken.
        demand: what to take in addition to what changed.
        progress: notified of rows as they are written.

    Returns:
        The result; None if another ingest committed first.

    Raises:
        SourceSchemaError, SourceBehindError, DatabaseError, LakeError: see `ingest_changes`.
    """
    demand = demand or Demand()
    deviations = check_contract(snapshot)
    check_not_behind(previous, snapshot.taken)
    recorder = Recorder(zone, previous.batch + 1 if previous else 1, progress)
    planned = plan_declared(snapshot, previous, demand)
    with planned_keys(planned, snapshot, zone, previous, demand) as keys:
        captured = recorder.declared(snapshot, planned, keys)
    if others := undeclared(snapshot.catalogue):
        with without_locks(snapshot) as unlocked:
            more, failed = recorder.undeclared(unlocked, others, previous, demand)
        captured |= more
        for name, reason in failed.items():
            logger.warning("The undeclared table %s is not captured this time: %s", name, reason)
        deviations = [
            not_captured(item.table, failed[item.table]) if item.table in failed else item for item in deviations
        ]
    if not captured:
        logger.info("Nothing changed in totesys since batch %d.", previous.batch if previous else 0)
        return Ingested(None, deviations)
    contract, batch = register(zone, snapshot.catalogue), recorder.batch
    carried = dict(previous.tables) if previous else {}
    manifest = Manifest(batch=batch, contract=contract, snapshot=snapshot.taken, tables=carried | captured)
    if not BatchLog(zone).commit(manifest):
        logger.info("Another ingest committed batch %d first. Starting over.", batch)
        return None
    rows = ", ".join(f"{entry.rows:,} rows of {name}" for name, entry in captured.items())
    logger.info("Committed batch %d, the source as of %s: %s.", batch, manifest.snapshot.taken_at, rows)
    return Ingested(manifest, deviations)


def changed_tables(source: Database, zone: Zone, *, undeclared_too: bool = False) -> list[str]:
    """The tables that the next batch would contain, found without capturing anything.

    Args:
        source: totesys.
        zone: the ingestion zone.
        undeclared_too: whether to count undeclared tables as well, of which there may be thousands.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        SourceBehindError: the source is a standby that is behind the newest batch.
    """
    previous = newest_batch(BatchLog(zone))
    with open_snapshot(source, undeclared=undeclared_too) as snapshot:
        check_contract(snapshot)
        check_not_behind(previous, snapshot.taken)
        planned = plan_declared(snapshot, previous, Demand())
        if others := undeclared(snapshot.catalogue):
            with without_locks(snapshot) as unlocked:
                counted, _ = count_undeclared(unlocked, others)
                planned += plan_undeclared(unlocked, previous, Demand(), counted)
        return [item.table for item in planned]


def check_contract(snapshot: SourceSnapshot) -> list[Deviation]:
    """Check that the source keeps the contract.

    Returns:
        Differences from the declaration that do not break the contract.

    Raises:
        SourceSchemaError: the source's tables break the contract.
    """
    deviations = deviations_of(snapshot.catalogue)
    refuse_broken(deviations)
    return deviations


def check_not_behind(previous: Manifest | None, snapshot: Snapshot) -> None:
    """Refuse a snapshot of a standby that is older than the newest batch.

    Raises:
        SourceBehindError: the snapshot may not show everything that the newest batch contains.
    """
    if previous and snapshot.is_behind(previous.snapshot):
        raise SourceBehindError(
            f"The source is a standby that has not yet replayed everything that batch {previous.batch} contains. A "
            "later refresh succeeds once it has."
        )
