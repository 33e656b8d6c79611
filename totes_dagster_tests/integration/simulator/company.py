"""A company whose clock a test sets."""

# ruff: noqa: DTZ001 - the source's stamps are UTC without a zone

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Action, Simulator
from totes_dagster_tests.source import Database, contents

UNENFORCED = {Action.ORDER_BEFORE_DESIGN, Action.LATE_DESIGN, Action.PAYMENT_BEFORE_ORDER, Action.LATE_ORDER}
"""Actions that only the older form of the source allows."""
FRIDAY = datetime(2026, 10, 30)


class Clock:
    """A clock that a test sets; it goes on by a millisecond each time that somebody looks."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment


@contextmanager
def company_at(database: Database, moment: datetime) -> Iterator[tuple[str, Simulator, Clock]]:
    """A company whose history ends at a moment, and the simulator that goes on from there."""
    url, clock = database("totesys"), Clock(moment)
    seed(url, orders=2_000, until=moment)
    with Simulator(url, seed=1, clock=clock) as simulator:
        yield url, simulator, clock


def due_on(url: str, day: datetime) -> set[int]:
    payments = contents(url)["payment"].items()
    return {key for key, row in payments if row["payment_date"] == day.date().isoformat() and not row["paid"]}
