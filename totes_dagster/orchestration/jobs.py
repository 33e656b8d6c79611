"""The two jobs that move data: what each runs, and whether one of them is in progress.

When they run is decided in `sensors.py` and `schedules.py`.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
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

from totes_dagster.errors import TotesError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.orchestration.checks.loading import health_specs
from totes_dagster.orchestration.checks.reconciliation import matches_source
from totes_dagster.orchestration.checks.source import contract_specs
from totes_dagster.orchestration.checks.star import sound_before_load
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.specs import key_of_ingested, key_of_loaded, key_of_processed
from totes_dagster.schema.registry import stars_from
from totes_dagster.schema.totesys import SOURCE_TABLES

JOB_TAG = "totes/job"
"""Tag of the platform's own runs, with the name of their job. Other code locations may have jobs of the same names."""


CHANGED = "totes/changed"
"""Tag of a run with what changed, and so what it is for."""

_NAMES_IN_TAG = 4


def changes_tag(changed: Sequence[str]) -> str:
    """What changed, short enough for a column of the list of runs."""
    named = ", ".join(changed[:_NAMES_IN_TAG])
    return named if len(changed) <= _NAMES_IN_TAG else f"{named}, and {len(changed) - _NAMES_IN_TAG} more"


def assets_affected_by(tables: Collection[str]) -> list[AssetKey]:
    """The assets that a refresh changes when these source tables have changed."""
    stars = stars_from(tables)
    return [
        *map(key_of_ingested, tables),
        *(key_of(star) for key_of in (key_of_processed, key_of_loaded) for star in stars),
    ]


# By key: others may have groups of the same names.
_ASSETS = AssetSelection.assets(*assets_affected_by(list(SOURCE_TABLES)))

_RECONCILIATION = AssetSelection.checks(matches_source)

_IN_PROGRESS = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

PATIENCE = timedelta(hours=1)
"""After this, a run that is still in progress counts as dead, unless it was allowed more. If it is alive after all, no
harm is done: of two ingests, one wins each batch, and two loads wait for one another."""

_ALLOWED = "dagster/max_runtime"
"""Dagster's tag for the seconds after which it ends a run; without it, the instance's own limit applies."""

_ROWS_A_SECOND = 10_000
"""How many rows of the source a run passes at least: a thirtieth of what two cores do."""

_UNCOUNTED = timedelta(days=1)
"""What a run is allowed before anybody has counted the source."""

_ZONES = timedelta(hours=14)
"""The most that a time zone differs from UTC."""

refresh = define_asset_job(
    "refresh",
    selection=_ASSETS - _RECONCILIATION,
    description="Bring the warehouse up to date: ingest what changed, remodel it, load it.",
    # The sensor tries again after a pause; an instance that retries runs by default would not wait.
    tags={JOB_TAG: "refresh", "dagster/max_retries": "0"},
)

reconcile = define_asset_job(
    "reconcile",
    selection=_ASSETS | _RECONCILIATION,
    description="Bring the warehouse up to date, compare every row of it with the source, and repair what differs.",
    tags={
        JOB_TAG: "reconcile",
        # If it fails, Dagster runs it once more, from the start: it compares with what the source holds then.
        "dagster/max_retries": "1",
        "dagster/retry_strategy": "ALL_STEPS",
        "dagster/retry_on_asset_or_op_failure": "true",
    },
)


def run_in_progress(instance: DagsterInstance, *jobs: str) -> str | None:
    """A sentence about a run of one of these jobs of the platform that is in progress; None if there is none."""
    records = instance.get_run_records(RunsFilter(statuses=_IN_PROGRESS, tags={JOB_TAG: list(jobs)}))
    now = datetime.now(UTC)
    for record in records:
        run = record.dagster_run
        allowed = timedelta(seconds=int(run.tags.get(_ALLOWED, PATIENCE.total_seconds())))
        if not seems_dead(record.start_time, record.create_timestamp.replace(tzinfo=UTC), now, allowed):
            return f"A {run.job_name} is in progress (run {run.run_id[:8]}). The next one picks up what it misses."
    return None


def allowance(ingestion: IngestionIOManager) -> dict[str, str]:
    """Tags of a run that allow it more than the instance's limit, if the source is so large that it may need more.

    Args:
        ingestion: the ingestion zone, whose newest batch says how large the source was. Companies of the embedded stack
            are small.
    """
    if not ingestion.url:
        return {}
    with suppress(TotesError):  # which the run will fail with, too, and say
        newest = BatchLog(ingestion.zone).newest()
        rows = sum(entry.census.rows for entry in newest.tables.values()) if newest else None
        needed = _UNCOUNTED if rows is None else timedelta(seconds=rows / _ROWS_A_SECOND)
        if needed > PATIENCE:
            return {_ALLOWED: str(round(needed.total_seconds()))}
    return {}


def seems_dead(started: float | None, created: datetime, now: datetime, allowed: timedelta = PATIENCE) -> bool:
    """Whether nobody seems to be at work any more on a run that has not ended.

    Args:
        started: when it started, in seconds since the epoch; None if it has not.
        created: when it was created. PostgreSQL stores this in its own time zone, so it may be hours off.
        now: the current time.
        allowed: how long it may take.
    """
    if started:
        return now.timestamp() - started >= allowed.total_seconds()
    return now - created >= allowed + _ZONES


def checks_affected_by(tables: Collection[str]) -> list[AssetCheckKey]:
    """The checks of a refresh that belong to `assets_affected_by`, and the one of the source as a whole."""
    assets = set(assets_affected_by(tables))
    specs = (*sound_before_load.check_specs, *health_specs)
    return [*(spec.key for spec in contract_specs), *(spec.key for spec in specs if spec.asset_key in assets)]
