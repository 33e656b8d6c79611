"""The simulated company's life: which action comes next, at what pace, and what happens when the source goes away.

The actions themselves belong to `actions`, the company that the life starts from to `company`.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.errors import DatabaseError
from totes_dagster.local import vocabulary
from totes_dagster.local.actions import Action, Business, Event
from totes_dagster.local.ledger import Ledger
from totes_dagster.local.orders import NothingToActOnError

__all__ = ["WEIGHTS", "Action", "Event", "NothingToActOnError", "Simulator"]

_log = logging.getLogger(__name__)

WEIGHTS: dict[Action, float] = {
    Action.NEW_SALES_ORDER: 30,
    Action.NEW_PURCHASE_ORDER: 13,
    Action.PAYMENT_PAID: 25,
    Action.ORDER_EDITED: 7,
    Action.ORDER_EDITED_SILENTLY: 4,
    Action.DESIGN_EDITED_SILENTLY: 1.5,
    Action.ORDERS_EDITED_TOGETHER: 1,
    Action.ORDER_EDITED_IN_SAVEPOINT: 1.5,
    Action.ORDER_DELETED: 2,
    Action.ORDER_RESTORED: 1,
    Action.TRANSACTION_OPENED: 2,
    Action.TRANSACTION_COMMITTED: 2.5,
    Action.TRANSACTION_ROLLED_BACK: 1.5,
    Action.ORDER_BEFORE_DESIGN: 0.5,
    Action.LATE_DESIGN: 1,
    Action.PAYMENT_BEFORE_ORDER: 0.3,
    Action.LATE_ORDER: 0.6,
    Action.NEW_STAFF: 0.5,
    Action.NEW_DESIGN: 1.5,
    Action.NEW_ADDRESS: 0.7,
    Action.NEW_COUNTERPARTY: 0.7,
    Action.NEW_CURRENCY: 0.05,
    Action.DEPARTMENT_EDITED: 0.4,
    Action.ADDRESS_EDITED: 0.7,
}
"""How often each action happens, relative to the others: ordinary business most of the time."""

_SHORTEST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between attempts to reach a source that went away


class Simulator:
    """Changes a seeded source, one action at a time.

    The sequence of actions and the rows they concern follow from the seed and the state of the source; only the stamps
    and agreed dates are of the moment. Keys are given out by the simulator itself: let one at a time change a source.

    Args:
        url: libpq URI of a source that `seeding.seed` made, or one like it.
        seed: what every random choice follows from.

    Raises:
        DatabaseError: the source cannot be reached, or has not been seeded.
    """

    def __init__(self, url: str, *, seed: int = 0) -> None:
        self._source = _named(url)
        self._rng = vocabulary.generator(seed, "life")
        try:
            self._ledger = Ledger(url, self._rng)
        except psycopg.Error as error:
            raise DatabaseError(
                f"{self._source} cannot be simulated: {_reason(error)}. Check its URL, and that it has been seeded."
            ) from error
        self._business = Business(self._ledger, self._rng)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def perform(self, action: Action) -> Event:
        """Let a given action happen.

        Raises:
            NothingToActOnError: there is nothing to do it to, for example no open transaction to commit.
        """
        return self._business.perform(action)

    def step(self) -> Event:
        """Let an action happen that is drawn at random among those that can.

        Raises:
            NothingToActOnError: the source is so empty that none can.
        """
        weights = dict(WEIGHTS)
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
        """Let actions happen at about this rate until told to stop; a source that goes away is waited for.

        Args:
            changes_per_second: actions per second, above 0.
            stop: set it to end the run.
            on_event: told of every event.
        """
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
            due = max(due + 1 / changes_per_second, time.monotonic())
            stop.wait(due - time.monotonic())

    def close(self) -> None:
        """Commit what is still open, and disconnect."""
        self._commit_open()
        self._ledger.connection.close()

    def _commit_open(self) -> None:
        for transaction in list(self._ledger.open_transactions):
            try:
                transaction.connection.commit()
            except psycopg.Error as error:
                _log.warning("Lost with its connection (%s): %s.", _reason(error), transaction.description)
            self._ledger.forget(transaction)


def _named(url: str) -> str:
    """The source as it may be shown: without user and password."""
    parts = conninfo_to_dict(url)
    return f"The source {parts.get('dbname', '')} at {parts.get('host', 'localhost')}"


def _reason(error: psycopg.Error) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
