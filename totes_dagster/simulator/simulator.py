"""The simulated company's life: which action comes next, at what pace, and what happens when the source goes away.

The actions themselves belong to `everyday`, `harsh` and `reference`; the history before them, to `company`.

The company lives at the wall clock, and at any hour: it takes orders at midnight and on Sundays too, so that whoever
watches sees changes. Of its timetable it keeps one thing: on a weekday, the first thing that happens after 07:55:11 UTC
is that the payments due on the day are marked as paid. At other times the same happens now and then, to those that came
in since, or are due on a weekend.
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
_SHORTEST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between attempts to reach a source that went away


class Simulator:
    """Changes a seeded source, one action at a time.

    The sequence of actions and the rows they concern follow from the seed, the state of the source, and what is due by
    the clock; stamps and agreed dates are of the moment. Keys are given out by the simulator itself: let one at a time
    change a source.

    Args:
        url: libpq URI of a source that `seeding.seed` made, or one like it.
        seed: what every random choice follows from.
        harsh: whether also such things happen as the real company was never seen to do, and a change capture has to
            survive. Those that the source's references rule out are left out.
        clock: says what time it is, UTC without a zone, to the millisecond.

    Raises:
        DatabaseError: the source cannot be reached, or has not been seeded.
    """

    def __init__(
        self, url: str, *, seed: int = 0, harsh: bool = False, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._source = _named(url)
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
        """Let a given action happen, also one of a harsh life.

        Raises:
            NothingToActOnError: there is nothing to do it to, for example no open transaction to commit; or the
                source's references do not allow it. Nothing has changed.
        """
        return Event(action, *self._acts[action]())

    def step(self) -> Event:
        """Let an action happen that is drawn at random among those that can; in the morning, first the payment run.

        Raises:
            NothingToActOnError: the source is so empty that none can.
        """
        event = self._payment_run_of_the_morning()
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
        """Let actions happen at about this rate, with random pauses, until stopped; a source that goes away is awaited.

        Args:
            changes_per_second: actions per second, on average; above 0.
            stop: set it to end the run.
            on_event: called with every event.
        """
        pauses = exponential_pauses(1 / changes_per_second, self._pace)
        wait = _SHORTEST_WAIT
        lost = unsure = False
        due = time.monotonic()
        while not stop.is_set():
            try:
                if lost:
                    self._ledger.reconnect()
                    lost = False
                    _log.info("%s is back.", self._source)
                elif unsure:
                    self._ledger.read_keys()
                unsure = False
                event = self.step()
            except psycopg.Error as error:
                lost = lost or self._ledger.connection.closed
                if lost:
                    _log.warning("%s is away (%s); trying again in %g s.", self._source, _reason(error), wait)
                    stop.wait(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
                else:
                    # Somebody else holds a row, took a key, or ended an open transaction: that action did not happen.
                    _log.warning("One change to %s did not go through (%s).", self._source, _reason(error))
                    unsure = True
                    # Who changes a table's definition waits for what is open here, and everybody else for them.
                    self._commit_open()
            else:
                wait = _SHORTEST_WAIT
                if on_event:
                    on_event(event)
            # From now, if behind: a source that was slow or away is not flooded afterwards.
            due = max(due + next(pauses), time.monotonic())
            stop.wait(due - time.monotonic())

    def close(self) -> None:
        """Commit what is still open, and disconnect."""
        self._commit_open()
        self._ledger.connection.close()

    def _payment_run_of_the_morning(self) -> Event | None:
        """The payment run of a weekday, unless it is too early, or done, or nothing is due."""
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
                _log.warning("Lost with its connection (%s): %s.", _reason(error), transaction.description)
            self._ledger.forget(transaction)


def described(changes_per_second: float, *, harsh: bool) -> str:
    """What a life of this pace and kind is like, in a sentence."""
    often = (
        f"{changes_per_second:g} times per second"
        if changes_per_second >= 1
        else f"every {1 / changes_per_second:.3g} seconds"
    )
    kind = "a harsh life, with deletions, late commits and rollbacks" if harsh else "everyday business"
    return f"The simulator changes totesys {often} on average: {kind}."


def _named(url: str) -> str:
    """The source as it may be shown: without user and password."""
    parts = conninfo_to_dict(url)
    return f"The source {parts.get('dbname', '')} at {parts.get('host', 'localhost')}"


def _reason(error: psycopg.Error) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
