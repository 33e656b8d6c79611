"""The mark that a measurement puts on one row of the source, and its removal at the end, even after an error.

A mark is appended to the present value, and only the mark is removed: what other sessions write into the row meanwhile
stays. The next measurement replaces a mark that a killed one left behind.

No state is kept in a session: a pooler may lend the connection to another client after each transaction.
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
SET_LOCK_TIMEOUT = "set local lock_timeout = '10s'"  # another session may be changing the row
_SET_SEARCH_PATH = "set local search_path to default"
_NO_LIMIT = "0"

# Replaces any mark, so that a value never ends in two. `last_updated` stays: it belongs to the application, and the
# platform does not rely on it.
_CHANGE = sql.SQL("update {table} set {column} = regexp_replace({column}, {any}, '') || {mark} where {key} = {row}")


class MarkError(TotesError):
    """The source cannot be marked, or the mark cannot be removed."""


class SourceNotWritableError(MarkError):
    """The platform's user may not change the source, as a measurement must."""


class SourceEmptyError(MarkError):
    """The source has no row to mark."""


class MeasurementInProgressError(MarkError):
    """Another measurement is running on the same source."""


class MarkLeftError(MarkError):
    """The mark could not be removed."""


class Mark:
    """One row of the source, marked repeatedly.

    Attributes:
        connection: to the source, in autocommit mode.
        row: the row's key.
        is_on: whether the row may bear a mark.
    """

    def __init__(self, connection: psycopg.Connection, row: int) -> None:
        self.connection = connection
        self.row = row
        self.is_on = False
        self._series = secrets.token_hex(8)

    def put(self, number: int) -> str:
        """Commit a new, unique mark in place of the one before; return it.

        Args:
            number: number of the change; part of the mark.

        Raises:
            SourceNotWritableError: this user may not change the source.
            SourceEmptyError: the row was deleted.
        """
        mark = _MARK.format(f"{self._series}-{number}")
        was_on, self.is_on = self.is_on, True
        try:
            changed = _change(self.connection, self.row, mark)
        except (AccessDeniedError, ReadOnlyServerError) as error:
            self.is_on = was_on
            raise SourceNotWritableError(
                f"A measurement marks a row of totesys, and may not. {error} While it runs, its user must be able to "
                f"update {TABLE}."
            ) from error
        if not changed:
            raise SourceEmptyError(
                f"The row {KEY} {self.row} of totesys' {TABLE} was deleted meanwhile. Measure again."
            )
        return mark


@contextmanager
def marking(source: Database) -> Iterator[Mark]:
    """A row of the source to mark; removes its mark at the end of the block.

    Raises:
        MeasurementInProgressError: another measurement is running, and would remove our marks.
        SourceEmptyError: there is no row.
        MarkLeftError: the mark could not be removed.
        DatabaseError: the source cannot be reached, refuses, or closes the connection.
    """
    # The lock lasts as long as its transaction, which holds neither a transaction id nor a snapshot.
    with source.connect() as guard, transaction(guard, idle=_NO_LIMIT), source.connect() as connection:
        ((is_alone,),) = guard.execute(
            "select pg_try_advisory_xact_lock(hashtextextended('totes_dagster.latency', 0))"
        ).fetchall()
        if not is_alone:
            raise MeasurementInProgressError(
                "Another measurement is running on this totesys. Wait until it has finished."
            )
        query = sql.SQL("select min({}) from {}").format(sql.Identifier(KEY), sql.Identifier(TABLE))
        ((row,),) = connection.execute(query).fetchall()
        if row is None:
            raise SourceEmptyError(f"totesys has no {TABLE}, and a measurement marks one. Seed it first.")
        mark = Mark(connection, row)
        try:
            yield mark
        finally:
            if mark.is_on:
                with _ignoring_signals():
                    _remove(source, row)


def _remove(source: Database, row: int) -> None:
    def remove() -> None:
        # On a new connection: the measurement's own may be broken.
        with source.connect() as connection:
            _change(connection, row, "")

    try:
        retried("Removing the mark", remove)
    except TotesError as error:
        raise MarkLeftError(
            f"The mark is still on {TABLE}.{COLUMN} of {KEY} {row} in totesys. Measure again, which removes it, or "
            f"remove the ending '{_MARK.format('…')}' by hand. {error}"
        ) from error


def _change(connection: psycopg.Connection, row: int, mark: str) -> int:
    """Replace the row's mark, if any, by this one, which may be empty; return the number of rows, 1 or 0."""
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
        connection.execute(_SET_SEARCH_PATH)
        return connection.execute(statement).rowcount


@contextmanager
def _ignoring_signals() -> Iterator[None]:
    """Ignore a second Ctrl-C; signals interrupt the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
