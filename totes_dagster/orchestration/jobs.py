"""The two jobs that move data: what each runs, and whether one of them is in progress.

When they run is decided in `sensors.py` and `schedules.py`.
"""

from datetime import UTC, datetime, timedelta

from dagster import AssetSelection, DagsterInstance, DagsterRunStatus, RunsFilter, define_asset_job

from totes_dagster.orchestration.checks.reconciliation import matches_source

_GROUPS = AssetSelection.groups("ingestion", "processed", "warehouse")

JOB_TAG = "totes/job"
"""Tag of the platform's own runs, with the name of their job. Other code locations may have jobs of the same names."""

_RECONCILIATION = AssetSelection.checks(matches_source)

_IN_PROGRESS = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

PATIENCE = timedelta(hours=1)
"""After this, a run that is still in progress counts as dead. If it is alive after all, no harm is done: of two
ingests, one wins each batch, and two loads wait for one another."""

refresh = define_asset_job(
    "refresh",
    selection=_GROUPS - _RECONCILIATION,
    description="Bring the warehouse up to date: ingest what changed, remodel it, load it.",
    tags={JOB_TAG: "refresh"},
)

reconcile = define_asset_job(
    "reconcile",
    selection=_GROUPS | _RECONCILIATION,
    description="Bring the warehouse up to date, compare every row of it with the source, and repair what differs.",
    tags={
        JOB_TAG: "reconcile",
        # If it fails, Dagster runs it once more, from the start: it compares with what the source holds then.
        "dagster/max_retries": "1",
        "dagster/retry_strategy": "ALL_STEPS",
        "dagster/retry_on_asset_or_op_failure": "true",
    },
)


def run_in_progress(instance: DagsterInstance) -> str | None:
    """A sentence about a refresh or a reconciliation that is in progress; None if there is none."""
    records = instance.get_run_records(RunsFilter(statuses=_IN_PROGRESS, created_after=datetime.now(UTC) - PATIENCE))
    for record in records:
        run = record.dagster_run
        if run.job_name in {refresh.name, reconcile.name}:
            return f"A {run.job_name} is in progress (run {run.run_id[:8]}). The next one picks up what it misses."
    return None
