"""A cluster on this machine: a scheduler, and workers beside it, until Ctrl-C."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from totes_dagster.cluster.credentials import Credentials
from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config import settings
from totes_dagster.errors import ClusterError, ClusterStartError
from totes_dagster.runtime.processes import ProcessGroup

HOST = "127.0.0.1"

_TOTES = (sys.executable, "-m", "totes_dagster.cli.commands")

_POLL_SECONDS = 0.1


class LocalCluster:
    """The programs of a cluster on this machine.

    Args:
        credentials: what they prove to one another.
        folder: where these are, and where the programs log.
        port: where the scheduler listens, on this machine only.
    """

    def __init__(self, credentials: Credentials, folder: Path, *, port: int) -> None:
        self.cluster = Cluster(f"tls://{HOST}:{port}", lambda: credentials)
        self._folder = folder
        self._port = port
        self._scheduler = ProcessGroup(folder / "scheduler.log")
        self._workers = ProcessGroup(folder / "workers.log")

    @contextmanager
    def running(self, workers: int, environment: Mapping[str, str] = os.environ) -> Iterator[Cluster]:
        """The cluster, for as long as the block runs.

        Args:
            workers: how many.
            environment: in which they run, with the settings of the databases and the lake.

        Raises:
            ClusterStartError: a program ended before all workers were there.
        """
        given = {**environment, settings.WORKERS_CREDENTIALS: str(self._folder)}
        listening = ["--host", HOST, "--port", str(self._port)]
        try:
            self._scheduler.start([*_TOTES, "cluster", "scheduler", *listening], given)
            self._workers.start([*_TOTES, "cluster", "worker", self.cluster.address, "--workers", str(workers)], given)
            while self._count() < workers:
                self.check()
                sleep(_POLL_SECONDS)
            yield self.cluster
        finally:
            self.cluster.close()
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
