"""Run as a program: Dagster as it fails, in the home and with the settings that the environment names.

Its daemon evaluates the sensor, and its job runs in this process; both remember what happened as they always do.
"""

import logging
import sys

from dagster import DagsterInstance
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration

from totes_dagster.definitions import defs

_HERE = ModuleTarget("totes_dagster.definitions", attribute=None, working_directory=None, location_name="here")


def main() -> None:
    """Say how many ticks and runs failed."""
    with DagsterInstance.get() as instance:
        with create_test_daemon_workspace_context(_HERE, instance) as workspace:
            list(execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None))
        result = defs.resolve_job_def("refresh").execute_in_process(instance=instance, raise_on_error=False)
        ticks = [
            tick
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        failed = [tick for tick in ticks if tick.error and "LoginRefusedError" in tick.error.to_string()]
        sys.stdout.write(f"{len(failed)} failed ticks, success of the run: {result.success}\n")


if __name__ == "__main__":
    main()
