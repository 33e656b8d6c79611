"""Which of Dagster's runs brought a change, as far as an instance of Dagster on this machine knows."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from totes_dagster.latency.timings import Change, run_of
from totes_dagster.local.stack import stack_home
from totes_dagster.orchestration.run_records import launch_times, moving_runs

_LONGEST_RUN = timedelta(hours=1)


def dagster_homes() -> list[Path]:
    """Where instances of Dagster keep their records: that of `totes dev`, and that of the environment."""
    homes = [stack_home() / "dagster", *(Path(home) for home in [os.environ.get("DAGSTER_HOME")] if home)]
    return [home for home in dict.fromkeys(homes) if home.is_dir()]


def with_run(changes: Sequence[Change], home: Path) -> list[Change]:
    """The changes with the run that brought each, for those of which none is known yet and this instance knows one.

    The clocks of Dagster's processes and of its storage are taken to agree with ours.

    Args:
        changes: in the order in which they were committed.
        home: folder of an instance of Dagster.
    """
    if not changes:
        return []
    runs = moving_runs(home, changes[0].committed_at - _LONGEST_RUN)
    found = [run_of(change.snapshot_at, runs) if change.snapshot_at else None for change in changes]
    launched = launch_times(home, {run.run_id for run in found if run})
    return [
        replace(change, run=replace(run, launched_at=launched[run.run_id])) if run and not change.run else change
        for change, run in zip(changes, found, strict=True)
    ]
