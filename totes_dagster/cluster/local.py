"""A cluster on this machine: a scheduler, and workers beside it, until Ctrl-C."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from totes_dagster.cluster.credentials import Credentials
from totes_dagster.cluster.programs import environment_of, scheduler_command, worker_command
from totes_dagster.cluster.spreading import Cluster
from totes_dagster.errors import ClusterError, ClusterStartError
from totes_dagster.runtime.processes import ProcessGroup

HOST = "127.0.0.1"

_POLL_SECONDS = 0.1


class LocalCluster:
    """The programs of a cluster on this machine.

    Args:
        credentials: what they prove to one another.
        port: where the scheduler listens, on this machine only.
        logs: the folder with what they print.
    """

    def __init__(self, credentials: Credentials, port: int, logs: Path) -> None:
        self.cluster = Cluster(f"tls://{HOST}:{port}", lambda: credentials)
        self._credentials = credentials
        self._port = port
        self._logs = logs
        self._scheduler = ProcessGroup(logs / "scheduler.log")
        self._workers = ProcessGroup(logs / "workers.log")

    @contextmanager
    def running(self, workers: int, environment: Mapping[str, str] = os.environ) -> Iterator[Cluster]:
        """The cluster, for as long as the block runs.

        Args:
            workers: how many.
            environment: in which they run, with the settings of the databases and the lake.

        Raises:
            ClusterStartError: a program ended before all workers were there.
        """
        given = environment_of(self._credentials, environment)
        try:
            self._scheduler.start(scheduler_command(host=HOST, port=self._port), given)
            self._workers.start(worker_command(self.cluster.address, workers=workers), given)
            while self._count() < workers:
                self.check()
                sleep(_POLL_SECONDS)
            yield self.cluster
        finally:
            self._workers.interrupt_all()
            self._scheduler.interrupt_all()

    def check(self) -> None:
        """Check that the programs run.

        Raises:
            ClusterStartError: one has ended.
        """
        for program in (self._scheduler, self._workers):
            if not program.is_running():
                last = program.log.read_text(errors="replace").splitlines()[-1:]
                raise ClusterStartError(f"A program of the cluster has ended: {' '.join(last)} See {program.log}.")

    def _count(self) -> int:
        with suppress(ClusterError):
            return self.cluster.workers()
        return 0
