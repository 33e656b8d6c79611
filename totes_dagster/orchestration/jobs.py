"""The two jobs that move data: what each runs, and whether one of them is in progress.

When they run is decided in `sensors.py` and `schedules.py`.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    RunsFilter,
    define_asset_job,
)

from totes_dagster.orchestration.checks.loading import health_specs
from totes_dagster.orchestration.checks.reconciliation import matches_source
from totes_dagster.orchestration.checks.source import contract_specs
from totes_dagster.orchestration.checks.star import sound_before_load
from totes_dagster.orchestration.specs import key_of_ingested, key_of_loaded, key_of_processed
from totes_dagster.schema.registry import stars_from

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
    tags={JOB_TAG: "reconcile"},
)


def run_in_progress(instance: DagsterInstance) -> str | None:
    """A sentence about a refresh or a reconciliation that is in progress; None if there is none."""
    moving = RunsFilter(
        statuses=_IN_PROGRESS,
        tags={JOB_TAG: [refresh.name, reconcile.name]},
        created_after=datetime.now(UTC) - PATIENCE,
    )
    for run in instance.get_runs(moving, limit=1):
        return f"A {run.job_name} is in progress (run {run.run_id[:8]}). The next one picks up what it misses."
    return None


def assets_affected_by(tables: Collection[str]) -> list[AssetKey]:
    """The assets that a refresh changes when these source tables have changed."""
    stars = stars_from(tables)
    return [
        *map(key_of_ingested, tables),
        *(key_of(star) for key_of in (key_of_processed, key_of_loaded) for star in stars),
    ]


def checks_affected_by(tables: Collection[str]) -> list[AssetCheckKey]:
    """The checks of a refresh that belong to `assets_affected_by`, and the one of the source as a whole."""
    assets = set(assets_affected_by(tables))
    specs = (*sound_before_load.check_specs, *health_specs)
    return [*(spec.key for spec in contract_specs), *(spec.key for spec in specs if spec.asset_key in assets)]
