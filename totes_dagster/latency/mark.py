"""The mark that a measurement puts on one row of the source, and how it is taken off again, whatever happens.

A mark is added to the end of whatever the value is at that moment, and taken off in the same way: what others write
into the row meanwhile stays, and a mark that a killed measurement left behind is replaced by the next one's.

Nothing is left in a session: a pooler may lend the connection to somebody else after each transaction.
"""

import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from totes_dagster.errors import AccessDeniedError, ReadOnlyServerError, TotesError
from totes_dagster.postgres.database import Database
from totes_dagster.postgres.transactions import transaction
from totes_dagster.runtime.retry import retried
from totes_dagster.schema.totesys import key_of, staff

TABLE, KEY, COLUMN = staff.name, key_of(staff), "last_name"
"""What is marked: the simulator adds members of staff, and never changes one."""

_MARK = " [latency {}]"
_ANY_MARK = r" \[latency [0-9a-f]{16}-[0-9]+\]$"
SET_LOCK_TIMEOUT = "set local lock_timeout = '10s'"  # somebody else may be changing the row
_LOOK_WHERE_THE_USER_DOES = "set local search_path to default"
_NO_LIMIT = "0"

# Last, so that no mark is ever on top of another. `last_updated` stays as it is: it is not ours to move, and whoever
# runs the platform need not rely on it.
_CHANGE = sql.SQL("update {table} set {column} = regexp_replace({column}, {any}, '') || {mark} where {key} = {row}")


class MarkError(TotesError):
    """The source cannot be marked, or the mark cannot be taken off."""


class SourceNotWritableError(MarkError):
    """The source may not be changed by the platform's user, as a measurement must."""


class SourceEmptyError(MarkError):
    """The source has no row that could be marked."""


class MeasurementInProgressError(MarkError):
    """Somebody else is measuring on the same source."""


class MarkLeftError(MarkError):
    """The mark could not be taken off."""


class Mark:
    """One row of the source, to be marked again and again.

    Attributes:
        connection: to the source, in autocommit mode.
        row: the row's key.
        is_on: whether there may be a mark on it.
    """

    def __init__(self, connection: psycopg.Connection, row: int) -> None:
        self.connection = connection
        self.row = row
        self.is_on = False
        self._series = secrets.token_hex(8)

    def put(self, number: int) -> str:
        """Commit a mark that no row ever had, instead of the one before; return it.

        Raises:
            SourceNotWritableError: the source lets this user change nothing.
            SourceEmptyError: the row is gone.
        """
        mark = _MARK.format(f"{self._series}-{number}")
        was_on, self.is_on = self.is_on, True
        try:
            changed = _change(self.connection, self.row, mark)
        except (AccessDeniedError, ReadOnlyServerError) as error:
            self.is_on = was_on
            raise SourceNotWritableError(
                f"A measurement marks a row of totesys, and may not. {error} For as long as it lasts, its user must be "
                f"able to update {TABLE}."
            ) from error
        if not changed:
            raise SourceEmptyError(f"The row {KEY} {self.row} of totesys' {TABLE} was deleted meanwhile. Measure anew.")
        return mark


@contextmanager
def marking(source: Database) -> Iterator[Mark]:
    """A row of the source to mark; whatever mark is on it at the end of the block is taken off.

    Raises:
        MeasurementInProgressError: somebody else is measuring, and would take off our marks.
        SourceEmptyError: there is no row.
        MarkLeftError: the mark could not be taken off.
        DatabaseError: the source cannot be reached, refuses, or breaks off.
    """
    # The lock lasts as long as a transaction that holds nothing else, neither an id nor a snapshot.
    with source.connect() as guard, transaction(guard, idle=_NO_LIMIT), source.connect() as connection:
        ((is_alone,),) = guard.execute(
            "select pg_try_advisory_xact_lock(hashtextextended('totes_dagster.latency', 0))"
        ).fetchall()
        if not is_alone:
            raise MeasurementInProgressError("Somebody else is measuring on this totesys. Wait until they are done.")
        query = sql.SQL("select min({}) from {}").format(sql.Identifier(KEY), sql.Identifier(TABLE))
        ((row,),) = connection.execute(query).fetchall()
        if row is None:
            raise SourceEmptyError(f"totesys has no {TABLE}, and a measurement marks one. Seed it first.")
        mark = Mark(connection, row)
        try:
            yield mark
        finally:
            if mark.is_on:
                with _undisturbed():
                    _take_off(source, row)


def _take_off(source: Database, row: int) -> None:
    def take_off() -> None:
        # On a connection of its own: the other one may be what broke off.
        with source.connect() as connection:
            _change(connection, row, "")

    try:
        retried("Taking the mark off", take_off)
    except TotesError as error:
        raise MarkLeftError(
            f"The mark is still on {TABLE}.{COLUMN} of {KEY} {row} in totesys. Measure again, which takes it off, or "
            f"remove the ending '{_MARK.format('…')}' by hand. {error}"
        ) from error


def _change(connection: psycopg.Connection, row: int, mark: str) -> int:
    """Put a mark, which may be empty, in the place of any other; return how many rows there were, one or none."""
    statement = _CHANGE.format(
        table=sql.Identifier(TABLE),
        column=sql.Identifier(COLUMN),
        any=sql.Literal(_ANY_MARK),
        mark=sql.Literal(mark),
        key=sql.Identifier(KEY),
        row=sql.Literal(row),
    )
    with transaction(connection):
        connection.execute(SET_LOCK_TIMEOUT)
        connection.execute(_LOOK_WHERE_THE_USER_DOES)
        return connection.execute(statement).rowcount


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait; only the main thread is ever interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
