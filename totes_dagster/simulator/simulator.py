"""The running simulation: which action comes next, at what pace, and what happens if the source is unavailable.

The actions themselves belong to `everyday`, `harsh` and `reference`; the history before them, to `company`.

The company trades by the wall clock, and at any hour: it takes orders at midnight and on Sundays too, so that a viewer
always sees changes. It keeps one appointment: on a weekday, its first action after 07:55:11 UTC is to mark the payments
due that day as paid. At other times it does the same now and then, for payments added since, or due on a weekend.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.errors import DatabaseError
from totes_dagster.simulator import vocabulary
from totes_dagster.simulator.actions import EVERYDAY, HARSH, Act, Action, Event
from totes_dagster.simulator.company import PAYMENT_RUN_AT
from totes_dagster.simulator.everyday import EverydayBusiness
from totes_dagster.simulator.harsh import HarshBusiness
from totes_dagster.simulator.ledger import Ledger, utc_now
from totes_dagster.simulator.orders import NothingToActOnError
from totes_dagster.simulator.pauses import exponential_pauses
from totes_dagster.simulator.reference import ReferenceData

__all__ = ["Action", "Event", "NothingToActOnError", "Simulator", "described"]

_log = logging.getLogger(__name__)

_SATURDAY = 5  # of a week that starts with 0
_SHORTEST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between attempts to reconnect to the source


class Simulator:
    """Changes a seeded source, one action at a time.

    The seed, the state of the source and the payments due by the clock determine the sequence of actions and the rows
    they affect; timestamps and agreed dates follow the clock. The simulator allocates keys itself, so only one may
    change a source at a time.

    Args:
        url: libpq URI of a source that `seeding.seed` created, or one like it.
        seed: seed of all random choices.
        harsh: whether to perform also actions that the real company was never seen to do and that a change capture must
            cope with. Those that the source's references rule out are skipped.
        clock: returns the current time, UTC without a zone, to the millisecond.

    Raises:
        DatabaseError: the source cannot be reached, or has not been seeded.
    """

    def __init__(
        self, url: str, *, seed: int = 0, harsh: bool = False, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._source = _source_name(url)
        self._rng = vocabulary.generator(seed, "life")
        self._pace = vocabulary.generator(seed, "pace")
        self._weights = HARSH if harsh else EVERYDAY
        self._payment_run_on: date | None = None
        try:
            self._ledger = Ledger(url, self._rng, clock)
        except psycopg.Error as error:
            raise DatabaseError(
                f"{self._source} cannot be simulated: {_reason(error)}. Check its URL, and that it has been seeded."
            ) from error
        self._acts: Mapping[Action, Act] = {
            **EverydayBusiness(self._ledger, self._rng).acts,
            **HarshBusiness(self._ledger, self._rng).acts,
            **ReferenceData(self._ledger, self._rng).acts,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def perform(self, action: Action) -> Event:
        """Perform a given action, harsh ones included.

        Raises:
            NothingToActOnError: there is no row for it, for example no open transaction to commit; or the source's
                references do not allow it. Nothing has changed.
        """
        return Event(action, *self._acts[action]())

    def step(self) -> Event:
        """Perform a random action that is possible; in the morning, the payment run first.

        Raises:
            NothingToActOnError: none is possible, because the source is too empty.
        """
        event = self._morning_payment_run()
        if event:
            return event
        weights = dict(self._weights)
        while weights:
            action = self._rng.choices(list(weights), list(weights.values()))[0]
            try:
                return self.perform(action)
            except NothingToActOnError:
                del weights[action]
        raise NothingToActOnError(f"Nothing can happen in {self._source}: seed it first.")

    def run(
        self,
        changes_per_second: float,
        stop: threading.Event,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Perform actions at about this rate, with random pauses, until stopped; reconnect when the connection is lost.

        Args:
            changes_per_second: actions per second, on average; above 0.
            stop: set it to end the run.
            on_event: called with every event.
        """
        pauses = exponential_pauses(1 / changes_per_second, self._pace)
        wait = _SHORTEST_WAIT
        lost = keys_uncertain = False
        due = time.monotonic()
        while not stop.is_set():
            try:
                if lost:
                    self._ledger.reconnect()
                    lost = False
                    _log.info("%s is available again.", self._source)
                elif keys_uncertain:
                    self._ledger.read_keys()
                keys_uncertain = False
                event = self.step()
            except psycopg.Error as error:
                lost = lost or self._ledger.connection.closed
                if lost:
                    _log.warning("%s is unavailable (%s); trying again in %g s.", self._source, _reason(error), wait)
                    stop.wait(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
                else:
                    # Another session locks a row, took a key, or ended an open transaction: the action has failed.
                    _log.warning("%s did not accept a change (%s).", self._source, _reason(error))
                    keys_uncertain = True
                    # Open transactions here block a session that alters a table, which then blocks all others.
                    self._commit_open()
            else:
                wait = _SHORTEST_WAIT
                if on_event:
                    on_event(event)
            # Delays are not made up for: a source that was slow or unavailable is not flooded afterwards.
            due = max(due + next(pauses), time.monotonic())
            stop.wait(due - time.monotonic())

    def close(self) -> None:
        """Commit the open transactions, and disconnect."""
        self._commit_open()
        self._ledger.connection.close()

    def _morning_payment_run(self) -> Event | None:
        """Perform the payment run of a weekday; None if it is too early, already done, or no payment is due."""
        moment = self._ledger.now()
        is_time = moment.weekday() < _SATURDAY and moment.time() >= PAYMENT_RUN_AT
        if not is_time or self._payment_run_on == moment.date():
            return None
        event = None
        with suppress(NothingToActOnError):
            event = self.perform(Action.PAYMENT_RUN)
        self._payment_run_on = moment.date()
        return event

    def _commit_open(self) -> None:
        for transaction in list(self._ledger.open_transactions):
            try:
                transaction.connection.commit()
            except psycopg.Error as error:
                _log.warning("An open transaction was lost (%s): %s.", _reason(error), transaction.description)
            self._ledger.forget(transaction)


def described(changes_per_second: float, *, harsh: bool) -> str:
    """A sentence that describes a simulation at this rate and of this kind."""
    often = (
        f"{changes_per_second:g} times per second"
        if changes_per_second >= 1
        else f"every {1 / changes_per_second:.3g} seconds"
    )
    kind = "harsh business, with deletions, late commits and rollbacks" if harsh else "everyday business"
    return f"The simulator changes totesys {often} on average: {kind}."


def _source_name(url: str) -> str:
    """The source's database and host, without user and password."""
    parts = conninfo_to_dict(url)
    return f"The source {parts.get('dbname', '')} at {parts.get('host', 'localhost')}"


def _reason(error: psycopg.Error) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
