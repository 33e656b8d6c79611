"""What runs when: the two jobs, the sensor that watches the source, and the two schedules."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SkipReason,
    define_asset_job,
    schedule,
    sensor,
)

from totes_dagster.checks import matches_source
from totes_dagster.resources.databases import Totesys
from totes_dagster.resources.zones import Zone
from totes_dagster.stages.ingest import changed_tables
from totes_dagster.stages.source import watching

_GROUPS = AssetSelection.groups("ingestion", "processed", "warehouse")

_RECONCILIATION = AssetSelection.checks(matches_source)

_IN_PROGRESS = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

_LOOK_EVERY = 0.1
_LOOK_FOR = 9.0
"""Seconds that one evaluation of the sensor watches: Dagster starts evaluations every 5 s at best, and gives up on one
after 60."""

_REST = 10
"""How many times as long as it took to count the tables to wait until they are counted again."""

_PATIENCE = timedelta(hours=1)
"""After this, a run that is still in progress counts as dead. Should it be alive after all, no harm is done: of two
ingests one wins each batch, and two loads wait for one another."""

_PAUSE_AFTER_FAILURE = timedelta(minutes=1)

refresh = define_asset_job(
    "refresh",
    selection=_GROUPS - _RECONCILIATION,
    description="Bring the warehouse up to date: ingest what changed, remodel it, load it.",
)

reconcile = define_asset_job(
    "reconcile",
    selection=_GROUPS | _RECONCILIATION,
    description="Bring the warehouse up to date, compare every row of it with the source, and repair what differs.",
)


@sensor(
    job=refresh,
    minimum_interval_seconds=1,
    default_status=DefaultSensorStatus.RUNNING,
    description="Watches totesys, and requests a refresh when a table of it has changed.",
)
def totesys_changes(context: SensorEvaluationContext, totesys: Totesys, ingestion_zone: ResourceParam[Zone]) -> Any:
    """Request a refresh once the source's next batch would hold something."""
    reason = _in_progress(context.instance)
    if reason:
        return SkipReason(reason)
    failed_at = last_failure(context.instance)
    if failed_at:
        if datetime.now(UTC) - failed_at < _PAUSE_AFTER_FAILURE:
            return SkipReason(f"The last refresh failed at {failed_at:%H:%M:%S} UTC; trying again a minute later.")
        return RunRequest()
    source, lake = totesys.database(), ingestion_zone.lake
    with watching(source) as position:
        # The cursor only saves counting the tables again while nothing at all was written in the cluster.
        changed = _wait_for_change(position, lambda: changed_tables(source, lake), context.cursor)
    if isinstance(changed, str):
        context.update_cursor(changed)
        return SkipReason("Nothing changed in totesys since the newest batch.")
    return RunRequest(tags={"totes/changed": ", ".join(changed)})


@schedule(
    job=refresh,
    cron_schedule="*/15 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The safety net under the sensor: refreshes whatever the sensor says.",
)
def refresh_every_15_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Request a refresh unless one is in progress."""
    reason = _in_progress(context.instance)
    return SkipReason(reason) if reason else RunRequest()


@schedule(
    job=reconcile,
    cron_schedule="0 3 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Nightly, at 03:00 UTC: compares every row with the source, so that nothing stays different for long.",
)
def reconcile_nightly(_context: ScheduleEvaluationContext) -> RunRequest:
    """Request a reconciliation."""
    return RunRequest()


def last_failure(instance: DagsterInstance) -> datetime | None:
    """When the last refresh failed; None if it did not."""
    records = instance.get_run_records(RunsFilter(job_name=refresh.name), limit=1)
    if not records or records[0].dagster_run.status is not DagsterRunStatus.FAILURE:
        return None
    return datetime.fromtimestamp(records[0].end_time or 0, UTC)


def _in_progress(instance: DagsterInstance) -> str | None:
    records = instance.get_run_records(RunsFilter(statuses=_IN_PROGRESS, created_after=datetime.now(UTC) - _PATIENCE))
    for record in records:
        run = record.dagster_run
        if run.job_name in {refresh.name, reconcile.name}:
            return f"A {run.job_name} is in progress (run {run.run_id[:8]}); what it leaves will be seen after it."
    return None


def _wait_for_change(
    position: Callable[[], str], changed: Callable[[], list[str]], seen: str | None
) -> list[str] | str:
    """Watch until tables change, and return them; after a while without any, return the position looked at last.

    Counting the tables takes at most a tenth of the time, however busy others keep the source's cluster.
    """
    end = time.monotonic() + _LOOK_FOR
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
