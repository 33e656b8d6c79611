"""Observes Dagster's instance: the platform's runs that ended, tables that are not fresh, checks that fail.

Other teams' code locations may share the instance, and have jobs of the same names. Runs are known by `JOB_TAG`.

Freshness is computed here, by the rule of Dagster's freshness daemon, and not read from what that daemon stores: it may
be switched off, ignores tables that were never loaded, and alerts would depend on two daemons.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dagster import (
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)

from totes_dagster.orchestration.alerts.incidents import (
    Ended,
    Incident,
    Kind,
    Observation,
    Watch,
    reads_from,
    stale_tables,
)
from totes_dagster.orchestration.alerts.reasons import reason_of, why_failed
from totes_dagster.orchestration.alerts.wording import moment
from totes_dagster.orchestration.internals.records import AssetCheckExecutionRecord, latest_check_executions
from totes_dagster.orchestration.jobs import JOB_TAG

WAREHOUSE = "warehouse"

_ENDS = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
"""In this order, so that of a success and a failure at the same time, the failure counts."""

_BEING_EVALUATED = "PLANNED"  # of a check

RUNS_READ_FIRST = 32
"""How many runs are read; four times as many whenever these do not reach back far enough."""


@dataclass(frozen=True)
class Expectations:
    """What is expected of the platform.

    Attributes:
        tables: the assets that must be fresh.
        window: how old they may be.
        checks: the checks that must not fail as an error.
        jobs: the jobs that must not fail.
        refresh: the one of them that keeps the tables fresh.
    """

    tables: Sequence[AssetKey]
    window: timedelta
    checks: Sequence[AssetCheckKey]
    jobs: Sequence[str]
    refresh: str


def observe(instance: DagsterInstance, watch: Watch | None, at: float, expected: Expectations) -> Observation:
    """Observe an instance once.

    Args:
        instance: the instance with the runs and materialisations.
        watch: the state that the last observation left; None before the first.
        at: the current time.
        expected: what is expected of the platform.
    """
    loaded = last_loads(instance, expected.tables)
    window = expected.window.total_seconds()
    stale, missing = stale_tables(loaded, watch.missing if watch else {}, at, window)
    freshness = _not_fresh(instance, stale, loaded, at, expected.refresh) if stale else None
    conditions = {(Kind.FRESHNESS, WAREHOUSE): freshness, **failing_checks(instance, expected.checks)}
    return Observation(at, ended_since(instance, expected.jobs, reads_from(watch, at)), conditions, missing)


def ended_since(instance: DagsterInstance, jobs: Sequence[str], since: float) -> list[Ended]:
    """Runs of the platform's jobs that succeeded or failed since a time."""
    return [
        Ended(
            run_id=record.dagster_run.run_id,
            job=record.dagster_run.tags[JOB_TAG],
            succeeded=status is DagsterRunStatus.SUCCESS,
            at=_end(record),
        )
        for status in _ENDS
        for record in _newest(instance, RunsFilter(statuses=[status], tags={JOB_TAG: jobs}), since)
        if _end(record) >= since
    ]


def last_loads(instance: DagsterInstance, tables: Sequence[AssetKey]) -> dict[str, float | None]:
    """When each asset was last materialised, by table name; None if never."""
    found = {record.asset_entry.asset_key: record.asset_entry for record in instance.get_asset_records(tables)}
    entries = {key: found[key].last_materialization if key in found else None for key in tables}
    return {key.path[-1]: entry.timestamp if entry else None for key, entry in entries.items()}


def failing_checks(
    instance: DagsterInstance, checks: Sequence[AssetCheckKey]
) -> Mapping[tuple[Kind, str], Incident | None]:
    """For each check name, one incident for all tables whose check failed as an error; None if there are none.

    A check name is left out while a check of one table is being evaluated, or its run has died, unless that of another
    table has failed.
    """
    by_name: dict[str, list[AssetCheckExecutionRecord]] = defaultdict(list)
    for record in latest_check_executions(instance, checks):
        by_name[record.key.name].append(record)
    conditions = {}
    for name, records in by_name.items():
        failed = [record for record in records if _is_error(record)]
        if failed or all(record.status.value != _BEING_EVALUATED for record in records):
            conditions[Kind.CHECK, name] = _failed_check(name, failed) if failed else None
    return conditions


def _newest(instance: DagsterInstance, runs: RunsFilter, since: float) -> Sequence[RunRecord]:
    """Those of some runs that ended last: all that ended since a time, and perhaps some more.

    Found by order rather than by a filter: PostgreSQL stores the times that Dagster filters by in its own time zone.
    """
    limit = RUNS_READ_FIRST
    while True:
        records = instance.get_run_records(runs, limit=limit, order_by="update_timestamp")
        if len(records) < limit or _end(records[-1]) < since:
            return records
        limit *= 4


def _end(record: RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def _not_fresh(
    instance: DagsterInstance,
    stale: Mapping[str, float],
    loaded: Mapping[str, float | None],
    at: float,
    refresh: str,
) -> Incident:
    oldest = min(stale, key=lambda name: stale[name])
    others = f" and {_more(len(stale) - 1)}" if len(stale) > 1 else ""
    last_load = "never loaded" if loaded[oldest] is None else f"last loaded at {moment(stale[oldest], at)}"
    run_id, cause = _newest_run(instance, refresh, at)
    why = reason_of(f"{oldest}{others}: {last_load}. {cause}")
    return Incident(kind=Kind.FRESHNESS, subject=WAREHOUSE, since=stale[oldest], run_id=run_id, failures=0, why=why)


def _newest_run(instance: DagsterInstance, job: str, at: float) -> tuple[str, str]:
    """The id of a job's newest run, and a sentence on why it did not load the tables."""
    records = instance.get_run_records(RunsFilter(tags={JOB_TAG: job}), limit=1)
    if not records:
        return "", f"There was no {job}: check that its sensor and its schedule are on."
    record, run = records[0], records[0].dagster_run
    if run.status is DagsterRunStatus.FAILURE:
        return run.run_id, f"The last {job} failed at {moment(_end(record), at)}: {why_failed(instance, run.run_id)[1]}"
    begun = moment(record.create_timestamp.timestamp(), at)
    if run.is_finished:
        return (
            run.run_id,
            f"The last {job} began at {begun}: check that its sensor, its schedule and the daemon are on.",
        )
    return run.run_id, f"The {job} that was requested at {begun} has not ended yet."


def _is_error(record: AssetCheckExecutionRecord) -> bool:
    evaluation = record.evaluation
    if record.status.value == _BEING_EVALUATED or evaluation is None:
        return False
    return not evaluation.passed and evaluation.severity is AssetCheckSeverity.ERROR


def _failed_check(name: str, failed: Iterable[AssetCheckExecutionRecord]) -> Incident:
    """One incident for all tables whose check failed, described by the first of them."""
    first, *others = sorted(failed, key=lambda record: record.key.asset_key)
    evaluation = first.evaluation
    description = (evaluation.description if evaluation else None) or "It failed."
    more = f" {_more(len(others))} failed too." if others else ""
    return Incident(
        kind=Kind.CHECK,
        subject=name,
        since=min(record.event.timestamp if record.event else record.create_timestamp for record in [first, *others]),
        run_id=first.run_id,
        failures=0,
        why=reason_of(f"{first.key.asset_key.path[-1]}: {description}{more}"),
    )


def _more(tables: int) -> str:
    return f"{tables} more table{'s' * (tables > 1)}"
