"""Dagster itself at work on a company: its daemon, code server and runs, as processes to look at, and to kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRequest, SkipReason

from totes_dagster.definitions import build_defs
from totes_dagster.runtime.processes import die_with_parent
from totes_dagster_tests.resources import look, resources_of
from totes_dagster_tests.world import World

PATIENCE = 120.0  # seconds

DAEMON = ("dagster._daemon", "run")


@dataclass(frozen=True)
class Dagster:
    """An instance of Dagster with the project's own configuration, for a company that its daemon may follow."""

    world: World
    home: Path
    instance: DagsterInstance

    @property
    def resources(self) -> dict[str, Any]:
        return resources_of(self.world.platform)

    @contextmanager
    def process(self, *command: str) -> Iterator[psutil.Process]:
        """One of Dagster's programs, which is gone with all that it started when the block ends."""
        with (self.home / "dagster.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
            )
        started = psutil.Process(process.pid)
        try:
            yield started
        finally:
            kill_all(started)
            process.wait()

    def daemon(self) -> AbstractContextManager[psutil.Process]:
        """The daemon, with a code server as `totes dev` has it."""
        return self.process(*DAEMON, "-w", str(self.home / "workspace.yaml"))

    def _environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith(("TOTES", "WAREHOUSE"))}
        platform = self.world.platform
        return {
            **others,
            "DAGSTER_HOME": str(self.home),
            "TOTESYS_URL": platform.source.url,
            "WAREHOUSE_URL": platform.warehouse.database.url,
            "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
            "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
        }

    def look(self) -> RunRequest | SkipReason:
        """One evaluation of the sensor that requests refreshes."""
        found = look(self.instance, self.resources)
        assert isinstance(found, RunRequest | SkipReason)
        return found

    def refresh(self) -> None:
        """A run of Dagster's, in this process."""
        job = build_defs(self.resources).resolve_job_def("refresh")
        assert job.execute_in_process(instance=self.instance).success

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def wait_for(self, run_id: str, status: DagsterRunStatus) -> None:
        """Wait until a run has a status."""
        until(lambda: self.status(run_id) is status, f"the run {run_id} to be {status}")

    def worker(self, run_id: str) -> psutil.Process:
        """The process that is at work on a run."""
        for entry in self.instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
            if entry.dagster_event:
                pid = entry.dagster_event.engine_event_data.metadata.get("pid")
                if pid:
                    return psutil.Process(int(str(pid.value)))
        raise LookupError(f"No process has begun run {run_id}.")

    def create_run(self, status: DagsterRunStatus) -> str:
        """A run that nobody is at work on."""
        job = build_defs(self.resources).resolve_job_def("refresh")
        return self.instance.create_run_for_job(job, status=status, tags=job.tags).run_id


def until(condition: Callable[[], Any], waiting_for: str) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at, f"Waited in vain for {waiting_for}."
        time.sleep(0.1)


def kill_all(process: psutil.Process) -> None:
    """Kill a process and all that it started, as a power cut does."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=PATIENCE)


@contextmanager
def load_locked(world: World) -> Iterator[Callable[[], bool]]:
    """Let no load begin until the block ends; yields whether one waits."""
    with psycopg.connect(world.warehouse_url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended('totes_dagster.load.public', 0))")
        waiting = "select from pg_locks where locktype = 'advisory' and not granted"
        yield lambda: bool(connection.execute(waiting).rowcount)
