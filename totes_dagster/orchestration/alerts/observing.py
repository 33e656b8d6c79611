"""What a look at Dagster's instance finds: runs that ended, tables that are not fresh, checks that fail.

Freshness is computed here by the rule that Dagster's own daemon follows, and not read from what that daemon wrote: it
may be switched off, says nothing of tables that were never loaded, and would let an alert wait for two daemons.
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
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from totes_dagster.orchestration.alerts.incidents import Ended, Incident, Kind, Look, Watch, reads_from, stale_tables
from totes_dagster.orchestration.alerts.reasons import reason_of, why_failed
from totes_dagster.orchestration.alerts.wording import moment

WAREHOUSE = "warehouse"

_ENDS = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
"""In this order: of a success and a failure at the same moment, the failure is to be told of."""

_BEING_EVALUATED = "PLANNED"  # of a check
AT_ONCE = 32


@dataclass(frozen=True)
class Expectations:
    """What is expected of the platform.

    Attributes:
        tables: the assets that are to be fresh.
        window: how old they may be.
        checks: the checks that are to pass, or to warn at most.
        refresh: the job that keeps the tables fresh.
    """

    tables: Sequence[AssetKey]
    window: timedelta
    checks: Sequence[AssetCheckKey]
    refresh: str


def look(instance: DagsterInstance, watch: Watch | None, at: float, expected: Expectations) -> Look:
    """One look.

    Args:
        instance: what remembers the runs.
        watch: what the look before left.
        at: the moment.
        expected: what to look for.
    """
    loaded = last_loads(instance, expected.tables)
    window = expected.window.total_seconds()
    stale, missing = stale_tables(loaded, watch.missing if watch else {}, at, window)
    freshness = _not_fresh(instance, stale, loaded, at, expected.refresh) if stale else None
    conditions = {(Kind.FRESHNESS, WAREHOUSE): freshness, **failing_checks(instance, expected.checks)}
    return Look(at, ended_since(instance, reads_from(watch, at)), conditions, missing)


def ended_since(instance: DagsterInstance, since: float) -> list[Ended]:
    """Runs of any job that succeeded or failed since a moment."""
    return [
        Ended(
            run_id=record.dagster_run.run_id,
            job=record.dagster_run.job_name,
            succeeded=status is DagsterRunStatus.SUCCESS,
            at=_end(record),
        )
        for status in _ENDS
        for record in _newest(instance, status, since)
        if _end(record) >= since
    ]


def last_loads(instance: DagsterInstance, tables: Sequence[AssetKey]) -> dict[str, float | None]:
    """When each asset was materialised last."""
    found = {record.asset_entry.asset_key: record.asset_entry for record in instance.get_asset_records(tables)}
    entries = {key: found[key].last_materialization if key in found else None for key in tables}
    return {key.path[-1]: entry.timestamp if entry else None for key, entry in entries.items()}


def failing_checks(
    instance: DagsterInstance, checks: Sequence[AssetCheckKey]
) -> Mapping[tuple[Kind, str], Incident | None]:
    """Of each check, by its name: the tables of which it failed as an error, in one incident; None if there are none.

    A check that is being evaluated, or whose run died, says nothing either way, unless another table's failed.
    """
    by_name: dict[str, list[AssetCheckExecutionRecord]] = defaultdict(list)
    for record in instance.event_log_storage.get_latest_asset_check_execution_by_key(checks).values():
        by_name[record.key.name].append(record)
    conditions = {}
    for name, records in by_name.items():
        failed = [record for record in records if _is_error(record)]
        if failed or all(record.status.value != _BEING_EVALUATED for record in records):
            conditions[Kind.CHECK, name] = _failed_check(name, failed) if failed else None
    return conditions


def _newest(instance: DagsterInstance, status: DagsterRunStatus, since: float) -> Sequence[RunRecord]:
    """The runs that ended last; all that ended since a moment, and perhaps some more.

    By order, and not by a filter: PostgreSQL keeps the moments that Dagster filters by in its own time zone.
    """
    limit = AT_ONCE
    while True:
        records = instance.get_run_records(RunsFilter(statuses=[status]), limit=limit, order_by="update_timestamp")
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
    never = "never" if loaded[oldest] is None else f"last at {moment(stale[oldest], at)}"
    run_id, cause = _state_of(instance, refresh, at)
    why = reason_of(f"{oldest}{others}: loaded {never}. {cause}")
    return Incident(kind=Kind.FRESHNESS, subject=WAREHOUSE, since=stale[oldest], run_id=run_id, failures=0, why=why)


def _state_of(instance: DagsterInstance, job: str, at: float) -> tuple[str, str]:
    """The newest run of a job, and what it says of why there is no load."""
    records = instance.get_run_records(RunsFilter(job_name=job), limit=1)
    if not records:
        return "", f"There was no {job}: see that its sensor and its schedule are on."
    record, run = records[0], records[0].dagster_run
    if run.status is DagsterRunStatus.FAILURE:
        return run.run_id, f"The last {job} failed at {moment(_end(record), at)}: {why_failed(instance, run.run_id)[1]}"
    begun = moment(record.create_timestamp.timestamp(), at)
    if run.is_finished:
        return run.run_id, f"The last {job} began at {begun}: see that its sensor, its schedule and the daemon are on."
    return run.run_id, f"The {job} that was requested at {begun} has not ended yet."


def _is_error(record: AssetCheckExecutionRecord) -> bool:
    evaluation = record.evaluation
    if record.status.value == _BEING_EVALUATED or evaluation is None:
        return False
    return not evaluation.passed and evaluation.severity is AssetCheckSeverity.ERROR


def _failed_check(name: str, failed: Iterable[AssetCheckExecutionRecord]) -> Incident:
    """One incident of all the tables of which a check failed, told by the first of them."""
    first, *others = sorted(failed, key=lambda record: record.key.asset_key)
    evaluation = first.evaluation
    said = (evaluation.description if evaluation else None) or "It failed."
    more = f" So did {_more(len(others))}." if others else ""
    return Incident(
        kind=Kind.CHECK,
        subject=name,
        since=min(record.event.timestamp if record.event else record.create_timestamp for record in [first, *others]),
        run_id=first.run_id,
        failures=0,
        why=reason_of(f"{first.key.asset_key.path[-1]}: {said}{more}"),
    )


def _more(tables: int) -> str:
    return f"{tables} more table{'s' * (tables > 1)}"
