"""The schedules that move data: a safety net for the sensor, and the nightly reconciliation."""

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, SkipReason, schedule

from totes_dagster.orchestration.jobs import reconcile, refresh, run_in_progress


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
    cron_schedule="0 3 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Nightly, at 03:00 UTC: compares every row with the source, so that nothing stays different for long.",
)
def reconcile_nightly(_context: ScheduleEvaluationContext) -> RunRequest:
    """Request a reconciliation."""
    return RunRequest()
