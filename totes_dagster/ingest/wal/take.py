"""Taking changes from the log: batches that each show one state of the source, up to a position in the log."""

import logging
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from psycopg import sql

from totes_dagster.errors import DatabaseError
from totes_dagster.ingest.contract import Deviation, has_unique_keys, kept_log
from totes_dagster.ingest.parts import write_part, write_parts
from totes_dagster.ingest.snapshot import SourceSnapshot, tables_read
from totes_dagster.ingest.wal.slot import (
    LogUnusableError,
    Slot,
    advance,
    create_slot,
    definitions_statement,
    drop_slot,
    find_slot,
    messages,
    slot_of,
    unpublished,
)
from totes_dagster.ingest.wal.transactions import (
    Changes,
    LoggedTable,
    SeenBefore,
    Version,
    batches,
    full_xid,
    transactions,
)
from totes_dagster.lake import ingested
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.key_ranges import range_of
from totes_dagster.lake.manifest import LogPosition, Manifest, TableEntry
from totes_dagster.lake.source_catalogue import register
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.database import Database
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of, key_of

if TYPE_CHECKING:
    from totes_dagster.ingest.reader import SnapshotReader

MOST_HELD = 2**28
"""After so many bytes of the log in which no published table changed, a batch without rows moves the position."""

MOST_TRANSACTIONS = 2**30
"""After so many transactions the tables are counted: ids of 32 bits are told apart within twice that distance."""

MOST_BATCHES = 100
"""How many batches are taken in one snapshot, which holds locks and keeps the source from removing dead rows."""

MUCH_HELD = 2**30
"""If the source keeps more bytes of its log than that for the slot, somebody should know."""

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


@dataclass(frozen=True)
class Mark:
    """A place in the log before which no transaction is committed any more.

    Attributes:
        position: the place.
        next_xid: no transaction that was committed before it has this 64-bit id, or a higher one.
    """

    position: int
    next_xid: int


def prepare_slot(source: Database, name: str) -> Mark:
    """Make sure that the slot of this name exists, and can be read; one that has lost what it should keep is replaced.

    Changes before the new slot are found by the census.

    Returns:
        The present end of the log.

    Raises:
        LogUnusableError: the server or the role does not allow it.
        DatabaseError: the source cannot be reached, or closes the connection.
    """
    with source.transaction(read_only=True) as connection:
        ((level, in_recovery),) = connection.execute(
            "select current_setting('wal_level'), pg_is_in_recovery()"
        ).fetchall()
        if in_recovery:
            raise LogUnusableError("The source is a standby, whose log is not read.")
        if level != "logical":
            raise LogUnusableError(f"The source's wal_level is {level}. Its owner can set it to logical.")
        slot = find_slot(connection, name)
        if slot and slot.is_lost:
            logger.warning("%s It is replaced.", slot.obstacle)
            drop_slot(connection, name)
            slot = None
        if slot is None:
            create_slot(connection, name)
        elif slot.obstacle:
            raise LogUnusableError(slot.obstacle)
        ((position,),) = connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchall()
        # In a later snapshot: a transaction committed until then has got its id before.
        ((xmax, running),) = connection.execute(
            """
            select pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                   array(select transactionid::text::bigint from pg_locks where locktype = 'transactionid' and granted)
            """
        ).fetchall()
        # The highest id of the snapshot is that of the newest transaction that has ended, and not of one that runs.
        return Mark(position, max([xmax, *(full_xid(xid, xmax) + 1 for xid in running)]))


@dataclass(frozen=True)
class LogStart:
    """From where on the log is to be read after a census.

    Attributes:
        slot: name of the slot.
        mark: the end of the log at some time before the census. A batch says so then even if nothing changed. Without
            it, the log is read from where the slot is.
    """

    slot: str
    mark: Mark | None = None


def discard_slot(source: Database, name: str) -> None:
    """Drop the slot of this name, if there is one: else the source would keep its log for it for ever.

    Raises:
        DatabaseError: the source cannot be reached, or closes the connection.
    """
    with source.transaction(read_only=True) as connection:
        if find_slot(connection, name):
            try:
                drop_slot(connection, name)
            except LogUnusableError as error:
                logger.warning("%s Ask the source's owner to drop it: the source keeps its log for it.", error)
            else:
                logger.info("Dropped the replication slot %s.", name)


def position_of(snapshot: SourceSnapshot, start: LogStart) -> LogPosition:
    """From where on the log tells what a census in this snapshot does not show.

    Nothing needs to be read before the mark if all transactions that were running then have ended.

    Raises:
        LogUnusableError: the slot or the publication cannot be used.
    """
    slot, mark = usable_slot(snapshot, start.slot), start.mark
    ((seen,),) = snapshot.connection.execute("select pg_current_snapshot()::text").fetchall()
    is_settled = mark is not None and SeenBefore.parse(0, seen).xmin >= mark.next_xid
    position = max(slot.position, mark.position) if mark and is_settled else slot.position
    return LogPosition(slot=slot.name, position=position, seen=seen, definitions=_definitions(snapshot))


def kept_for(snapshot: SourceSnapshot, slot: str) -> list[Deviation]:
    """That the source keeps much of its log for this slot, if it does."""
    found = find_slot(snapshot.connection, slot)
    return [kept_log(slot, found.held_bytes)] if found and found.held_bytes > MUCH_HELD else []


def shows_all(snapshot: SourceSnapshot, previous: Manifest | None) -> bool:
    """Whether a snapshot shows all that earlier batches have taken from the log.

    A transaction is in the log before others can see it: a little, or as long as it waits for a synchronous standby.
    """
    if previous is None or previous.log is None or not previous.log.unseen:
        return True
    shown = _shown_by(snapshot)
    return all(shown.shows(xid % 2**32) for xid in previous.log.unseen)


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
    log = BatchLog(zone)
    previous, obstacle = _continued(snapshot, log)
    if previous is None or obstacle:
        return Taken(previous, unusable=obstacle)
    committed: list[Manifest] = []
    unusable, has_more = "", False
    try:
        with closing(_Taking(snapshot, zone, previous, progress).manifests()) as manifests:
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
                if len(committed) == MOST_BATCHES:
                    has_more = True
                    break
    except LogUnusableError as error:
        unusable = str(error)
    confirm_taken(snapshot.connection, committed[-1] if committed else previous)
    return Taken(previous, tuple(committed), unusable, has_more)


def logged_changes(snapshot: SourceSnapshot, zone: Zone) -> set[str]:
    """The tables that transactions in the log have changed since the newest batch.

    Raises:
        LogUnusableError: the log cannot be used.
    """
    previous, obstacle = _continued(snapshot, BatchLog(zone))
    if previous is None or obstacle:
        raise LogUnusableError(obstacle)
    position = _position(previous)
    seen, tables = SeenBefore.parse(position.position, position.seen), _logged_tables(snapshot)
    with closing(messages(snapshot.connection, position.slot, _end_of_log(snapshot))) as read:
        return {name for changes in transactions(read, tables, seen) for name in changes.versions}


def confirm_taken(connection: psycopg.Connection[Any], newest: Manifest | None) -> None:
    """Let the source discard the part of its log that is in committed batches.

    Args:
        connection: in a transaction.
        newest: the newest batch.
    """
    log = newest.log if newest else None
    slot = find_slot(connection, log.slot) if log else None
    if log and slot and slot.position < log.position:
        advance(connection, slot.name, log.position)


def _continued(snapshot: SourceSnapshot, log: BatchLog) -> tuple[Manifest | None, str]:
    """The newest batch, and why the log does not tell all that has happened since, if it does not."""
    slot = slot_of(log.zone)
    try:
        # Before the newest manifest is read: the slot is moved after a batch is committed, and never past it.
        at = usable_slot(snapshot, slot)
    except LogUnusableError as error:
        return log.newest(), str(error)
    newest = log.newest()
    if newest is None:
        return None, "This is the first batch."
    return newest, next(_breaks_after(newest, at, snapshot), "")


def _breaks_after(newest: Manifest, slot: Slot, snapshot: SourceSnapshot) -> Iterator[str]:
    """Why the log does not tell all that has happened since the newest batch."""
    position, before, now = newest.log, newest.snapshot, snapshot.taken
    if position is None:
        yield f"Batch {newest.batch} does not say where the log continues."
        return
    if not now.same_history(before) or now.server_started_at != before.server_started_at:
        yield f"The source's server was restarted, promoted or replaced since batch {newest.batch}."
    if now.xmax - SeenBefore.parse(0, position.seen).xmax >= MOST_TRANSACTIONS:
        yield "So many transactions have passed since the tables were counted that their ids will be used again."
    if position.slot != slot.name:
        yield f"Batch {newest.batch} was taken for an ingestion zone of another name."
    if slot.position > position.position:
        yield f"The replication slot {slot.name} is past batch {newest.batch}: something has moved it."
    if _definitions(snapshot) != position.definitions:
        yield f"The definition of a table or of the publication was changed since batch {newest.batch}."
    for name in SOURCE_TABLES:
        entry = newest.tables.get(name)
        if name not in snapshot.catalogue.tables:
            yield f"There is no table {name}."
        elif entry is None or not entry.census.keyed or entry.census.columns != snapshot.catalogue.tables[name].digest:
            yield f"{name} is not as it was in batch {newest.batch}."


def usable_slot(snapshot: SourceSnapshot, name: str) -> Slot:
    """The slot of this name, if it and the publication can be used.

    Raises:
        LogUnusableError: they cannot, or one of them is missing.
    """
    slot = find_slot(snapshot.connection, name)
    if slot is None or slot.obstacle:
        raise LogUnusableError(slot.obstacle if slot else f"There is no replication slot {name}.")
    check_tables(snapshot)
    return slot


def check_tables(snapshot: SourceSnapshot, newest: Manifest | None = None) -> None:
    """Check that the log tells every change of the declared tables.

    Args:
        snapshot: the source.
        newest: the newest batch, whose censuses are to be checked as well.

    Raises:
        LogUnusableError: it does not.
    """
    for name, entry in (newest.tables if newest else {}).items():
        if not entry.census.keyed:
            raise LogUnusableError(f"{name} has keys that the warehouse cannot store.")
    tables = tables_read(snapshot.catalogue)
    for table in tables:
        if not has_unique_keys(snapshot.catalogue, table):
            raise LogUnusableError(f"{table} has no unique keys.")
        if snapshot.catalogue.tables[table].column(ingested.UNFIT_VALUES):
            raise LogUnusableError(f"{table} has a column {ingested.UNFIT_VALUES}.")
    if reason := unpublished(snapshot.connection, snapshot.catalogue, tables):
        raise LogUnusableError(reason)


def _position(manifest: Manifest) -> LogPosition:
    assert manifest.log is not None  # noqa: S101 - `_continued` has made sure  # nosec B101
    return manifest.log


def _definitions(snapshot: SourceSnapshot) -> str:
    statement: sql.Composed = definitions_statement(snapshot.catalogue, tables_read(snapshot.catalogue))
    ((digest,),) = snapshot.connection.execute(statement).fetchall()
    return str(digest)


def _end_of_log(snapshot: SourceSnapshot) -> int:
    ((end,),) = snapshot.connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchall()
    return int(end)


def _shown_by(snapshot: SourceSnapshot) -> SeenBefore:
    ((shown,),) = snapshot.connection.execute("select pg_current_snapshot()::text").fetchall()
    return SeenBefore.parse(0, shown)


def _logged_tables(snapshot: SourceSnapshot) -> dict[int, LoggedTable]:
    """The declared tables by OID."""
    rows = snapshot.connection.execute(
        "select c.oid::bigint, nspname, relname from pg_class as c join pg_namespace as n on n.oid = relnamespace "
        "where relname = any (%s) and relkind in ('r', 'p')",
        [list(SOURCE_TABLES)],
    ).fetchall()
    tables = snapshot.catalogue.tables
    logged = {}
    for oid, namespace, name in rows:
        if name in tables and tables[name].namespace == namespace:
            columns = tuple(column.name for column in tables[name].columns)
            logged[oid] = LoggedTable(name, columns, columns.index(key_of(SOURCE_TABLES[name])))
    return logged


class _Taking:
    """Taking the log from where the previous batch ended."""

    def __init__(self, snapshot: SourceSnapshot, zone: Zone, previous: Manifest, progress: Progress) -> None:
        self._snapshot = snapshot
        self._zone = zone
        self._previous = previous
        self._progress = progress
        self._attempt = uuid.uuid4().hex[:12]
        self._shown = _shown_by(snapshot)

    def manifests(self) -> Generator[Manifest]:
        """The batches, each to be committed before the next is taken."""
        from totes_dagster.ingest.reader import open_reader  # noqa: PLC0415 - brings what few commands need

        position, end = _position(self._previous), _end_of_log(self._snapshot)
        seen, tables = SeenBefore.parse(position.position, position.seen), _logged_tables(self._snapshot)
        with closing(messages(self._snapshot.connection, position.slot, end)) as read, ExitStack() as stack:
            reader = None
            for changes in batches(changes for changes in transactions(read, tables, seen) if changes.versions):
                if reader is None:
                    reader = stack.enter_context(open_reader(self._snapshot))
                    stack.enter_context(reader.transaction([]))
                entries = self._entries(reader, changes)
                self._previous = self._manifest(changes.position, changes.committed_at, changes.xids, entries)
                yield self._previous
        if end - _position(self._previous).position > MOST_HELD:
            self._previous = self._manifest(end, self._snapshot.taken.taken_at, [], {})
            yield self._previous

    def _manifest(self, position: int, as_of: datetime, xids: list[int], entries: dict[str, TableEntry]) -> Manifest:
        previous, log = self._previous, _position(self._previous)
        taken = [full_xid(xid, self._shown.xmax) for xid in xids]
        unseen = [xid for xid in (*log.unseen, *taken) if not self._shown.shows(xid % 2**32)]
        # A standby that is behind the transactions of the batch must not follow it.
        shown = {
            "taken_at": max(as_of, previous.snapshot.taken_at),
            "wal_position": max(position, self._snapshot.taken.wal_position or 0),
        }
        return Manifest(
            batch=previous.batch + 1,
            contract=register(self._zone, self._snapshot.catalogue),
            snapshot=self._snapshot.taken.model_copy(update=shown),
            tables=dict(previous.tables) | entries,
            counted=previous.census_snapshot,
            log=log.model_copy(update={"position": position, "unseen": tuple(unseen)}),
        )

    def _entries(self, reader: "SnapshotReader", changes: Changes) -> dict[str, TableEntry]:
        try:
            return {name: self._entry(reader, name, rows) for name, rows in changes.versions.items() if rows}
        except DatabaseError as error:
            if error.transient:
                raise
            raise LogUnusableError(f"Rows of the log cannot be converted: {error}") from error

    def _entry(self, reader: "SnapshotReader", name: str, versions: dict[int, Version]) -> TableEntry:
        batch, table = self._previous.batch + 1, self._snapshot.catalogue.tables[name]
        before = self._previous.tables[name]
        rows = reader.logged_rows(
            name, table, [version.row for version in versions.values() if version.row is not None]
        )
        content = capture_of(SOURCE_TABLES[name])
        if content is Capture.WHOLE:
            rows = self._whole(name, before, list(versions), rows)
        parts = write_parts(self._zone, ingested.folder_of(name, batch), self._attempt, rows)
        logged = pa.table(
            [
                pa.array(versions, pa.int32()),
                pa.array([version.row is None for version in versions.values()]),
                pa.array([version.committed_at for version in versions.values()], pa.timestamp("us", "UTC")),
            ],
            ingested.LOGGED_SCHEMA,
        )
        self._progress("ingest", name, len(versions))
        return TableEntry(
            batch=batch,
            content=content,
            census=before.census,
            parts=parts,
            key_ranges=before.key_ranges,
            added_keys=before.added_keys,
            logged_ranges=tuple(sorted({*before.logged_ranges, *map(range_of, versions)})),
            logged=(write_part(self._zone, ingested.logged_folder_of(name, batch), self._attempt, logged),),
        )

    def _whole(
        self, name: str, before: TableEntry, changed: list[int], rows: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """All rows of a table: those that it had, and that were not changed, and the new versions."""
        import pyarrow.compute as pc  # noqa: PLC0415 - as above

        key, keys = key_of(SOURCE_TABLES[name]), pa.array(changed, pa.int32())
        fresh = list(rows)
        for part in before.parts:
            table = ingested.with_unfit_values(self._zone.read_part(part.path))
            kept = table.filter(pc.invert(pc.is_in(table.column(key), keys)))
            if fresh and not kept.schema.equals(fresh[0].schema):
                raise LogUnusableError(f"{name} was captured with other types before.")
            yield from kept.combine_chunks().to_batches()
        yield from fresh
