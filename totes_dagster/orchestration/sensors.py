"""The sensor that watches the source: when it requests a refresh, and how long it waits after failures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from totes_dagster.errors import (
    ConnectTimeoutError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    HostUnknownError,
    LakeUnavailableError,
    NothingHereError,
    PortClosedError,
    TotesError,
)
from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.watch import watching
from totes_dagster.orchestration.io_manager import ZoneIOManager
from totes_dagster.orchestration.jobs import reconcile, refresh, run_in_progress
from totes_dagster.orchestration.resources.databases import TotesysResource

_LOOK_EVERY = 0.1
LOOK_FOR = 9.0
"""Seconds that one evaluation of the sensor watches: Dagster starts evaluations every 5 s at best, and gives up on one
after 60."""

ASK_EVERY = 0.25
"""Seconds between two looks at whether a run is still in progress."""

_REST = 10
"""How many times as long as it took to count the tables to wait until they are counted again."""

CONFIRM_AFTER = timedelta(minutes=10)
"""With nothing to refresh for so long, the warehouse is confirmed to be current: often enough for `FRESHNESS`."""

_NAMED = 4
"""Tables that a run's tag names."""

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)
"""How long to wait before another try: longer with each failure."""

_FAILURES_COUNT_FOR = timedelta(hours=1)
"""For so long a failure counts, also when a refresh has succeeded since: else one that fails every other time would
never be left alone for longer than a minute."""

_REFRESHES_LOOKED_AT = 20

_BLIND = "totes/blind"
"""Tag of the refreshes that the sensor requested because it could not look."""

_AWAY = (
    ConnectTimeoutError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    HostUnknownError,
    LakeUnavailableError,
    NothingHereError,
    PortClosedError,
)
"""Errors that pass by themselves once somebody is back; a refresh would only fail of them, too."""


@sensor(
    job=refresh,
    minimum_interval_seconds=1,
    default_status=DefaultSensorStatus.RUNNING,
    description="Watches totesys, and requests a refresh within a fraction of a second after a commit that changed a "
    "table. Where nothing changes, requests one every ten minutes, which confirms that the warehouse is current.",
)
def totesys_changes(
    context: SensorEvaluationContext, totesys: TotesysResource, ingestion_zone: ResourceParam[ZoneIOManager]
) -> Any:
    """Request a refresh once the source's next batch would hold something."""
    end = time.monotonic() + LOOK_FOR
    reason = _wait_for_runs(context.instance, end)
    past, now = past_refreshes(context.instance), datetime.now(UTC)
    failed = past[0] if past and past[0].failed else None
    again_at = next_try(past)
    if not reason and failed and now < again_at:
        reason = (
            f"The last refresh failed at {_moment(failed.ended_at)} (run {failed.run[:8]}). "
            f"Trying again at {_moment(again_at)}."
        )
    if reason:
        return SkipReason(reason)
    blind: dict[str, str] = {}
    try:
        source = totesys.database(create=False)
        lake = ingestion_zone.zone
        with watching(source) as position:
            # The cursor only saves counting the tables again while nothing at all was written in the cluster.
            changed = (
                ["not known, for the last refresh failed"]
                if failed
                else _wait_for_change(position, lambda: changed_tables(source, lake), context.cursor, end)
            )
    except NothingHereError:
        changed = ["nothing yet, for there is no company; the refresh makes one"]
    except _AWAY as error:
        return SkipReason(f"{error} The next look is in some seconds.")
    except TotesError as error:
        # It will not pass by itself. A refresh usually fails with it, too, and failed runs raise alerts. But where only
        # this process is at fault, refreshes succeed, and the sensor would request one after the other.
        if now < again_at:
            return SkipReason(f"{error} The next refresh is requested at {_moment(again_at)}.")
        changed, blind = [type(error).__name__], {_BLIND: "true"}
    if isinstance(changed, str):
        context.update_cursor(changed)
        confirmed = last_success(context.instance)
        if confirmed and datetime.now(UTC) - confirmed < CONFIRM_AFTER:
            return SkipReason(f"Nothing changed in totesys since the refresh at {_moment(confirmed)}.")
        changed = ["nothing, but the warehouse is to be confirmed as current"]
    return RunRequest(tags={"totes/changed": _told(changed), **blind})


def last_success(instance: DagsterInstance) -> datetime | None:
    """When the warehouse was last brought up to date by a run that Dagster remembers."""
    ended = []
    for job in (refresh.name, reconcile.name):
        succeeded = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
        ended += [record.end_time or 0 for record in instance.get_run_records(succeeded, limit=1)]
    return datetime.fromtimestamp(max(ended), UTC) if ended else None


@dataclass(frozen=True)
class PastRefresh:
    """A refresh that ended.

    Attributes:
        run: its run.
        ended_at: when.
        failed: whether it failed.
        blind: whether the sensor requested it because it could not look itself.
    """

    run: str
    ended_at: datetime
    failed: bool
    blind: bool = False


def next_try(past: Sequence[PastRefresh]) -> datetime:
    """The earliest moment to try again after a failure; one long past if none counts.

    Refreshes count that failed, or that the sensor requested blindly, within an hour before the newest of them, whether
    or not others succeeded in between. So neither a fault that comes and goes nor one that only the sensor meets makes
    refreshes follow one another without a pause.

    Args:
        past: refreshes that ended, newest first.
    """
    counted = [refresh for refresh in past if refresh.failed or refresh.blind]
    if not counted:
        return datetime.min.replace(tzinfo=UTC)
    newest = counted[0].ended_at
    count = sum(newest - refresh.ended_at < _FAILURES_COUNT_FOR for refresh in counted)
    return newest + min(FIRST_PAUSE * 2 ** (count - 1), LONGEST_PAUSE)


def past_refreshes(instance: DagsterInstance) -> list[PastRefresh]:
    """The last refreshes that Dagster remembers and that ended, newest first; also those that somebody cancelled."""
    records = instance.get_run_records(RunsFilter(job_name=refresh.name), limit=_REFRESHES_LOOKED_AT)
    return [
        PastRefresh(
            run=record.dagster_run.run_id,
            ended_at=datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC),
            failed=record.dagster_run.status is DagsterRunStatus.FAILURE,
            blind=_BLIND in record.dagster_run.tags,
        )
        for record in records
        if record.dagster_run.is_finished
    ]


def _told(changed: Sequence[str]) -> str:
    """What changed, in the width of a column of the runs' list."""
    named = ", ".join(changed[:_NAMED])
    return named if len(changed) <= _NAMED else f"{named}, and {len(changed) - _NAMED} more"


def _moment(when: datetime) -> str:
    return f"{when:%H:%M:%S} UTC"


def _wait_for_runs(instance: DagsterInstance, end: float) -> str | None:
    """Wait until no run is in progress: what changed meanwhile is then seen at once, and not five seconds later.

    Returns:
        Which run it is that is still in progress at the end; None if there is none.
    """
    while reason := run_in_progress(instance):
        if time.monotonic() >= end:
            return reason
        time.sleep(ASK_EVERY)
    return None


def _wait_for_change(
    position: Callable[[], str], changed: Callable[[], list[str]], seen: str | None, end: float
) -> list[str] | str:
    """Watch until tables change, and return them; at the end without any, return the position looked at last.

    Counting the tables takes at most a tenth of the time, however busy others keep the source's cluster.
    """
    rested = 0.0
    while True:
        now, started = position(), time.monotonic()
        if now != seen and started >= rested:
            tables = changed()
            if tables:
                return tables
            seen = now
            rested = time.monotonic() + _REST * (time.monotonic() - started)
        if time.monotonic() >= end:
            return seen or ""
        time.sleep(_LOOK_EVERY)
