"""Decides which incidents open and close, and which alerts are to be published: functions over plain values.

A job's incident opens with the first run that fails and closes with the first that succeeds. Runs are replayed one by
one, including those that ended between two observations. Freshness and asset checks are conditions: their incidents are
open for as long as observations find them broken.

A `Watch` is everything that one observation passes to the next. Times are in seconds since the epoch, as in Dagster.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

OVERLAP = 300.0
"""Seconds by which observations overlap: a run is visible somewhat later than its end time says."""

LOOK_BACK = 2 * 24 * 3600.0
"""Seconds that an observation looks back at most. Two days include the newest run of every job, even a nightly one."""

MAX_PENDING = 100
"""The most alerts that may wait to be published."""


class Kind(StrEnum):
    """What an incident is about."""

    RUN = "run"
    FRESHNESS = "freshness"
    CHECK = "check"


class _CursorModel(BaseModel):
    """Part of the sensor's cursor. Renaming a field makes older cursors unreadable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ended(_CursorModel):
    """A run of the platform's that succeeded or failed.

    Cancelled runs are left out, because the user who cancels one knows why.
    """

    run_id: str
    job: str
    succeeded: bool
    at: float


class Incident(_CursorModel):
    """Something that is broken.

    Attributes:
        kind: what it is about.
        subject: the job, the check, or what is not fresh.
        since: when it began.
        run_id: the run that shows what happened; empty if there is none.
        failures: how many runs have failed so far.
        step: the step that failed; empty if none did.
        why: the reason in one line; empty until it has been looked up.
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
        """The key of the incident: at most one with this key is open."""
        return self.kind, self.subject

    @property
    def name(self) -> str:
        """A name that no other incident has, so that subscribers can recognise an alert that arrives twice."""
        return f"{self.kind}:{self.subject}:{self.run_id or int(self.since)}"


class Alert(_CursorModel):
    """An alert to publish: an incident opened or, if `recovered_at` is set, is over.

    Attributes:
        incident: the incident.
        recovered_at: when it was over; None if it opened.
        recovered_by: the run that ended it; empty if none did.
    """

    incident: Incident
    recovered_at: float | None = None
    recovered_by: str = ""

    @property
    def state(self) -> str:
        """`open` or `recovered`."""
        return "open" if self.recovered_at is None else "recovered"


class Watch(_CursorModel):
    """The state that one observation passes to the next, as the sensor's cursor.

    Attributes:
        version: the version of this format.
        read_until: the time of the last observation.
        seen: the runs that the next observation will find again.
        open: the incidents that are open.
        pending: alerts to publish, oldest first.
        missing: tables that were never loaded, each with the time at which that was first noticed.
    """

    version: Literal[1] = 1
    read_until: float
    seen: tuple[Ended, ...] = ()
    open: tuple[Incident, ...] = ()
    pending: tuple[Alert, ...] = ()
    missing: dict[str, float] = {}

    @classmethod
    def resumed(cls, cursor: str | None) -> "Watch | None":
        """The watch that a cursor holds; None if there is no cursor, or this version cannot read it."""
        if not cursor:
            return None
        try:
            return cls.model_validate_json(cursor)
        except ValidationError:
            return None

    def limited_to(self, jobs: Collection[str]) -> "Watch":
        """The watch without the runs of other jobs, which version 0.1.0 of the platform observed too.

        Nothing would ever end their incidents.
        """

        def is_known(incident: Incident) -> bool:
            return incident.kind is not Kind.RUN or incident.subject in jobs

        return self.model_copy(
            update={
                "seen": tuple(run for run in self.seen if run.job in jobs),
                "open": tuple(incident for incident in self.open if is_known(incident)),
                "pending": tuple(alert for alert in self.pending if is_known(alert.incident)),
            }
        )


@dataclass(frozen=True)
class Observation:
    """What was found in Dagster's instance at one time.

    Attributes:
        at: that time.
        ended: the runs that ended since `reads_from`; of several that ended at the same time, the last one counts.
        conditions: for each condition that could be judged, its incident if it is broken, or else None.
        missing: see `Watch`.
    """

    at: float
    ended: Sequence[Ended] = ()
    conditions: Mapping[tuple[Kind, str], Incident | None] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)


def reads_from(watch: Watch | None, at: float) -> float:
    """The time since which an observation has to read the runs that ended."""
    earliest = at - LOOK_BACK
    return earliest if watch is None else max(earliest, min(watch.read_until, at) - OVERLAP)


def advance(watch: Watch | None, observation: Observation) -> Watch:
    """Open and close incidents according to an observation, and add the alerts to publish.

    Args:
        watch: the state before; None before the first observation, which reports what is broken now, but not what
            failed and recovered earlier.
        observation: what was found.
    """
    known = watch or Watch(read_until=observation.at)
    # A run may end twice: one that was marked as failed because it seemed dead, and then succeeds.
    new = [run for run in observation.ended if run not in known.seen and not _is_outdated(run, known.seen)]
    open_, run_alerts = _after_runs(known.open, sorted(new, key=lambda run: run.at))
    if watch is None:
        run_alerts = [Alert(incident=incident) for incident in open_]
    open_, condition_alerts = _after_conditions(open_, observation.conditions, observation.at)
    horizon = reads_from(known, observation.at)
    return Watch(
        read_until=observation.at,
        seen=tuple(sorted((run for run in {*known.seen, *observation.ended} if run.at >= horizon), key=_order)),
        open=tuple(open_),
        pending=_without_surplus([*known.pending, *run_alerts, *condition_alerts]),
        missing=dict(observation.missing),
    )


def stale_tables(
    loaded: Mapping[str, float | None], missing: Mapping[str, float], at: float, window: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Find the tables that are not fresh, and those that were never loaded.

    Args:
        loaded: when each table was last loaded; None if never.
        missing: the tables that were never loaded by the last observation, see `Watch`.
        at: the current time.
        window: the number of seconds that may pass without a load.

    Returns:
        For each table that is not fresh, since when it has not been loaded; and for each that was never loaded, when
        that was first noticed, for the next observation. A new instance or table has as much time as any other.
    """
    never = {name: missing.get(name, at) for name, moment in loaded.items() if moment is None}
    since = {name: never.get(name, moment or at) for name, moment in loaded.items()}
    return {name: moment for name, moment in since.items() if at - moment >= window}, never


def explained(watch: Watch, explain: Callable[[str], tuple[str, str]]) -> Watch:
    """Add the failed step and the reason to each incident of a run.

    Args:
        watch: the state.
        explain: looks up the step that failed in a run, and why, by the run's id; called once per new incident.
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


def _is_outdated(run: Ended, seen: Iterable[Ended]) -> bool:
    """Whether a run of the same job that ended later, and so counts instead, has been seen already."""
    return any(other.job == run.job and other.at > run.at for other in seen)


def _after_runs(before: Iterable[Incident], ended: Iterable[Ended]) -> tuple[list[Incident], list[Alert]]:
    """The open incidents after these runs, in this order, and the alerts to publish."""
    open_ = {incident.key: incident for incident in before}
    alerts: list[Alert] = []
    for run in ended:
        key = (Kind.RUN, run.job)
        if run.succeeded:
            if key in open_:
                alerts.append(Alert(incident=open_.pop(key), recovered_at=run.at, recovered_by=run.run_id))
        elif key in open_:
            open_[key] = open_[key].model_copy(update={"failures": open_[key].failures + 1})
        else:
            open_[key] = Incident(kind=Kind.RUN, subject=run.job, since=run.at, run_id=run.run_id)
            alerts.append(Alert(incident=open_[key]))
    return list(open_.values()), alerts


def _after_conditions(
    before: Iterable[Incident], conditions: Mapping[tuple[Kind, str], Incident | None], at: float
) -> tuple[list[Incident], list[Alert]]:
    """The open incidents after these conditions were found, and the alerts to publish."""
    open_ = {incident.key: incident for incident in before}
    alerts = []
    for key, incident in conditions.items():
        if incident and key not in open_:
            open_[key] = incident
            alerts.append(Alert(incident=incident))
        elif not incident and key in open_:
            alerts.append(Alert(incident=open_.pop(key), recovered_at=at))
    return list(open_.values()), alerts


def _without_surplus(pending: list[Alert]) -> tuple[Alert, ...]:
    """The alerts to publish; if too many, without the oldest incidents that opened and closed unpublished."""
    opened = {alert.incident.name for alert in pending if alert.state == "open"}
    closed = [alert.incident.name for alert in pending if alert.state == "recovered" and alert.incident.name in opened]
    surplus = len(pending) - MAX_PENDING
    dropped = set(closed[: (surplus + 1) // 2]) if surplus > 0 else set()
    return tuple(alert for alert in pending if alert.incident.name not in dropped)
