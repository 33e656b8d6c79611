"""How long Dagster keeps the platform's runs: the job that removes old ones, and the schedule that starts it.

How a run is removed is in `internals/run_history.py`. Dagster itself removes ticks of sensors and schedules, as
configured by `retention` in `dagster.yaml`. Runs without `JOB_TAG`, and events of assets that are not the platform's,
are left alone: others may need them.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    Config,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    OpExecutionContext,
    RunConfig,
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    job,
    op,
    schedule,
)
from pydantic import Field

from totes_dagster.feeds.declared import FEEDS
from totes_dagster.orchestration.assets.views import view_assets
from totes_dagster.orchestration.failures import run_step
from totes_dagster.orchestration.feeds.assets import keys_of
from totes_dagster.orchestration.internals.run_history import History, Run, unsupported
from totes_dagster.orchestration.jobs import JOB_TAG, refresh, run_in_progress
from totes_dagster.orchestration.specs import key_of_ingested, key_of_loaded, key_of_processed, key_of_source
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES

_ENDED = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}

RUNS_AT_ONCE = 100
"""Runs that are removed before the time limit is checked again; they take a few seconds at most."""

_MEGABYTE = 1_000_000

ASSETS = [
    *(key_of(table) for key_of in (key_of_source, key_of_ingested) for table in SOURCE_TABLES),
    *(key_of(star) for key_of in (key_of_processed, key_of_loaded) for star in STAR_TABLES),
    *(key for feed in FEEDS.values() for key in keys_of(feed).values()),
    *(spec.key for spec in view_assets),
]
"""All assets of the platform."""


@dataclass(frozen=True)
class Limit:
    """How much is kept of one kind of runs: the newest `runs`, unless they ended more than `days` days ago."""

    runs: int
    days: int


class PruneConfig(Config):
    """How many runs of each job to keep, and for how long. The newest run of each kind is always kept."""

    refreshes: int = Field(default=1_000, ge=1, description="Successful refreshes (and prunes) to keep.")
    refresh_days: int = Field(default=7, ge=0, description="Days to keep them for; events without a run, too.")
    failures: int = Field(default=1_000, ge=1, description="Failed and cancelled runs of each job to keep.")
    failure_days: int = Field(default=30, ge=0, description="Days to keep them for.")
    others: int = Field(default=1_000, ge=1, description="Successful runs of each other job to keep.")
    other_days: int = Field(default=90, ge=0, description="Days to keep them for.")
    minutes: float = Field(default=10, ge=0, description="Minutes after which to leave the rest to the next prune.")

    def limit(self, job: str, *, success: bool) -> Limit:
        """The limit for the runs whose tag names a job, by whether they succeeded."""
        if not success:
            return Limit(self.failures, self.failure_days)
        if job in {refresh.name, prune.name}:
            return Limit(self.refreshes, self.refresh_days)
        return Limit(self.others, self.other_days)


def due(runs: Iterable[Run], held: Collection[str], config: PruneConfig, now: datetime) -> list[str]:
    """Choose the runs to remove.

    Args:
        runs: all runs of the platform's jobs.
        held: ids of runs that Dagster needs, whatever their age.
        config: how many of the others to keep, and for how long.
        now: the current time, with a time zone.

    Returns:
        Their ids, the oldest first. Runs in progress are not among them.
    """
    newer: Counter[tuple[str, bool]] = Counter()
    remove = []
    ended = [run for run in runs if run.status in _ENDED]
    for run in sorted(ended, key=lambda run: run.updated_at, reverse=True):
        kind = run.job, run.status is DagsterRunStatus.SUCCESS
        limit = config.limit(run.job, success=kind[1])
        old = newer[kind] and now - run.updated_at > timedelta(days=limit.days)
        if (old or newer[kind] >= limit.runs) and run.run_id not in held:
            remove.append(run.run_id)
        newer[kind] += 1
    return remove[::-1]


def history_of(instance: DagsterInstance) -> History:
    """The platform's own runs and assets of an instance.

    Raises:
        HistoryStorageError: the instance keeps its runs neither in SQLite nor in PostgreSQL.
    """
    return History(instance, JOB_TAG, ASSETS)


@op(description="Removes runs that are too many or too old, oldest first, with their events, check results and logs.")
def prune_history(context: OpExecutionContext, config: PruneConfig) -> None:
    """Remove runs that are due, batch by batch, until none is left or the time is up."""
    pruned = run_step(lambda: _prune(history_of(context.instance), config, context.log.info))
    context.log.info(
        f"Removed {pruned.removed:,} runs, {pruned.runless:,} events without a run, and "
        f"{pruned.freed / _MEGABYTE:,.1f} MB of files. {pruned.left:,} runs are left for the next prune."
    )
    context.add_output_metadata(
        {
            "runs_removed": pruned.removed,
            "runs_left": pruned.left,
            "runless_events_removed": pruned.runless,
            "bytes_of_files_removed": pruned.freed,
        }
    )


@dataclass(frozen=True)
class _Pruned:
    removed: int
    left: int
    runless: int
    freed: int


def _prune(history: History, config: PruneConfig, log: Callable[[str], None]) -> _Pruned:
    end = time.monotonic() + 60 * config.minutes
    now = datetime.now(UTC)
    removed = freed = 0
    runless = history.remove_runless(now - timedelta(days=config.refresh_days))
    remove = due(history.runs(), history.held(), config, now)
    while removed < len(remove):
        batch = remove[removed : removed + RUNS_AT_ONCE]
        freed += history.remove(batch)
        removed += len(batch)
        log(f"Removed {removed:,} of {len(remove):,} runs.")
        if time.monotonic() >= end:
            break
    return _Pruned(removed, len(remove) - removed, runless, freed)


@job(
    # Shown in the launchpad, where it can be changed for one run.
    config=RunConfig(ops={prune_history.name: PruneConfig()}),
    description="Remove old runs from Dagster's storage, with all that belongs to them, so that it does not grow.",
    tags={JOB_TAG: "prune"},
)
def prune() -> None:
    """Remove old runs."""
    prune_history()


@schedule(
    job=prune,
    cron_schedule="7 * * * *",  # when no other schedule is due
    default_status=DefaultScheduleStatus.RUNNING,
    description="Hourly: removes old runs from Dagster's storage.",
)
def prune_hourly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Request a prune unless one is in progress, or Dagster's storage is of a kind that it cannot prune."""
    reason = unsupported(context.instance) or run_in_progress(context.instance, prune.name)
    return SkipReason(reason) if reason else RunRequest()
