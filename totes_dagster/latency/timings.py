"""The results of a latency measurement: the moments of a change, the steps between them, and percentiles.

Pure functions over plain values; `measurement.py` measures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from totes_dagster.orchestration.run_records import Run

Step = tuple[str, str]
"""The names of two moments: from, to."""

MOMENTS = ("commit", "requested", "launched", "started", "snapshot", "loaded", "seen")
"""The moments of a change, in their order."""

TOTAL: Step = (MOMENTS[0], MOMENTS[-1])


@dataclass(frozen=True)
class Change:
    """A change on its way from the source to the warehouse. All moments are by the clock of the measuring machine.

    Attributes:
        number: number of the change in its measurement, from 1.
        committed_at: when the source acknowledged its commit.
        snapshot_at: as of when its batch shows the source: when a snapshot was taken or, if the batch is from the log,
            when the change was committed; None if the batch is not known.
        loaded_at: when its batch was about to be committed in the warehouse; None if the batch is not known.
        seen_at: when a query of the warehouse returned it.
        batch: the batch that brought it; None if not known.
        run: the Dagster run that loaded its batch; None if not known.
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
        """The seconds from its commit until the warehouse showed it."""
        return (self.seen_at - self.committed_at).total_seconds()


@dataclass(frozen=True)
class Reading:
    """A server's clock, read once: its time, and our clock before and after."""

    asked_at: datetime
    server_time: datetime
    answered_at: datetime


@dataclass(frozen=True)
class Summary:
    """How long a step took: the number of changes, and durations in seconds."""

    step: Step
    count: int
    median: float
    p95: float
    longest: float


def percentile(values: Iterable[float], percent: int) -> float:
    """The nearest-rank percentile: the smallest value that at least this percentage of the values do not exceed.

    It is always one of the values, never an interpolation between an outlier and the usual. (Type 1 of Hyndman and
    Fan, "Sample Quantiles in Statistical Packages", 1996; numpy's `inverted_cdf`.)

    Args:
        values: at least one.
        percent: 1 to 100.
    """
    ordered = sorted(values)
    return ordered[-(-percent * len(ordered) // 100) - 1]  # the rank rounded up, in integer arithmetic


def offset_of(readings: Iterable[Reading]) -> timedelta:
    """How far a server's clock is ahead of ours, by the reading with the shortest round trip.

    The server's time is compared with the middle of the round trip, so the error is at most half of it.
    """
    best = min(readings, key=lambda reading: reading.answered_at - reading.asked_at)
    return best.server_time - (best.asked_at + (best.answered_at - best.asked_at) / 2)


def run_of(loaded_at: datetime, runs: Iterable[Run]) -> Run | None:
    """The run that loaded a batch: of those running at that moment, the one that started last.

    A run that was killed without recording its end appears to run for ever; runs that started after it win.
    """
    running = [
        run for run in runs if run.started_at <= loaded_at and (run.ended_at is None or loaded_at <= run.ended_at)
    ]
    return max(running, key=lambda run: run.started_at, default=None)


def moments_of(change: Change) -> dict[str, datetime]:
    """The known moments of a change, in the order of `MOMENTS`."""
    run, snapshot_at = change.run, change.snapshot_at
    is_from_log = snapshot_at is not None and snapshot_at <= change.committed_at
    moments = (
        change.committed_at,
        *((run.requested_at, run.launched_at, run.started_at) if run else (None, None, None)),
        None if is_from_log else snapshot_at,
        change.loaded_at,
        change.seen_at,
    )
    return {name: moment for name, moment in zip(MOMENTS, moments, strict=True) if moment is not None}


def steps_of(change: Change) -> dict[Step, float]:
    """The seconds between successive known moments; their sum is `change.seconds`.

    A moment that lies before the one it should follow counts as simultaneous: a run may already have been requested
    when the change was committed.
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
    """One summary for each step of any change, in their order, and last the total; empty without changes."""
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
    """The measurements of a change, as values for JSON: seconds, and moments in ISO 8601."""
    return {
        "number": change.number,
        "batch": change.batch,
        "run": change.run and change.run.run_id,
        "seconds": change.seconds,
        "moments": {name: moment.isoformat() for name, moment in moments_of(change).items()},
        "steps": {f"{before} → {name}": seconds for (before, name), seconds in steps_of(change).items()},
    }
