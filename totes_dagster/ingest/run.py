"""The first stage: what changed in totesys since the previous batch becomes the next batch of the ingestion zone."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from totes_dagster.errors import BatchConflictError, SourceBehindError
from totes_dagster.ingest.contract import Deviation, deviations_of, see_that_it_holds, set_aside, undeclared
from totes_dagster.ingest.plan import declared_work
from totes_dagster.ingest.recorder import Recorder
from totes_dagster.ingest.snapshot import Leader, snapshot_of, without_locks
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest, Snapshot, TableEntry
from totes_dagster.lake.source_catalogue import register
from totes_dagster.lake.store import Lake
from totes_dagster.postgres.database import Database
from totes_dagster.runtime.progress import Progress, silent

ATTEMPTS = 5
"""How often to start over when other ingests commit first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ingested:
    """What an ingest did, and what it saw.

    Attributes:
        batch: the manifest that it committed; None when nothing had changed.
        deviations: how the source differs from the declaration without breaking the contract.
    """

    batch: Manifest | None
    deviations: list[Deviation]


def ingest(source: Database, lake: Lake, *, recapture: Collection[str] = (), progress: Progress = silent) -> Ingested:
    """Commit everything that changed in the source since the newest batch as the next batch.

    Args:
        source: totesys.
        lake: the ingestion zone.
        recapture: source tables to take whole, changed or not.
        progress: notified of rows as they are written.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        DatabaseError: the source cannot be reached, refuses, or breaks off.
        LakeError: the lake cannot be reached, or refuses.
        BatchConflictError: other ingests committed every number that this one tried for.
    """
    log = BatchLog(lake)
    for _ in range(ATTEMPTS):
        previous = newest_batch(log)
        with snapshot_of(source) as leader:
            ingested = ingest_snapshot(leader, lake, previous, recapture=recapture, progress=progress)
        if ingested is not None:
            return ingested
        # What the other ingest committed is not to be captured again: look at the source anew.
    raise BatchConflictError(
        f"Other ingests committed the next batch first, {ATTEMPTS} times in a row. Nothing is lost; run one ingest at "
        "a time."
    )


def newest_batch(log: BatchLog) -> Manifest | None:
    """The manifest that the next batch follows; it must be read before the source's snapshot is taken.

    Raises:
        ManifestMissingError: it is missing, though later ones exist.
    """
    head = log.head()
    log.see_that_head_is_last(head)
    return log.manifest(head) if head else None


def ingest_snapshot(
    leader: Leader,
    lake: Lake,
    previous: Manifest | None,
    *,
    recapture: Collection[str] = (),
    repair: Mapping[str, Collection[int]] | None = None,
    progress: Progress = silent,
) -> Ingested | None:
    """Commit what changed between the previous batch and a snapshot; None where another ingest committed first.

    Args:
        leader: the snapshot. Where its catalogue lists undeclared tables, its locks are given up when the declared ones
            are captured, and with them its connection.
        lake: the ingestion zone.
        previous: the newest batch, read before the snapshot was taken.
        recapture: source tables to take whole, changed or not.
        repair: keys of rows to take, changed or not, by table; also tells which keys the table still has.
        progress: notified of rows as they are written.

    Raises:
        SourceSchemaError, DatabaseError, LakeError: see `ingest`.
    """
    deviations = contract_of(leader)
    see_that_it_is_not_behind(previous, leader.snapshot)
    recorder = Recorder(lake, previous.batch + 1 if previous else 1, progress)
    captured = recorder.declared(leader, declared_work(leader, previous, recapture, repair or {}))
    if others := undeclared(leader.catalogue):
        with without_locks(leader) as lasting:
            more, failed = recorder.undeclared(lasting, others, previous, recapture)
        captured |= more
        for name, reason in failed.items():
            logger.warning("The undeclared table %s is set aside this time: %s", name, reason)
        deviations = [
            set_aside(item.table, failed[item.table]) if item.table in failed else item for item in deviations
        ]
    if not captured:
        logger.info("Nothing changed in totesys since batch %d.", previous.batch if previous else 0)
        return Ingested(None, deviations)
    contract, batch = register(lake, leader.catalogue), recorder.batch
    carried = dict(previous.tables) if previous else {}
    manifest = Manifest(batch=batch, contract=contract, snapshot=leader.snapshot, tables=carried | captured)
    if not BatchLog(lake).commit(manifest):
        logger.info("Another ingest committed batch %d first; its work stands, starting over.", batch)
        return None
    logger.info("Committed batch %d, the source as of %s: %s.", batch, manifest.snapshot.taken_at, _told(captured))
    return Ingested(manifest, deviations)


def _told(captured: Mapping[str, TableEntry]) -> str:
    return ", ".join(f"{entry.rows:,} rows of {name}" for name, entry in captured.items())


def changed_tables(source: Database, lake: Lake) -> list[str]:
    """The declared tables that the next batch would hold, found by counting and without capturing anything.

    Raises:
        SourceSchemaError: the source's tables break the contract.
        SourceBehindError: the source is a standby that is behind the newest batch.
    """
    previous = newest_batch(BatchLog(lake))
    with snapshot_of(source, undeclared=False) as leader:
        contract_of(leader)
        see_that_it_is_not_behind(previous, leader.snapshot)
        return [item.table for item in declared_work(leader, previous, (), {})]


def contract_of(leader: Leader) -> list[Deviation]:
    """How the source differs from the declaration without breaking the contract.

    Raises:
        SourceSchemaError: it breaks the contract.
    """
    deviations = deviations_of(leader.catalogue)
    see_that_it_holds(deviations)
    return deviations


def see_that_it_is_not_behind(previous: Manifest | None, snapshot: Snapshot) -> None:
    """Refuse an older state than the newest batch's, as a standby may show it.

    Raises:
        SourceBehindError: that is what the snapshot shows.
    """
    if previous and snapshot.is_behind(previous.snapshot):
        raise SourceBehindError(
            f"The source is a standby that has not replayed yet all that batch {previous.batch} holds. It is refreshed "
            "once it has."
        )
