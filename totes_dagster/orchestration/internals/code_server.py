"""Dagster's programs with three differences: runs start warm, sensors soon, and `totes dev` alone reads `.env`.

As in Dagster, each run is a separate process. But it is forked from a process that has imported everything, instead of
being started from scratch: importing takes three seconds, forking a few milliseconds. Everything else, such as
terminating a run and noticing that its process died, is Dagster's own code.

A code location selects this server with `executable_path` in `workspace.yaml`. Dagster then runs `totes-code-server -m
dagster api grpc …` instead of `python -m dagster api grpc …`.

Each of Dagster's processes reads `.env` when it starts. `totes dev` has already read it for all of them, and decided
what to run: later changes to the file apply to the next `totes dev`.

Dagster's daemon starts evaluations of sensors every five seconds. A change that is committed just after an evaluation
has requested a run waits that long, several times what its refresh takes. The daemon of `totes dev` starts them twice a
second; how often a sensor is evaluated remains its own minimum interval.

Each difference rests on a private name. If Dagster lacks one, a warning says so, and Dagster's own behaviour remains.

Tried with Dagster 1.13.27.
"""

import logging
import multiprocessing
import os
import runpy
import sys
from multiprocessing import context, forkserver
from typing import Any

from dagster import __version__
from dagster._cli import main as dagster_command
from dagster._cli import utils as dagster_commands
from dagster._grpc import server

from totes_dagster.config.env_file import ALREADY_READ

logger = logging.getLogger(__name__)

EVALUATIONS_EVERY = 0.5
"""Seconds between two looks of the daemon for sensors that are due."""


class WarmApiServer(server.DagsterApiServer):
    """Dagster's gRPC servicer of a code location, with runs forked from a process that has imported everything."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(getattr(self, "_mp_ctx", None), context.BaseContext):
            logger.warning(
                "Runs start cold, and each takes three seconds longer, because the code server of Dagster %s has no "
                "multiprocessing context `_mp_ctx`. Use the version of Dagster in the lock files.",
                __version__,
            )
            return
        forking: Any = multiprocessing.get_context("forkserver")
        forking.set_forkserver_preload(["totes_dagster.orchestration.internals.preloaded"])
        # Dagster hard-codes "spawn" here.
        self._mp_ctx = forking
        # Start it now, while this process has the environment that Dagster gives to runs, not with the first run.
        forkserver.ensure_running()


def main() -> None:
    """Do what `dagster`, or `python -m` with one of its modules, does; but code servers that it starts are warm."""
    server.DagsterApiServer = WarmApiServer  # type: ignore[misc, assignment]  # where the command looks it up
    if os.environ.get(ALREADY_READ):
        _leave_env_file_alone()
    if sys.argv[1:2] == ["-m"]:
        _, module, *sys.argv[1:] = sys.argv[1:]
        if module == "dagster._daemon":
            _start_evaluations_soon()
        if module != "dagster":
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return
    if sys.argv[1:2] in (["code-server"], ["dev"]):
        # These commands start Dagster's other programs with `sys.executable`.
        sys.executable = sys.argv[0]
    dagster_command()  # type: ignore[no-untyped-call]  # Dagster leaves this one untyped


def _start_evaluations_soon() -> None:
    from dagster._daemon import sensor  # noqa: PLC0415 - only the daemon needs it

    if not hasattr(sensor, "MIN_INTERVAL_LOOP_TIME"):
        logger.warning(
            "A change that follows another is noticed up to five seconds later, because the daemon of Dagster %s has "
            "no `MIN_INTERVAL_LOOP_TIME`. Use the version of Dagster in the lock files.",
            __version__,
        )
        return
    sensor.MIN_INTERVAL_LOOP_TIME = EVALUATIONS_EVERY  # type: ignore[assignment]  # it declares a whole number


def _leave_env_file_alone() -> None:
    if not hasattr(dagster_commands, "get_env_var_dict"):
        logger.warning(
            "Each of Dagster's processes reads `.env` again, so changes to it do not wait for the next `totes dev`, "
            "because Dagster %s has no `dagster._cli.utils.get_env_var_dict`. "
            "Use the version of Dagster in the lock files.",
            __version__,
        )
        return
    dagster_commands.get_env_var_dict = lambda base_dir: {}  # noqa: ARG005 - where the commands look it up


if __name__ == "__main__":
    main()
