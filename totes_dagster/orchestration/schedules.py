"""The schedules that move data: a safety net for the sensor, and the nightly reconciliation."""

from collections.abc import Iterable
from datetime import UTC, datetime

from dagster import (
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRecord,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from totes_dagster.orchestration.jobs import JOB_TAG, PATIENCE, reconcile, refresh, run_in_progress

_RECONCILIATIONS_READ = 20
"""More than there are in one night."""


@schedule(
    job=refresh,
    cron_schedule="*/15 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The safety net for the sensor: refreshes whether or not the sensor requests it.",
)
def refresh_every_15_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Request a refresh unless one is in progress."""
    reason = run_in_progress(context.instance)
    return SkipReason(reason) if reason else RunRequest()


@schedule(
    job=reconcile,
    cron_schedule="0 3-6 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Nightly, at 03:00 UTC: compares every row with the source, so that nothing stays different for long. "
    "If that fails, tries again every hour until 06:00.",
)
def reconcile_nightly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Request a reconciliation unless one is in progress, or has succeeded since 03:00 UTC."""
    filters = RunsFilter(tags={JOB_TAG: reconcile.name})
    records = context.instance.get_run_records(filters, limit=_RECONCILIATIONS_READ)
    # An evaluation may be late, after the daemon was down.
    begin = context.scheduled_execution_time.astimezone(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
    reason = _not_needed(records, begin, datetime.now(UTC))
    return SkipReason(reason) if reason else RunRequest()


def _not_needed(reconciliations: Iterable[RunRecord], begin: datetime, now: datetime) -> str | None:
    """A sentence on why no reconciliation is needed in the night that began at `begin`; None if one is."""
    for record in reconciliations:
        run = record.dagster_run
        requested = record.start_time or record.create_timestamp.timestamp()
        if not run.is_finished and now.timestamp() - requested < PATIENCE.total_seconds():
            return f"A reconcile is in progress (run {run.run_id[:8]})."
        if run.status is DagsterRunStatus.SUCCESS and record.end_time and record.end_time >= begin.timestamp():
            ended = datetime.fromtimestamp(record.end_time, UTC)
            return f"The reconcile of this night succeeded at {ended:%H:%M:%S} UTC (run {run.run_id[:8]})."
    return None
