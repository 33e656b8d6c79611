"""Running the first stage: what changed in totesys since the previous batch becomes the next batch."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from psycopg import sql

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.errors import BatchConflictError, SourceBehindError
from totes_dagster.ingest.capture import Demand
from totes_dagster.ingest.contract import Deviation, deviations_of, not_captured, refuse_broken, undeclared
from totes_dagster.ingest.plan import plan_declared, plan_undeclared, planned_keys
from totes_dagster.ingest.recorder import Recorder
from totes_dagster.ingest.snapshot import SourceSnapshot, open_snapshot, without_locks
from totes_dagster.ingest.undeclared import count_undeclared
from totes_dagster.ingest.wal.continuity import shows_all
from totes_dagster.ingest.wal.slot import LogUnusableError, find_slot, slot_of
from totes_dagster.ingest.wal.start import (
    LogStart,
    discard_slot,
    kept_log_bytes,
    log_position,
    log_start,
    much_kept,
    settle_slot,
)
from totes_dagster.ingest.wal.take import MOVE_AFTER_BYTES, Taken, logged_changes, take_before_census, take_log
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, TableEntry
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
        batches: the manifests that it committed, oldest first: none if nothing had changed, and several only if changes
            were taken from the source's log.
        deviations: differences between the source and the declaration that do not break the contract.
        kept_log_bytes: how much of its log the source kept for the platform before; None if that does not read the log.
    """

    batches: tuple[Manifest, ...]
    deviations: list[Deviation]
    kept_log_bytes: int | None = None

    @property
    def batch(self) -> Manifest | None:
        """The newest of these manifests; None if there is none."""
        return self.batches[-1] if self.batches else None


def ingest_changes(
    source: Database,
    zone: Zone,
    *,
    recapture: Collection[str] = (),
    from_log: bool = False,
    cluster: Cluster | None = None,
    progress: Progress = silent,
) -> Ingested:
    """Commit everything that changed in the source since the newest batch as the next batch.

    Args:
        source: totesys.
        zone: the ingestion zone.
        recapture: source tables to take whole, changed or not.
        from_log: whether to take changes from the source's write-ahead log, where that is possible. There are as many
            batches then as are needed for every version of a row.
        cluster: whose workers read large tables that are taken whole.
        progress: notified of rows as they are written.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        SourceBehindError: the source is a standby that is behind the newest batch.
        DatabaseError: the source cannot be reached, refuses, or closes the connection.
        LakeError: the lake cannot be reached, or refuses.
        BatchConflictError: other ingests took the next batch number on every attempt.
    """
    earlier: tuple[Manifest, ...] = ()
    reads_log = from_log and not recapture
    attempts = 0
    while attempts < ATTEMPTS:
        attempts += 1
        if reads_log:
            ingested, taken = _ingest_log(source, zone, progress)
            reads_log = not taken.unusable
            if ingested is None:
                earlier += taken.batches
                attempts = 0 if taken.batches else attempts
        if not reads_log:
            start = log_start(source, zone) if from_log else None
            previous = BatchLog(zone).newest()
            with open_snapshot(source, cluster=cluster) as snapshot:
                ingested = ingest_snapshot(snapshot, zone, previous, Demand(recapture), log=start, progress=progress)
            if ingested and from_log:
                settle_slot(source, zone, (ingested.batch or previous) if start else None)
        if ingested is not None:
            return replace(ingested, batches=earlier + ingested.batches)
        # What the other ingest committed must not be captured again: start from its batch, with a new snapshot.
    raise BatchConflictError(
        f"Other ingests committed the next batch first, {ATTEMPTS} times in a row. Nothing is lost; run one ingest at "
        "a time."
    )


def _ingest_log(source: Database, zone: Zone, progress: Progress) -> tuple[Ingested | None, Taken]:
    """Take the source's log as far as it can be used.

    Returns:
        The result, None if there is more to take or a census has to follow; and what was taken of declared tables.
    """
    with open_snapshot(source) as snapshot:
        kept = kept_log_bytes(snapshot.connection, zone)
        deviations = check_contract(snapshot) + much_kept(zone, kept)
        taken = take_log(snapshot, zone, progress)
        newest = taken.newest
        if taken.unusable or newest is None:
            is_known = newest is None or newest.log is None  # and was told when that batch was made
            level = logging.INFO if is_known else logging.WARNING
            logger.log(level, "A census is taken this time. %s", taken.unusable)
            return None, taken
        if taken.has_more:
            return None, taken
        recorder = Recorder(zone, newest.batch + 1, progress)
        captured, deviations = _undeclared(recorder, snapshot, newest, Demand(), deviations)
        if not captured:
            if not taken.batches:
                logger.info("Nothing changed in totesys since batch %d.", newest.batch)
            return Ingested(taken.batches, deviations, kept), taken
        manifest = newest.model_copy(
            update={
                "batch": recorder.batch,
                "contract": register(zone, snapshot.catalogue),
                "tables": dict(newest.tables) | captured,
                "counted": newest.census_snapshot,
            }
        )
        if not BatchLog(zone).commit(manifest):
            return None, taken
        return Ingested((*taken.batches, manifest), deviations, kept), taken


def _undeclared(
    recorder: Recorder,
    snapshot: SourceSnapshot,
    previous: Manifest | None,
    demand: Demand,
    deviations: list[Deviation],
) -> tuple[dict[str, TableEntry], list[Deviation]]:
    """Record what a batch takes from undeclared tables; return that, and the deviations with those that it failed for.

    Ends the snapshot's transaction if there are undeclared tables.
    """
    others = undeclared(snapshot.catalogue)
    if not others:
        return {}, deviations
    with without_locks(snapshot) as unlocked:
        captured, failed = recorder.undeclared(unlocked, others, previous, demand)
    for name, reason in failed.items():
        logger.warning("The undeclared table %s is not captured this time: %s", name, reason)
    return captured, [
        not_captured(item.table, failed[item.table]) if item.table in failed else item for item in deviations
    ]


def ingest_snapshot(
    snapshot: SourceSnapshot,
    zone: Zone,
    previous: Manifest | None,
    demand: Demand | None = None,
    *,
    log: LogStart | None = None,
    progress: Progress = silent,
) -> Ingested | None:
    """Commit what changed between the previous batch and a snapshot.

    Args:
        snapshot: the source. If its catalogue lists undeclared tables, its transaction, and with it its locks, ends
            once the declared tables are captured.
        zone: the ingestion zone.
        previous: the newest batch, read before the snapshot was taken.
        demand: what to take in addition to what changed.
        log: from where on the source's log is to be read after this snapshot; None if it is not to be read.
        progress: notified of rows as they are written.

    Returns:
        The result; None if another ingest committed first.

    Raises:
        SourceSchemaError, SourceBehindError, DatabaseError, LakeError: see `ingest_changes`.
    """
    demand = demand or Demand()
    deviations = check_contract(snapshot)
    position, taken, kept = None, Taken(previous), None
    if log:
        kept = kept_log_bytes(snapshot.connection, zone)
        deviations += much_kept(zone, kept)
        taken = take_before_census(snapshot, zone, previous, progress)
        if taken.has_more:
            return None
        previous = taken.newest
        position = log_position(snapshot, log)
    check_not_behind(previous, snapshot)
    recorder = Recorder(zone, previous.batch + 1 if previous else 1, progress)
    planned = plan_declared(snapshot, previous, demand)
    with planned_keys(planned, snapshot, zone, previous, demand) as keys:
        captured = recorder.declared(snapshot, planned, keys)
    more, deviations = _undeclared(recorder, snapshot, previous, demand, deviations)
    captured |= more
    carried = dict(previous.tables) if previous else {}
    if not all(entry.census.keyed for entry in (carried | captured).values()):
        position = None  # the log would have rows without a key that the warehouse can store
    if previous and previous.log and not log:
        discard_slot(snapshot.source, previous.log.slot)
    if not captured and not (log and log.mark and position):
        logger.info("Nothing changed in totesys since batch %d.", previous.batch if previous else 0)
        return Ingested(taken.batches, deviations, kept)
    contract, batch = register(zone, snapshot.catalogue), recorder.batch
    manifest = Manifest(
        batch=batch, contract=contract, snapshot=snapshot.taken, tables=carried | captured, log=position
    )
    if not BatchLog(zone).commit(manifest):
        logger.info("Another ingest committed batch %d first. Starting over.", batch)
        return None
    rows = ", ".join(f"{entry.rows:,} rows of {name}" for name, entry in captured.items()) or "where the log continues"
    logger.info("Committed batch %d, the source as of %s: %s.", batch, manifest.snapshot.taken_at, rows)
    return Ingested((*taken.batches, manifest), deviations, kept)


def changed_tables(
    source: Database,
    zone: Zone,
    *,
    undeclared_too: bool = False,
    from_log: bool = False,
    limit: str | None = None,
) -> list[str]:
    """The tables that the next batch would contain, found without capturing anything.

    Args:
        source: totesys.
        zone: the ingestion zone.
        undeclared_too: whether to count undeclared tables as well, of which there may be thousands.
        from_log: whether to look into the source's log for changes of declared tables, where that is possible.
        limit: how long a statement may take, in PostgreSQL's notation; None for no limit in practice.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        SourceBehindError: the source is a standby that is behind the newest batch.
        DatabaseBusyError: counting the tables takes longer than the limit (SQLSTATE 57014).
    """
    previous = BatchLog(zone).newest()
    with open_snapshot(source, undeclared=undeclared_too) as snapshot:
        if limit:
            snapshot.connection.execute(sql.SQL("set local statement_timeout = {}").format(sql.Literal(limit)))
        check_contract(snapshot)
        changed = _declared_changes(snapshot, zone, previous, from_log=from_log)
        if others := undeclared(snapshot.catalogue):
            with without_locks(snapshot) as unlocked:
                counted, _ = count_undeclared(unlocked, others)
                changed += [item.table for item in plan_undeclared(unlocked, previous, Demand(), counted)]
        return changed


def log_is_behind(source: Database, zone: Zone) -> bool:
    """Whether the source's log should be confirmed although no declared table changed: others write to it, too."""
    with source.transaction(read_only=True) as connection:
        slot = find_slot(connection, slot_of(zone))
        return slot is not None and slot.behind_bytes > MOVE_AFTER_BYTES


def _declared_changes(snapshot: SourceSnapshot, zone: Zone, previous: Manifest | None, *, from_log: bool) -> list[str]:
    if from_log:
        try:
            return sorted(logged_changes(snapshot, zone))
        except LogUnusableError as error:
            logger.info("A census is taken this time. %s", error)
    check_not_behind(previous, snapshot)
    return [item.table for item in plan_declared(snapshot, previous, Demand())]


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


def check_not_behind(previous: Manifest | None, snapshot: SourceSnapshot) -> None:
    """Refuse a snapshot that is older than the newest batch.

    Raises:
        SourceBehindError: it is that of a standby, and may not show everything that the newest batch contains; or it
            does not show a transaction yet that the log had.
    """
    if previous and snapshot.taken.is_behind(previous.snapshot):
        raise SourceBehindError(
            f"The source is a standby that has not yet replayed everything that batch {previous.batch} contains. A "
            "later refresh succeeds once it has."
        )
    if previous and not shows_all(snapshot, previous):
        raise SourceBehindError(
            f"The source does not show everything yet that batch {previous.batch} contains: a transaction is in its "
            "log, and waits for a synchronous standby. A later refresh succeeds."
        )
