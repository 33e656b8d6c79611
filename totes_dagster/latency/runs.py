"""The Dagster run that loaded a change, as far as an instance on this machine has records of it.

Reading the records belongs to `orchestration/run_records.py`.
"""

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
    """The existing homes of Dagster instances: that of `totes dev`, and `DAGSTER_HOME`."""
    homes = [stack_home() / "dagster", *(Path(home) for home in [os.environ.get("DAGSTER_HOME")] if home)]
    return [home for home in dict.fromkeys(homes) if home.is_dir()]


def with_run(changes: Sequence[Change], home: Path) -> list[Change]:
    """The changes, each with the run that loaded it, if it has none yet and this instance has a record of one.

    The clocks of Dagster's processes and of its storage are assumed to agree with ours.

    Args:
        changes: in the order of their commits.
        home: home of a Dagster instance.
    """
    if not changes:
        return []
    runs = moving_runs(home, changes[0].committed_at - _LONGEST_RUN)
    found = [run_of(change.loaded_at, runs) if change.loaded_at else None for change in changes]
    launched = launch_times(home, {run.run_id for run in found if run})
    return [
        replace(change, run=replace(run, launched_at=launched[run.run_id])) if run and not change.run else change
        for change, run in zip(changes, found, strict=True)
    ]
