"""Taking changes from the log: batches that each show one state of the source, up to a position in the log."""

import logging
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime

from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.ingest.wal.continuity import breaks_after, shown_by, usable_slot
from totes_dagster.ingest.wal.record import LogRecorder
from totes_dagster.ingest.wal.slot import LogUnusableError, messages, slot_of
from totes_dagster.ingest.wal.start import confirm_taken
from totes_dagster.ingest.wal.transactions import LoggedTable, SeenBefore, batches, full_xid, transactions
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import LogPosition, Manifest, TableEntry
from totes_dagster.lake.source_catalogue import register
from totes_dagster.lake.zone import Zone
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

MOVE_AFTER_BYTES = 2**28
"""After so much of the log in which no published table changed, a batch without rows moves the position."""

MOST_BATCHES = 100
"""How many batches are taken in one snapshot, which holds locks and keeps the source from removing dead rows."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What was taken from the log.

    Attributes:
        previous: the newest batch before; None if there was none.
        batches: the manifests that were committed after that, oldest first.
        unusable: why the log was of no use from there on; empty if it was taken to its end.
        has_more: whether to go on from the newest batch: another ingest committed first, or there are many batches.
    """

    previous: Manifest | None
    batches: tuple[Manifest, ...] = ()
    unusable: str = ""
    has_more: bool = False

    @property
    def newest(self) -> Manifest | None:
        """The newest batch after it; None if there is none."""
        return self.batches[-1] if self.batches else self.previous


def take_log(snapshot: SourceSnapshot, zone: Zone, progress: Progress = silent) -> Taken:
    """Commit the transactions that were committed since the newest batch, as one batch or as several.

    Args:
        snapshot: the source. Its transactions up to now are taken, and some that it does not show yet.
        zone: the ingestion zone.
        progress: notified of rows as they are written.

    Raises:
        DatabaseBusyError: another session keeps reading the log.
        DatabaseUnavailableError: the connection was lost.
        LakeError: the lake cannot be reached, or refuses.
    """
    previous, obstacle = _continued(snapshot, BatchLog(zone))
    if previous is None or obstacle:
        return Taken(previous, unusable=obstacle)
    return _taken(_Taking(snapshot, zone, previous, progress), MOST_BATCHES)


def take_before_census(
    snapshot: SourceSnapshot, zone: Zone, previous: Manifest | None, progress: Progress = silent
) -> Taken:
    """Commit the transactions that a snapshot shows, in which a census follows, so that all their versions are kept.

    Args:
        snapshot: the source.
        zone: the ingestion zone.
        previous: the newest batch, read before the snapshot was taken.
        progress: notified of rows as they are written.

    Raises:
        DatabaseBusyError, DatabaseUnavailableError, LakeError: see `take_log`.
    """
    if previous is None or previous.log is None:
        return Taken(previous)
    try:
        obstacle = next(breaks_after(previous, usable_slot(snapshot, slot_of(zone)), snapshot), "")
    except LogUnusableError as error:
        obstacle = str(error)
    if obstacle:
        return Taken(previous, unusable=obstacle)
    return _taken(_Taking(snapshot, zone, previous, progress, only_shown=True))


def logged_changes(snapshot: SourceSnapshot, zone: Zone) -> set[str]:
    """The tables that transactions in the log have changed since the newest batch.

    Raises:
        LogUnusableError: the log cannot be used.
        DatabaseBusyError, DatabaseUnavailableError: see `take_log`.
    """
    previous, obstacle = _continued(snapshot, BatchLog(zone))
    if previous is None or obstacle:
        raise LogUnusableError(obstacle)
    position = _position(previous)
    seen, tables = SeenBefore.parse(position.position, position.seen), _logged_tables(snapshot)
    with closing(messages(snapshot.connection, position.slot, _end_of_log(snapshot))) as read:
        return {name for changes in transactions(read, tables, seen) for name in changes.versions}


def _continued(snapshot: SourceSnapshot, log: BatchLog) -> tuple[Manifest | None, str]:
    """The newest batch, and why the log does not have all that has happened since, if it does not."""
    try:
        # Before the newest manifest is read: the slot is moved after a batch is committed, and never past it.
        slot = usable_slot(snapshot, slot_of(log.zone))
    except LogUnusableError as error:
        return log.newest(), str(error)
    newest = log.newest()
    if newest is None:
        return None, "This is the first batch."
    return newest, next(breaks_after(newest, slot, snapshot), "")


def _position(manifest: Manifest) -> LogPosition:
    assert manifest.log is not None  # noqa: S101 - `breaks_after` has made sure  # nosec B101
    return manifest.log


def _end_of_log(snapshot: SourceSnapshot) -> int:
    ((end,),) = snapshot.connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchall()
    return int(end)


def _logged_tables(snapshot: SourceSnapshot) -> dict[int, LoggedTable]:
    """The declared tables by OID."""
    rows = snapshot.connection.execute(
        "select c.oid::bigint, nspname, relname from pg_class as c join pg_namespace as n on n.oid = relnamespace "
        "where relname = any (%s) and relkind = 'r'",
        [list(SOURCE_TABLES)],
    ).fetchall()
    tables = snapshot.catalogue.tables
    logged = {}
    for oid, namespace, name in rows:
        if name in tables and tables[name].namespace == namespace:
            columns = tuple(column.name for column in tables[name].columns)
            logged[oid] = LoggedTable(name, columns, columns.index(key_of(SOURCE_TABLES[name])))
    return logged


def _taken(taking: "_Taking", most: int | None = None) -> Taken:
    """Commit the batches of the log, at most so many."""
    previous, log = taking.previous, BatchLog(taking.zone)
    committed: list[Manifest] = []
    unusable, has_more = "", False
    try:
        with closing(taking.manifests()) as manifests:
            for manifest in manifests:
                if not log.commit(manifest):
                    has_more = True
                    break
                logger.info(
                    "Committed batch %d from the log, up to %s: %d rows.",
                    manifest.batch,
                    manifest.snapshot.taken_at,
                    manifest.rows,
                )
                committed.append(manifest)
                if len(committed) == most:
                    has_more = True
                    break
    except LogUnusableError as error:
        unusable = str(error)
    taken = Taken(previous, tuple(committed), unusable, has_more)
    confirm_taken(taking.snapshot.connection, taken.newest)
    return taken


class _Taking:
    """Taking the log from where the previous batch ended.

    Args:
        snapshot: the source.
        zone: the ingestion zone.
        previous: the previous batch.
        progress: notified of rows as they are written.
        only_shown: whether to end before the first transaction that the snapshot does not show.
    """

    def __init__(
        self, snapshot: SourceSnapshot, zone: Zone, previous: Manifest, progress: Progress, *, only_shown: bool = False
    ) -> None:
        self.snapshot = snapshot
        self.zone = zone
        self.previous = previous
        self._progress = progress
        self._only_shown = only_shown
        self._shown = shown_by(snapshot)

    def manifests(self) -> Generator[Manifest]:
        """The batches, each to be committed before the next is taken."""
        from totes_dagster.ingest.reader import open_reader  # noqa: PLC0415 - brings what few commands need

        snapshot, newest = self.snapshot, self.previous
        position, end = _position(newest), _end_of_log(snapshot)
        seen, tables = SeenBefore.parse(position.position, position.seen), _logged_tables(snapshot)
        with closing(messages(snapshot.connection, position.slot, end)) as read, ExitStack() as stack:
            recorder = None
            found = transactions(read, tables, seen, self._shown if self._only_shown else None)
            for changes in batches(changes for changes in found if changes.versions):
                if recorder is None:
                    reader = stack.enter_context(open_reader(snapshot))
                    stack.enter_context(reader.transaction([]))
                    recorder = LogRecorder(reader, snapshot.catalogue, self.zone, self._progress)
                entries = recorder.entries(newest.batch + 1, changes.versions, newest.tables)
                newest = self._manifest(newest, changes.position, changes.committed_at, changes.xids, entries)
                yield newest
        if not self._only_shown and end - _position(newest).position > MOVE_AFTER_BYTES:
            yield self._manifest(newest, end, snapshot.taken.taken_at, [], {})

    def _manifest(
        self, previous: Manifest, position: int, as_of: datetime, xids: list[int], entries: dict[str, TableEntry]
    ) -> Manifest:
        taken, log = self.snapshot.taken, _position(previous)
        full = [full_xid(xid, self._shown.xmax) for xid in xids]
        unseen = [xid for xid in (*log.unseen, *full) if not self._shown.shows(xid % 2**32)]
        return Manifest(
            batch=previous.batch + 1,
            contract=register(self.zone, self.snapshot.catalogue),
            snapshot=taken.model_copy(update={"taken_at": max(as_of, previous.snapshot.taken_at)}),
            tables=dict(previous.tables) | entries,
            counted=previous.census_snapshot,
            log=log.model_copy(update={"position": position, "unseen": tuple(unseen)}),
        )
