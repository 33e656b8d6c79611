"""The schedules that move data: a safety net for the sensor, and the nightly reconciliation."""

from datetime import UTC, datetime

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, SkipReason, schedule

from totes_dagster.orchestration.freshness import WARN_AFTER
from totes_dagster.orchestration.jobs import reconcile, refresh, run_in_progress
from totes_dagster.orchestration.recorded import recorded_loads


@schedule(
    job=refresh,
    cron_schedule="*/15 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The safety net for the sensor: refreshes when the warehouse was not confirmed to be current for 15 "
    "minutes.",
)
def refresh_every_15_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Request a refresh unless one is in progress, or the warehouse was confirmed since the schedule's last time."""
    reason = run_in_progress(context.instance)
    if reason:
        return SkipReason(reason)
    confirmed = min(each.at for each in recorded_loads(context.instance).values())
    if datetime.now(UTC) - confirmed < WARN_AFTER:
        return SkipReason(f"The warehouse was confirmed to be current at {confirmed:%H:%M:%S} UTC.")
    return RunRequest()


@schedule(
    job=reconcile,
    cron_schedule="0 3 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Nightly, at 03:00 UTC: compares every row with the source, so that nothing stays different for long.",
)
def reconcile_nightly(_context: ScheduleEvaluationContext) -> RunRequest:
    """Request a reconciliation."""
    return RunRequest()
