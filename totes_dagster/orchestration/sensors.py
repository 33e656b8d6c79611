"""The sensor that watches the source: when it requests a refresh, and how long it waits after failures.

The schedules behind it are in `schedules.py`, the alerts in `alerts/`.
"""

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

_POLL_SECONDS = 0.1
LOOK_FOR = 9.0
"""Seconds that one evaluation of the sensor watches. Dagster starts evaluations every 5 s at best, and stops one after
60 s."""

ASK_EVERY = 0.25
"""Seconds between two checks whether a run is still in progress."""

_REST_FACTOR = 10
"""After the tables were counted, how many times as long as that took to wait before counting them again."""

CONFIRM_AFTER = timedelta(minutes=10)
"""After this long without a change, a refresh confirms that the warehouse is current: often enough for `FRESHNESS`."""

_TABLES_IN_TAG = 4
"""The most tables that a run's tag names."""

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)
"""How long to wait before another try; it doubles with each failure."""

_FAILURES_COUNT_FOR = timedelta(hours=1)
"""How long a failure counts, even if a refresh has succeeded since. Otherwise, the pause after a refresh that fails
every other time would never exceed a minute."""

_REFRESHES_READ = 20

_BLIND = "totes/blind"
"""Tag of the refreshes that the sensor requested because it could not read the source."""

_UNAVAILABLE = (
    ConnectTimeoutError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    HostUnknownError,
    LakeUnavailableError,
    NothingHereError,
    PortClosedError,
)
"""Errors that end when a server is available again. Until then, a refresh would fail with them, too."""


@sensor(
    job=refresh,
    minimum_interval_seconds=1,
    default_status=DefaultSensorStatus.RUNNING,
    description="Watches totesys, and requests a refresh within a fraction of a second after a commit that changed a "
    "table. If nothing changes, requests one every ten minutes, which confirms that the warehouse is current.",
)
def totesys_changes(
    context: SensorEvaluationContext, totesys: TotesysResource, ingestion_zone: ResourceParam[ZoneIOManager]
) -> Any:
    """Request a refresh as soon as the source's next batch would not be empty."""
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
            # The cursor only saves counting the tables again as long as nothing was written in the whole cluster.
            changed = (
                ["unknown, because the last refresh failed"]
                if failed
                else _wait_for_change(position, lambda: changed_tables(source, lake), context.cursor, end)
            )
    except NothingHereError:
        changed = ["nothing yet, because there is no company; the refresh creates one"]
    except _UNAVAILABLE as error:
        return SkipReason(f"{error} The sensor tries again in a few seconds.")
    except TotesError as error:
        # It lasts until it is corrected. A refresh usually fails with the same error, and failed runs raise alerts. But
        # if only this process has the error, refreshes succeed, and the sensor would request one after the other.
        if now < again_at:
            return SkipReason(f"{error} The next refresh is requested at {_moment(again_at)}.")
        changed, blind = [type(error).__name__], {_BLIND: "true"}
    if isinstance(changed, str):
        context.update_cursor(changed)
        confirmed = last_success(context.instance)
        if confirmed and datetime.now(UTC) - confirmed < CONFIRM_AFTER:
            return SkipReason(f"Nothing changed in totesys since the refresh at {_moment(confirmed)}.")
        changed = ["nothing; confirms that the warehouse is current"]
    return RunRequest(tags={"totes/changed": _changes_tag(changed), **blind})


def last_success(instance: DagsterInstance) -> datetime | None:
    """When a run that Dagster remembers last brought the warehouse up to date; None if none did."""
    ended = []
    for job in (refresh.name, reconcile.name):
        succeeded = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
        ended += [record.end_time or 0 for record in instance.get_run_records(succeeded, limit=1)]
    return datetime.fromtimestamp(max(ended), UTC) if ended else None


@dataclass(frozen=True)
class PastRefresh:
    """A refresh that ended.

    Attributes:
        run: the id of its run.
        ended_at: when it ended.
        failed: whether it failed.
        blind: whether the sensor requested it because it could not read the source.
    """

    run: str
    ended_at: datetime
    failed: bool
    blind: bool = False


def next_try(past: Sequence[PastRefresh]) -> datetime:
    """The earliest time to try again after a failure; long past if no failure counts.

    A refresh counts if it failed, or if the sensor requested it blindly, within an hour before the newest of these,
    whether or not others succeeded in between. So refreshes do not follow one another without a pause, neither for an
    intermittent fault nor for one that only the sensor has.

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
    """The last refreshes that Dagster remembers and that have ended, cancelled ones included, newest first."""
    records = instance.get_run_records(RunsFilter(job_name=refresh.name), limit=_REFRESHES_READ)
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


def _changes_tag(changed: Sequence[str]) -> str:
    """What changed, short enough for a column of the list of runs."""
    named = ", ".join(changed[:_TABLES_IN_TAG])
    return named if len(changed) <= _TABLES_IN_TAG else f"{named}, and {len(changed) - _TABLES_IN_TAG} more"


def _moment(when: datetime) -> str:
    return f"{when:%H:%M:%S} UTC"


def _wait_for_runs(instance: DagsterInstance, end: float) -> str | None:
    """Wait until no run is in progress, so that changes in the meantime are seen at once, not five seconds later.

    Returns:
        A sentence about the run that is still in progress at the end; None if there is none.
    """
    while reason := run_in_progress(instance):
        if time.monotonic() >= end:
            return reason
        time.sleep(ASK_EVERY)
    return None


def _wait_for_change(
    position: Callable[[], str], changed: Callable[[], list[str]], seen: str | None, end: float
) -> list[str] | str:
    """Watch until tables change, and return them; if none has changed at the end, return the last position.

    Counting the tables takes at most a tenth of the time, however busy the source's cluster is.
    """
    count_at = 0.0
    while True:
        now, started = position(), time.monotonic()
        if now != seen and started >= count_at:
            tables = changed()
            if tables:
                return tables
            seen = now
            count_at = time.monotonic() + _REST_FACTOR * (time.monotonic() - started)
        if time.monotonic() >= end:
            return seen or ""
        time.sleep(_POLL_SECONDS)
