"""The replication slot: finding, creating and dropping it, reading changes from it, and confirming them."""

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.errors import ObjectInUse

from totes_dagster.errors import DatabaseBusyError, DatabaseError, DatabaseUnavailableError
from totes_dagster.ingest.wal.pgoutput import PROTOCOL_VERSION, Message, message_of
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.totesys import PUBLICATION

_CREATE_TIMEOUT = "30s"
"""How long to wait for transactions that were already running, before which a new slot cannot begin."""

_INVALIDATION_SINCE = 170000
"""The version that says why a slot was invalidated."""

_SLOT_PATIENCE = 10.0
_SLOT_POLL_SECONDS = 0.02

_ROWS_AT_ONCE = 1_000

T = TypeVar("T")

logger = logging.getLogger(__name__)


class LogUnusableError(Exception):
    """The log cannot be used, or not this time; the message says why, as a sentence."""


def slot_of(zone: Zone) -> str:
    """Name of the slot of the platform with this ingestion zone: each has its own."""
    return f"totes_{hashlib.sha256(zone.url.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Slot:
    """A replication slot.

    Attributes:
        name: its name.
        position: up to where its changes were confirmed.
        behind_bytes: how much of the log was written since.
        held_bytes: how much of the log it makes the source keep.
        obstacle: why it cannot be read; empty if it can.
        is_lost: whether the reason is that the source has discarded what it should have kept.
    """

    name: str
    position: int
    behind_bytes: int
    held_bytes: int
    obstacle: str
    is_lost: bool


def find_slot(connection: psycopg.Connection[Any], name: str) -> Slot | None:
    """The slot of this name; None if there is none."""
    version = connection.info.server_version
    lost = sql.SQL("coalesce(wal_status = 'lost', false)")
    if version >= _INVALIDATION_SINCE:
        lost = sql.SQL("({} or invalidation_reason is not null)").format(lost)  # type: ignore[assignment]
    rows = connection.execute(
        sql.SQL(
            """
            select coalesce((confirmed_flush_lsn - '0/0')::bigint, 0),
                   coalesce((written - confirmed_flush_lsn)::bigint, 0), coalesce((written - restart_lsn)::bigint, 0),
                   plugin is distinct from 'pgoutput' as is_other, database is distinct from current_database(), {}
            from pg_replication_slots cross join (
                select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end
                       as written) as log
            where slot_name = {}
            """
        ).format(lost, sql.Literal(name))
    ).fetchall()
    if not rows:
        return None
    ((position, behind, held, is_other, is_elsewhere, is_lost),) = rows
    obstacle = ""
    if is_other:
        obstacle = f"The replication slot {name} has another plugin than pgoutput."
    elif is_elsewhere:
        obstacle = f"The replication slot {name} belongs to another database of the server."
    elif is_lost:
        obstacle = f"The replication slot {name} has lost the log that it should have kept."
    return Slot(name, position, behind, held, obstacle, is_lost)


def create_slot(connection: psycopg.Connection[Any], name: str) -> None:
    """Create the slot. It begins once all transactions that are running now have ended.

    Args:
        connection: in a transaction of its own.
        name: its name.

    Raises:
        LogUnusableError: the server or the role does not allow it, or older transactions did not end in time.
    """
    connection.execute(sql.SQL("set local statement_timeout to {}").format(sql.Literal(_CREATE_TIMEOUT)))
    create = sql.SQL("select from pg_create_logical_replication_slot({}, 'pgoutput')").format(sql.Literal(name))
    try:
        connection.execute(create)
    except DatabaseError as error:
        if isinstance(error, DatabaseUnavailableError):
            raise
        raise LogUnusableError(f"The replication slot {name} cannot be created: {error}") from error


def drop_slot(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop the slot.

    Raises:
        LogUnusableError: another session is reading it, or the role may not.
    """
    with _usable_or_not(f"The replication slot {name} cannot be dropped"):
        connection.execute(sql.SQL("select pg_drop_replication_slot({})").format(sql.Literal(name)))


def messages(connection: psycopg.Connection[Any], name: str, until: int) -> Generator[Message]:
    """Read the changes of the published tables, in the order of their commits, without confirming them.

    Args:
        connection: in a transaction.
        name: the slot's name.
        until: the position to read to; a transaction that is committed there is read whole.

    Raises:
        LogUnusableError: the log cannot be read.
        DatabaseBusyError: another session keeps reading it.
        DatabaseUnavailableError: the connection was lost.
    """
    # The server collects the whole result first, on disk where it is large.
    statement = sql.SQL(
        "declare changes no scroll cursor for "
        "select data from pg_logical_slot_peek_binary_changes({}, {}, null, "
        "'proto_version', {}, 'publication_names', {})"
    ).format(
        sql.Literal(name),
        sql.Literal(_written(until)),
        sql.Literal(str(PROTOCOL_VERSION)),
        sql.Literal(f'"{PUBLICATION}"'),
    )
    fetch = sql.SQL("fetch forward {} from changes").format(sql.Literal(_ROWS_AT_ONCE))

    def begin() -> list[tuple[bytes]]:
        connection.execute(statement)
        return connection.execute(fetch, binary=True).fetchall()

    with _usable_or_not("The log cannot be read"), connection.transaction():
        rows = _with_slot(connection, begin)
        while rows:
            for (data,) in rows:
                message = message_of(data)
                if message is not None:
                    yield message
            rows = connection.execute(fetch, binary=True).fetchall()
        connection.execute("close changes")


def is_about_server(error: DatabaseError) -> bool:
    """Whether an error only says that the server cannot work now, such as that its disk is full.

    Then the log is as good as before, and a later refresh takes from it the versions that counting would not find.
    """
    insufficient_resources, system_error = "53", "58"  # classes of SQLSTATEs
    return error.transient or str(error.facts.get("sqlstate"))[:2] in {insufficient_resources, system_error}


@contextmanager
def _usable_or_not(what: str) -> Iterator[None]:
    """Turn errors that last, and are about the log, into `LogUnusableError`."""
    try:
        yield
    except DatabaseError as error:
        if is_about_server(error):
            raise
        raise LogUnusableError(f"{what}: {error}") from error
    except ValueError as error:  # bytes that are no message of this protocol
        raise LogUnusableError(f"{what}: {type(error).__name__}.") from error


def _with_slot(connection: psycopg.Connection[Any], use: Callable[[], T]) -> T:
    """Use the slot, once no other session does.

    Raises:
        DatabaseBusyError: another one still does.
    """
    end = time.monotonic() + _SLOT_PATIENCE
    while True:
        try:
            with connection.transaction():
                return use()
        except DatabaseError as error:
            if error.facts["sqlstate"] != ObjectInUse.sqlstate:
                raise
            if time.monotonic() > end:
                raise DatabaseBusyError(
                    f"Another session has been reading the replication slot for {_SLOT_PATIENCE:g} s. Try again later.",
                    sqlstate=ObjectInUse.sqlstate,
                ) from error
        time.sleep(_SLOT_POLL_SECONDS)  # the server cannot wait for a slot


def _written(position: int) -> str:
    """A position in the log as PostgreSQL writes it, whose version 13 cannot compute with positions."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def advance(connection: psycopg.Connection[Any], name: str, position: int) -> None:
    """Confirm the changes before a position, which are in committed batches, so that the source need not keep them.

    The position in the newest manifest is what counts; a failure here only makes the source keep more of its log.
    """
    statement = sql.SQL("select from pg_replication_slot_advance({}, {})").format(
        sql.Literal(name), sql.Literal(_written(position))
    )
    try:
        with connection.transaction():
            connection.execute(statement)
    except DatabaseError as error:
        logger.warning("The replication slot %s could not be advanced: %s", name, error)
