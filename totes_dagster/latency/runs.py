"""Which of Dagster's runs brought a change, as far as an instance of Dagster on this machine knows."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from totes_dagster.latency.timings import Change, Run, run_of
from totes_dagster.local.stack import stack_home

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

_LONGEST_RUN = timedelta(hours=1)


def dagster_homes() -> list[Path]:
    """Where instances of Dagster keep their records: that of `totes dev`, and that of the environment."""
    homes = [stack_home() / "dagster", *(Path(home) for home in [os.environ.get("DAGSTER_HOME")] if home)]
    return [home for home in dict.fromkeys(homes) if home.is_dir()]


def with_run(changes: Sequence[Change], home: Path) -> list[Change]:
    """The changes with the run that brought each, for those of which none is known yet and this instance knows one.

    Its moments are by the clocks of Dagster's processes and of its storage, which are taken to agree with ours.

    Args:
        changes: in the order in which they were committed.
        home: folder of an instance of Dagster.
    """
    from dagster import DagsterInstance  # noqa: PLC0415 - slow to import

    if not changes:
        return []
    with DagsterInstance.from_config(str(home)) as instance:
        runs = _runs(instance, changes[0].committed_at - _LONGEST_RUN)
        found = [run_of(change.snapshot_at, runs) if change.snapshot_at else None for change in changes]
        launched = {run.run_id: _launched_at(instance, run) for run in found if run}
    return [
        replace(change, run=replace(run, launched_at=launched[run.run_id])) if run and not change.run else change
        for change, run in zip(changes, found, strict=True)
    ]


def _runs(instance: "DagsterInstance", since: datetime) -> list[Run]:
    from dagster import RunsFilter  # noqa: PLC0415

    from totes_dagster.orchestration.automation import reconcile, refresh  # noqa: PLC0415

    return [
        _run(record, record.start_time)
        for job in (refresh, reconcile)
        for record in instance.get_run_records(RunsFilter(job_name=job.name, created_after=since))
        if record.start_time
    ]


def _run(record: "RunRecord", start_time: float) -> Run:
    return Run(
        run_id=record.dagster_run.run_id,
        requested_at=record.create_timestamp,
        launched_at=None,
        started_at=datetime.fromtimestamp(start_time, UTC),
        ended_at=datetime.fromtimestamp(record.end_time, UTC) if record.end_time else None,
    )


def _launched_at(instance: "DagsterInstance", run: Run) -> datetime | None:
    launched = instance.get_run_stats(run.run_id).launch_time
    return datetime.fromtimestamp(launched, UTC) if launched else None
