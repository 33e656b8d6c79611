"""Dagster's code server, but for two things: its runs start warm, and in `totes dev` it does not read `.env` again.

A run is a process of its own, as ever, but forked from one that has imported everything, instead of started anew:
importing takes three seconds, forking a few milliseconds. All else, such as termination of a run and noticing that its
process died, is Dagster's own.

A code location asks for it by `executable_path` in `workspace.yaml`: Dagster then runs `totes-code-server -m dagster
api grpc …` where it would run `python -m dagster api grpc …`.

Each process of Dagster's reads `.env` by itself when it starts. `totes dev` has read it once for all of them, and
decided by it what to run: what the file says later is for the next `totes dev`.
"""

import multiprocessing
import os
import runpy
import sys
from multiprocessing import forkserver
from typing import Any

from dagster._cli import main as dagster_command
from dagster._cli import utils as dagster_commands
from dagster._grpc import server

from totes_dagster.config.env_file import ALREADY_READ


class WarmApiServer(server.DagsterApiServer):
    """Dagster's servicer of a code location, whose runs are forked from a process that has imported everything."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["totes_dagster.orchestration.internals.preloaded"])
        # Dagster says "spawn" here, and leaves no other way to say otherwise.
        self._mp_ctx = context
        # Now, when this process has the environment that Dagster gives to runs, and not when the first run starts.
        forkserver.ensure_running()


def main() -> None:
    """Do what `dagster` does, or `python -m` with one of its modules; a code server that it starts is a warm one."""
    server.DagsterApiServer = WarmApiServer  # type: ignore[misc, assignment]  # the command looks it up there
    if os.environ.get(ALREADY_READ):
        dagster_commands.get_env_var_dict = lambda base_dir: {}  # type: ignore[attr-defined]  # noqa: ARG005 - they look it up there
    if sys.argv[1:2] == ["-m"]:
        _, module, *sys.argv[1:] = sys.argv[1:]
        if module != "dagster":
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return
    if sys.argv[1:2] in (["code-server"], ["dev"]):
        # They start other programs of Dagster's by the Python that they believe to be.
        sys.executable = sys.argv[0]
    dagster_command()  # type: ignore[no-untyped-call]  # Dagster leaves this one untyped


if __name__ == "__main__":
    main()
