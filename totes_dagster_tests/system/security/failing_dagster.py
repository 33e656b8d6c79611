"""Run as a program: Dagster as it fails, in the home and with the settings that the environment names.

Its daemon evaluates the sensors, one of which requests a run; and its job runs in this process. Both remember what
happened as they always do.
"""

import logging
import sys

from dagster import DagsterInstance, RunsFilter
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration

from totes_dagster.definitions import defs

_HERE = ModuleTarget("totes_dagster.definitions", attribute=None, working_directory=None, location_name="here")


def main() -> None:
    """Say how many runs were requested for the failure, and whether one succeeds."""
    with DagsterInstance.get() as instance:
        with create_test_daemon_workspace_context(_HERE, instance) as workspace:
            list(execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None))
        requested = instance.get_runs(RunsFilter(tags={"totes/changed": "LoginRefusedError"}))
        result = defs.resolve_job_def("refresh").execute_in_process(instance=instance, raise_on_error=False)
        sys.stdout.write(f"{len(requested)} runs requested, success of the run: {result.success}\n")


if __name__ == "__main__":
    main()
