"""What a measurement of latency comes to: the moments of a change, the steps between them, and percentiles.

Pure functions over plain values; the measuring is done in `measurement.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from totes_dagster.orchestration.run_records import Run

Step = tuple[str, str]
"""From one moment to another."""

MOMENTS = ("commit", "requested", "launched", "at work", "snapshot", "loaded", "seen")
"""What a change passes through, in this order."""

TOTAL: Step = (MOMENTS[0], MOMENTS[-1])


@dataclass(frozen=True)
class Change:
    """A change's way from the source to the warehouse. All moments are by the clock of the machine that measured.

    Attributes:
        number: which of the measurement's changes it is, from 1.
        committed_at: when the source had acknowledged it.
        snapshot_at: when the source snapshot was taken that shows it; None if its batch is not known.
        loaded_at: when its batch was about to be committed in the warehouse; None if its batch is not known.
        seen_at: when a query of the warehouse had answered with it.
        batch: what brought it; None if not known.
        run: whose snapshot it was; None if not known.
    """

    number: int
    committed_at: datetime
    snapshot_at: datetime | None
    loaded_at: datetime | None
    seen_at: datetime
    batch: int | None = None
    run: Run | None = None

    @property
    def seconds(self) -> float:
        """From its commit until it was seen."""
        return (self.seen_at - self.committed_at).total_seconds()


@dataclass(frozen=True)
class Reading:
    """A server's clock, read once: what it said, and our clock before and after."""

    asked_at: datetime
    said: datetime
    answered_at: datetime


@dataclass(frozen=True)
class Summary:
    """How long a step took: of how many changes, and in seconds."""

    step: Step
    count: int
    median: float
    p95: float
    longest: float


def percentile(values: Iterable[float], percent: int) -> float:
    """The nearest-rank percentile: the least of the values that at least so many percent of them do not exceed.

    It is always one of the values, so that a maximum is never blended with what is usual. (Type 1 of Hyndman and Fan,
    "Sample Quantiles in Statistical Packages", 1996; numpy's `inverted_cdf`.)

    Args:
        values: at least one.
        percent: 1 to 100.
    """
    ordered = sorted(values)
    return ordered[-(-percent * len(ordered) // 100) - 1]  # the rank rounded up, without a detour over floats


def offset_of(readings: Iterable[Reading]) -> timedelta:
    """How far a server's clock is ahead of ours, by the reading with the shortest round trip.

    What it said is compared with the middle of the round trip, which is wrong by at most half of it.
    """
    best = min(readings, key=lambda reading: reading.answered_at - reading.asked_at)
    return best.said - (best.asked_at + (best.answered_at - best.asked_at) / 2)


def run_of(snapshot_at: datetime, runs: Iterable[Run]) -> Run | None:
    """The run that took a snapshot: of those at work at that moment, the one that started last.

    A run that died without a word looks like one at work for ever; those that started after it come first.
    """
    at_work = [
        run for run in runs if run.started_at <= snapshot_at and (run.ended_at is None or snapshot_at <= run.ended_at)
    ]
    return max(at_work, key=lambda run: run.started_at, default=None)


def moments_of(change: Change) -> dict[str, datetime]:
    """The moments that are known of a change, in the order of `MOMENTS`."""
    run = change.run
    moments = (
        change.committed_at,
        *((run.requested_at, run.launched_at, run.started_at) if run else (None, None, None)),
        change.snapshot_at,
        change.loaded_at,
        change.seen_at,
    )
    return {name: moment for name, moment in zip(MOMENTS, moments, strict=True) if moment is not None}


def steps_of(change: Change) -> dict[Step, float]:
    """The seconds between each two moments in succession that are known; together they are `change.seconds`.

    What had happened before its turn took no time: a run may have been on its way when the change was committed.
    """
    moments = moments_of(change)
    reached = change.committed_at
    steps: dict[Step, float] = {}
    for before, name in pairwise(moments):
        moment = min(max(moments[name], reached), change.seen_at)
        steps[before, name] = (moment - reached).total_seconds()
        reached = moment
    return steps


def summaries_of(changes: Sequence[Change]) -> list[Summary]:
    """Every step that any of the changes made, in their order, and the whole way at the end; nothing of no changes."""
    taken: dict[Step, list[float]] = {}
    for change in changes:
        for step, seconds in (steps_of(change) | {TOTAL: change.seconds}).items():
            taken.setdefault(step, []).append(seconds)
    in_order = sorted(taken, key=lambda step: (step == TOTAL, MOMENTS.index(step[1]), MOMENTS.index(step[0])))
    return [
        Summary(step, len(taken[step]), percentile(taken[step], 50), percentile(taken[step], 95), max(taken[step]))
        for step in in_order
    ]


def as_json(change: Change) -> Mapping[str, object]:
    """All that was measured of a change, as JSON can hold it."""
    return {
        "number": change.number,
        "batch": change.batch,
        "run": change.run and change.run.run_id,
        "seconds": change.seconds,
        "moments": {name: moment.isoformat() for name, moment in moments_of(change).items()},
        "steps": {f"{before} → {name}": seconds for (before, name), seconds in steps_of(change).items()},
    }
