"""Beginning to read the log at a census, and letting the source discard what was read."""

import logging
from dataclasses import dataclass
from typing import Any

import psycopg

from totes_dagster.ingest.contract import Deviation, kept_log
from totes_dagster.ingest.snapshot import SourceSnapshot, open_snapshot
from totes_dagster.ingest.wal.continuity import check_tables, definitions_of, usable_slot
from totes_dagster.ingest.wal.slot import LogUnusableError, advance, create_slot, drop_slot, find_slot, slot_of
from totes_dagster.ingest.wal.transactions import SeenBefore, full_xid
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import LogPosition, Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.database import Database

WARN_AFTER_BYTES = 2**30
"""If the source keeps more of its log than that for the slot, somebody should know."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    """A place in the log before which no transaction is committed any more.

    Attributes:
        position: the place.
        next_xid: no transaction that was committed before it has this 64-bit id, or a higher one.
    """

    position: int
    next_xid: int


def _prepare_slot(source: Database, name: str) -> Mark:
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


def _position_of(snapshot: SourceSnapshot, start: LogStart) -> LogPosition:
    """From where on the log tells what a census in this snapshot does not show.

    Nothing needs to be read before the mark if all transactions that were running then have ended.

    Raises:
        LogUnusableError: the slot or the publication cannot be used.
    """
    slot, mark = usable_slot(snapshot, start.slot), start.mark
    ((seen,),) = snapshot.connection.execute("select pg_current_snapshot()::text").fetchall()
    is_settled = mark is not None and SeenBefore.parse(0, seen).xmin >= mark.next_xid
    position = max(slot.position, mark.position) if mark and is_settled else slot.position
    return LogPosition(slot=slot.name, position=position, seen=seen, definitions=definitions_of(snapshot))


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


def kept_log_bytes(connection: psycopg.Connection[Any], zone: Zone) -> int:
    """How much of its log the source keeps for the platform with this ingestion zone; 0 if it has no slot."""
    found = find_slot(connection, slot_of(zone))
    return found.held_bytes if found else 0


def much_kept(zone: Zone, kept_bytes: int) -> list[Deviation]:
    """That the source keeps much of its log for the platform with this ingestion zone, if so much is much."""
    return [kept_log(slot_of(zone), kept_bytes)] if kept_bytes > WARN_AFTER_BYTES else []


def settle_slot(source: Database, zone: Zone, newest: Manifest | None) -> None:
    """After a census, let the source discard what is in batches, or drop a slot that cannot be used."""
    if newest is None or newest.log is None:
        discard_slot(source, slot_of(zone))
        return
    with source.transaction(read_only=True) as connection:
        confirm_taken(connection, newest)


def log_start(source: Database, zone: Zone) -> LogStart | None:
    """From where on the source's log is to be read after a census; None if it cannot be."""
    newest, slot = BatchLog(zone).newest(), slot_of(zone)
    try:
        with open_snapshot(source, undeclared=False) as snapshot:
            check_tables(snapshot, newest)  # before a slot is created, which may take long
        return LogStart(slot, _prepare_slot(source, slot))
    except LogUnusableError as error:
        logger.warning("The source's log is not read. %s", error)
        return None


def log_position(snapshot: SourceSnapshot, start: LogStart) -> LogPosition | None:
    """Where the log continues after a census in this snapshot; None if it cannot be read."""
    try:
        return _position_of(snapshot, start)
    except LogUnusableError as error:
        logger.warning("The source's log is not read. %s", error)
        return None
