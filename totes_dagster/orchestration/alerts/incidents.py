"""Which incidents open and close, and what is still to be told of them: decisions over plain values.

A job's incident opens with the first run that fails and closes with the first that succeeds; runs are followed one by
one, also those that ended between two looks. Freshness and asset checks are conditions: their incidents are open while
a look finds them broken.

All that one look leaves to the next is a `Watch`. Moments are seconds of the epoch, as Dagster keeps them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

BY_HAND = "__ASSET_JOB"
"""Dagster's name for the job of assets that somebody materialises by themselves."""

OVERLAP = 300.0
"""Seconds that looks overlap: a run is seen somewhat later than it ended by its own clock."""

LOOK_BACK = 2 * 24 * 3600.0
"""Seconds that a look goes back at most. Two days hold every job's newest run, the nightly one's too."""

MOST_PENDING = 100
"""Alerts that wait to be published, at most."""


class Kind(StrEnum):
    """What an incident is about."""

    RUN = "run"
    FRESHNESS = "freshness"
    CHECK = "check"


class _Kept(BaseModel):
    """What is kept from one look to the next, in the sensor's cursor."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ended(_Kept):
    """A run that ended: with success or failure, for whoever cancels one knows why."""

    run_id: str
    job: str
    succeeded: bool
    at: float


class Incident(_Kept):
    """Something that is broken.

    Attributes:
        kind: what it is about.
        subject: the job, the check, or what is not fresh.
        since: when it began.
        run_id: the run to look at; empty if there is none.
        failures: runs that failed, so far.
        step: the step that failed; empty if none did.
        why: in one line; empty until somebody has asked the run.
    """

    kind: Kind
    subject: str
    since: float
    run_id: str = ""
    failures: int = 1
    step: str = ""
    why: str = ""

    @property
    def key(self) -> tuple[Kind, str]:
        """What at most one incident is open of."""
        return self.kind, self.subject

    @property
    def name(self) -> str:
        """What tells this incident from every other, so that subscribers know an alert that comes twice."""
        return f"{self.kind}:{self.subject}:{self.run_id or int(self.since)}"


class Alert(_Kept):
    """What is to be told: that an incident opened or, with the moment and perhaps the run, that it is over."""

    incident: Incident
    recovered_at: float | None = None
    recovered_by: str = ""

    @property
    def state(self) -> str:
        """`open` or `recovered`."""
        return "open" if self.recovered_at is None else "recovered"


class Watch(_Kept):
    """What was seen and told so far.

    Attributes:
        version: of this format.
        read_until: the moment of the last look.
        seen: the runs that the next look will find again.
        open: the incidents that are open.
        pending: alerts to publish, oldest first.
        missing: tables that were never loaded, and when that was first noticed.
    """

    version: Literal[1] = 1
    read_until: float
    seen: tuple[Ended, ...] = ()
    open: tuple[Incident, ...] = ()
    pending: tuple[Alert, ...] = ()
    missing: dict[str, float] = {}

    @classmethod
    def resumed(cls, cursor: str | None) -> "Watch | None":
        """What a cursor holds; None if there is none, or none that this version can read."""
        if not cursor:
            return None
        try:
            return cls.model_validate_json(cursor)
        except ValidationError:
            return None


@dataclass(frozen=True)
class Look:
    """What one look finds.

    Attributes:
        at: its moment.
        ended: the runs that ended since `reads_from`; of those at the same moment, the last is how things are.
        conditions: of each condition that could be judged, the incident if it is broken, and None if it is not.
        missing: see `Watch`.
    """

    at: float
    ended: Sequence[Ended] = ()
    conditions: Mapping[tuple[Kind, str], Incident | None] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)


def reads_from(watch: Watch | None, at: float) -> float:
    """The moment from which a look has to read the runs that ended."""
    earliest = at - LOOK_BACK
    return earliest if watch is None else max(earliest, min(watch.read_until, at) - OVERLAP)


def advance(watch: Watch | None, look: Look, covering: Collection[str] = ()) -> Watch:
    """What a look adds to what is known.

    Args:
        watch: what the look before left; None for the first one. That tells of what is broken now, and not of what was
            broken and mended before anybody looked.
        look: what was found.
        covering: jobs that materialise all assets. Their success mends what somebody did not manage by hand.
    """
    known = watch or Watch(read_until=look.at)
    # A run may get another end: one that was given up for dead and lived.
    new = [run for run in look.ended if run not in known.seen and not _is_late(run, known.seen)]
    open_, told = _replayed(known.open, sorted(new, key=lambda run: run.at), covering)
    if watch is None:
        told = [Alert(incident=incident) for incident in open_]
    open_, more = _judged(open_, look.conditions, look.at)
    horizon = reads_from(known, look.at)
    return Watch(
        read_until=look.at,
        seen=tuple(sorted((run for run in {*known.seen, *look.ended} if run.at >= horizon), key=_order)),
        open=tuple(open_),
        pending=_within_reason([*known.pending, *told, *more]),
        missing=dict(look.missing),
    )


def stale_tables(
    loaded: Mapping[str, float | None], missing: Mapping[str, float], at: float, window: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Tables that are not fresh, and those that were never loaded.

    Args:
        loaded: when each table was loaded last.
        missing: of an earlier look, see `Watch`.
        at: the moment.
        window: how many seconds may pass without a load.

    Returns:
        Since when each table was not loaded, for those where that is too long ago; and, for the next look, when each
        that never was loaded was noticed. A new instance, or a new table, has as much time as any other.
    """
    never = {name: missing.get(name, at) for name, moment in loaded.items() if moment is None}
    since = {name: never.get(name, moment or at) for name, moment in loaded.items()}
    return {name: moment for name, moment in since.items() if at - moment >= window}, never


def explained(watch: Watch, explain: Callable[[str], tuple[str, str]]) -> Watch:
    """What is known, with a reason in each incident of a run.

    Args:
        watch: what is known.
        explain: the step that failed in a run, and why, by the run's id; asked once for each new incident.
    """
    reasons: dict[str, tuple[str, str]] = {}

    def with_reason(incident: Incident) -> Incident:
        if incident.why or not incident.run_id:
            return incident
        if incident.run_id not in reasons:
            reasons[incident.run_id] = explain(incident.run_id)
        step, why = reasons[incident.run_id]
        return incident.model_copy(update={"step": step, "why": why})

    pending = (alert.model_copy(update={"incident": with_reason(alert.incident)}) for alert in watch.pending)
    return watch.model_copy(update={"open": tuple(map(with_reason, watch.open)), "pending": tuple(pending)})


def _order(run: Ended) -> tuple[float, str]:
    return run.at, run.run_id


def _is_late(run: Ended, seen: Iterable[Ended]) -> bool:
    """Whether a run is seen only after one of its job that ended later, and that says how things are."""
    return any(other.job == run.job and other.at > run.at for other in seen)


def _replayed(
    before: Iterable[Incident], ended: Iterable[Ended], covering: Collection[str]
) -> tuple[list[Incident], list[Alert]]:
    """The open incidents, and what is to be told, after these runs in this order."""
    open_ = {incident.key: incident for incident in before}
    told: list[Alert] = []
    for run in ended:
        key = (Kind.RUN, run.job)
        if run.succeeded:
            mended = [key, (Kind.RUN, BY_HAND)] if run.job in covering else [key]
            over = [open_.pop(one) for one in mended if one in open_]
            told.extend(Alert(incident=one, recovered_at=run.at, recovered_by=run.run_id) for one in over)
        elif key in open_:
            open_[key] = open_[key].model_copy(update={"failures": open_[key].failures + 1})
        else:
            open_[key] = Incident(kind=Kind.RUN, subject=run.job, since=run.at, run_id=run.run_id)
            told.append(Alert(incident=open_[key]))
    return list(open_.values()), told


def _judged(
    before: Iterable[Incident], conditions: Mapping[tuple[Kind, str], Incident | None], at: float
) -> tuple[list[Incident], list[Alert]]:
    """The open incidents, and what is to be told, after these conditions were found."""
    open_ = {incident.key: incident for incident in before}
    told = []
    for key, broken in conditions.items():
        if broken and key not in open_:
            open_[key] = broken
            told.append(Alert(incident=broken))
        elif not broken and key in open_:
            told.append(Alert(incident=open_.pop(key), recovered_at=at))
    return list(open_.values()), told


def _within_reason(pending: list[Alert]) -> tuple[Alert, ...]:
    """Alerts to publish; if there are too many, without the oldest incidents that are over and were never told of."""
    opened = {alert.incident.name for alert in pending if alert.state == "open"}
    over = [alert.incident.name for alert in pending if alert.state == "recovered" and alert.incident.name in opened]
    surplus = len(pending) - MOST_PENDING
    dropped = set(over[: (surplus + 1) // 2]) if surplus > 0 else set()
    return tuple(alert for alert in pending if alert.incident.name not in dropped)
