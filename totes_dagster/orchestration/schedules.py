"""The schedules that move data: a safety net for the sensor, and the nightly reconciliation."""

from datetime import UTC, datetime

from dagster import (
    DagsterRunStatus,
    DefaultScheduleStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from totes_dagster.orchestration.freshness import WARN_AFTER
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.jobs import JOB_TAG, allowance, reconcile, refresh, run_in_progress
from totes_dagster.orchestration.recorded import recorded_loads


@schedule(
    job=refresh,
    cron_schedule="*/15 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The safety net for the sensor: refreshes when the warehouse was not confirmed to be current for 15 "
    "minutes.",
)
def refresh_every_15_minutes(
    context: ScheduleEvaluationContext, ingestion_zone: ResourceParam[IngestionIOManager]
) -> RunRequest | SkipReason:
    """Request a refresh unless one is in progress, or the warehouse was confirmed since the schedule's last time."""
    reason = run_in_progress(context.instance, refresh.name, reconcile.name)
    if reason:
        return SkipReason(reason)
    confirmed = min(each.at for each in recorded_loads(context.instance).values())
    if datetime.now(UTC) - confirmed < WARN_AFTER:
        return SkipReason(f"The warehouse was confirmed to be current at {confirmed:%H:%M:%S} UTC.")
    return RunRequest(tags=allowance(ingestion_zone))


@schedule(
    job=reconcile,
    cron_schedule="0 3-6 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Nightly, at 03:00 UTC: compares every row with the source, so that nothing stays different for long. "
    "If that fails, tries again every hour until 06:00.",
)
def reconcile_nightly(
    context: ScheduleEvaluationContext, ingestion_zone: ResourceParam[IngestionIOManager]
) -> RunRequest | SkipReason:
    """Request a reconciliation unless one is in progress, or has succeeded since 03:00 UTC."""
    reason = run_in_progress(context.instance, reconcile.name)
    if reason:
        return SkipReason(reason)
    # An evaluation may be late, after the daemon was down.
    begin = context.scheduled_execution_time.astimezone(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
    succeeded = RunsFilter(tags={JOB_TAG: reconcile.name}, statuses=[DagsterRunStatus.SUCCESS])
    for record in context.instance.get_run_records(succeeded, limit=1):
        ended = datetime.fromtimestamp(record.end_time or 0, UTC)
        if ended >= begin:
            run = record.dagster_run.run_id[:8]
            return SkipReason(f"The reconcile of this night succeeded at {ended:%H:%M:%S} UTC (run {run}).")
    return RunRequest(tags=allowance(ingestion_zone))
