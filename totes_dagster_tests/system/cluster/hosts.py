"""Clusters of these tests: a scheduler, and workers that are started one by one, each with its own environment."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from totes_dagster.cluster.credentials import Credentials, new_credentials, write_credentials
from totes_dagster.cluster.programs import environment_of, scheduler_command, worker_command
from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config.platform import Platform
from totes_dagster.errors import ClusterError
from totes_dagster.runtime.processes import ProcessGroup
from totes_dagster_tests.ports import free_port

IMPATIENT = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": "5s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
}
"""Settings of Dask with which what is lost is given up soon."""

PATIENCE = 120


def _settings_of(platform: Platform) -> dict[str, str]:
    """The environment of a machine that works on a platform."""
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOTES", "WAREHOUSE", "DAGSTER"))
    }
    return {
        **others,
        "TOTESYS_URL": platform.source.url,
        "WAREHOUSE_URL": platform.warehouse.database.url,
        "WAREHOUSE_SCHEMA": platform.warehouse.schema,
        "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
        "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
    }


@dataclass
class Hosts:
    """The machines of a cluster; here mostly processes of this one.

    Attributes:
        platform: what they work on, for the process that leads, too.
        folder: where their logs are.
        host: the scheduler's address.
        port: the scheduler's port.
        credentials: what they prove to one another.
        programs: what was started, by name.
    """

    platform: Platform
    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    credentials: Credentials = field(default_factory=new_credentials)
    programs: dict[str, ProcessGroup] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.port = self.port or free_port()

    @property
    def cluster(self) -> Cluster:
        """The cluster, for a process that leads."""
        return Cluster(f"tls://{self.host}:{self.port}", lambda: self.credentials)

    def leading(self) -> Platform:
        """The platform, whose large batches these machines share."""
        return replace(self.platform, cluster=self.cluster)

    def environment(self) -> dict[str, str]:
        """The environment of a machine that works on the platform."""
        return _settings_of(self.platform)

    def settings(self) -> dict[str, str]:
        """The environment of a process that leads."""
        folder = self.folder / "credentials"
        write_credentials(self.credentials, folder)
        cluster = {"TOTES_WORKERS": self.cluster.address, "TOTES_WORKERS_CREDENTIALS": str(folder)}
        return {**_settings_of(self.platform), **cluster}

    def start_scheduler(self, *prefix: str) -> int:
        """Start the scheduler; return the id of its process."""
        return self._start("scheduler", [*prefix, *scheduler_command(host=self.host, port=self.port)], IMPATIENT)

    def start_workers(
        self, environment: Mapping[str, str] | None = None, *prefix: str, workers: int = 1
    ) -> list[ProcessGroup]:
        """Start workers, each in a process of its own, and wait until they are there."""
        before, command = self._count(), [*prefix, *worker_command(self.cluster.address)]
        names = [f"worker-{next(self._numbers)}" for _ in range(workers)]
        for name in names:
            self._start(name, command, {**IMPATIENT, **(environment or {})})
        eventually(lambda: self._count() >= before + workers, "the workers to be there")
        return [self.programs[name] for name in names]

    def start_other_worker(self, environment: Mapping[str, str]) -> ProcessGroup:
        """Start a worker from another folder's code, and wait until the scheduler knows it."""
        program = [
            sys.executable,
            "-c",
            "import os, sys; from totes_dagster.cluster.programs import worker_command as command; "
            "os.execv(sys.executable, command(sys.argv[1]))",
            self.cluster.address,
        ]
        self._start("worker-of-others", program, {**IMPATIENT, **environment})
        worker = self.programs["worker-of-others"]
        eventually(lambda: "Registered to" in worker.log.read_text(), "the worker to be there")
        return worker

    def stop(self) -> None:
        """Kill everything."""
        for program in self.programs.values():
            program.kill()

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> int:
        program = self.programs[name] = ProcessGroup(self.folder / f"{name}.log")
        program.start(command, environment_of(self.credentials, {**_settings_of(self.platform), **environment}))
        assert program.process_id
        return program.process_id

    def _count(self) -> int:
        with suppress(ClusterError):
            return self.cluster.workers()
        return 0


@contextmanager
def hosts_of(platform: Platform, folder: Path) -> Iterator[Hosts]:
    """A cluster without any machine yet; all that was started is killed at the end."""
    hosts = Hosts(platform, folder)
    try:
        yield hosts
    finally:
        hosts.stop()


def eventually(is_so: object, what: str) -> None:
    """Wait until something is so."""
    assert callable(is_so)
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"Waited for {what}."
        time.sleep(0.05)


def thaw(process: int) -> None:
    """Let a frozen process go on."""
    os.kill(process, signal.SIGCONT)
