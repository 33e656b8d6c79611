"""When the runs of a Dagster instance on this machine were requested, launched, started and ended.

Times are from the clocks of Dagster's processes and of its storage.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import RunRecord


@dataclass(frozen=True)
class Run:
    """A run of Dagster's.

    Attributes:
        run_id: its id.
        requested_at: when it was created.
        launched_at: when its process was requested; None if Dagster did not record that.
        started_at: when its process began to work.
        ended_at: when it ended; None if it has not.
    """

    run_id: str
    requested_at: datetime
    launched_at: datetime | None
    started_at: datetime
    ended_at: datetime | None


def moving_runs(dagster_home: Path, since: datetime) -> list[Run]:
    """The refreshes and reconciliations that were created since a time and have started, without `launched_at`.

    Args:
        dagster_home: the folder of the instance.
        since: that time, with a time zone.
    """
    from dagster import DagsterInstance, RunsFilter  # noqa: PLC0415 - slow to import

    from totes_dagster.orchestration.jobs import JOB_TAG, reconcile, refresh  # noqa: PLC0415

    with DagsterInstance.from_config(str(dagster_home)) as instance:
        return [
            _run(record, record.start_time)
            for job in (refresh, reconcile)
            for record in instance.get_run_records(RunsFilter(tags={JOB_TAG: job.name}, created_after=since))
            if record.start_time
        ]


def launch_times(dagster_home: Path, run_ids: Iterable[str]) -> dict[str, datetime | None]:
    """When the processes of these runs were requested, by run id; None if Dagster did not record that."""
    from dagster import DagsterInstance  # noqa: PLC0415

    with DagsterInstance.from_config(str(dagster_home)) as instance:
        launched = {run_id: instance.get_run_stats(run_id).launch_time for run_id in run_ids}
    return {run_id: datetime.fromtimestamp(at, UTC) if at else None for run_id, at in launched.items()}


def _run(record: "RunRecord", start_time: float) -> Run:
    return Run(
        run_id=record.dagster_run.run_id,
        requested_at=record.create_timestamp,
        launched_at=None,
        started_at=datetime.fromtimestamp(start_time, UTC),
        ended_at=datetime.fromtimestamp(record.end_time, UTC) if record.end_time else None,
    )
