"""The programs of a cluster, which are Dask's: their command lines and their environment."""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from totes_dagster.cluster.code import resource
from totes_dagster.cluster.credentials import Credentials
from totes_dagster.errors import ClusterStartError

_SETTINGS = {
    # A worker that is not heard from for as long is lost, and what it was doing is given to another.
    "SCHEDULER__WORKER_TTL": "60s",
    "COMM__TIMEOUTS__TCP": "30s",
    # Work that no worker has taken for as long is done by the process that asked for it.
    "SCHEDULER__NO_WORKERS_TIMEOUT": "60s",
    # Work with which more workers than that were lost is given to no other.
    "SCHEDULER__ALLOWED_FAILURES": "3",
    # What looks at how busy the processes are: nobody reads it, and it takes 3 % of a core.
    "WORKER__PROFILE__ENABLED": "False",
    "ADMIN__TICK__INTERVAL": "1s",
    "ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
}


def check_installed() -> None:
    """Check that Dask is installed.

    Raises:
        ClusterStartError: it is not.
    """
    if find_spec("distributed") is None:
        raise ClusterStartError(
            "A cluster needs packages that are not installed. In a clone, `make cluster` installs them; elsewhere, pip "
            "install 'totes-dagster[cluster]'."
        )


def environment_of(credentials: Credentials, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a scheduler or a worker: the platform's settings, and Dask's.

    What the environment says of them has precedence, but for the credentials.
    """
    settings = {f"DASK_DISTRIBUTED__{name}": value for name, value in _SETTINGS.items()}
    # A worker is one core's: Arrow would use all of them, which other workers use.
    settings["OMP_NUM_THREADS"] = "1"
    return {**settings, **environment, **credentials.environment()}


def scheduler_command(*, host: str, port: int) -> list[str]:
    """The command line of a scheduler."""
    where = ["--host", host, "--port", str(port)] if host else ["--port", str(port)]
    return [*_dask("scheduler"), *where, "--protocol", "tls", "--no-dashboard"]


def worker_command(address: str) -> list[str]:
    """The command line of a worker, which does one piece of work at a time.

    Args:
        address: the scheduler's.
    """
    # Dask would manage the memory of results that it keeps, and there are none.
    alone = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--resources", f"{resource()}=1"]
    return [*_dask("worker"), address, *alone, "--protocol", "tls", "--no-dashboard"]


def _dask(program: str) -> list[str]:
    return [sys.executable, "-m", f"distributed.cli.dask_{program}"]
