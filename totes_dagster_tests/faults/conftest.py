"""A server whose databases are copied by the hundred, the two scenes on it, and the matrix of faults."""

import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import boto3
import pytest

from totes_dagster.local.postgres import EmbeddedPostgres
from totes_dagster_tests.conftest import FAST_SETTINGS, Summaries
from totes_dagster_tests.end_to_end.conftest import object_store
from totes_dagster_tests.faults.matrix import Matrix
from totes_dagster_tests.faults.proxied import ObjectStore
from totes_dagster_tests.faults.scenes import Scene, first_load, rich_change

__all__ = ["object_store"]

_SETTINGS = {**FAST_SETTINGS, "synchronous_commit": "on"}
"""What is committed must outlive a crash of the server, though not one of the machine."""

_PREFIX = "totes-faults-"
_MEMORY = Path("/dev/shm")
_ENOUGH = 2**31  # bytes


@pytest.fixture(scope="session", autouse=True)
def processes() -> None:
    """Start the process that the others are forked from, and do not measure what is covered there: nobody would ask."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own, in memory where there is some: copying databases is most of what it does."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH
    for left in _MEMORY.glob(f"{_PREFIX}*"):
        # A run that was killed leaves its folder behind, and memory is not for keeping things. Who runs has the lease.
        with suppress(OSError), (left / "lease").open() as lease:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=_MEMORY if in_memory else None) as folder:
        with EmbeddedPostgres(Path(folder), _SETTINGS) as server:
            yield server
        with (Path(folder) / "server.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it has stopped, and writes no more files


@pytest.fixture(scope="session")
def store(object_store: str) -> ObjectStore:
    """A bucket on the run's object store."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    environment = {
        "AWS_ENDPOINT_URL": object_store,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-2",
        "AWS_TIMEOUT": "2s",
    }
    client = boto3.client(
        "s3",
        endpoint_url=object_store,
        region_name="eu-west-2",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="totes-faults", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    return ObjectStore(object_store, "totes-faults", environment)


@pytest.fixture(scope="session")
def scenes(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Both scenes, by name."""
    return {
        "a first load": first_load(postgres, tmp_path_factory.mktemp("first_load")),
        "a rich change": rich_change(postgres, tmp_path_factory.mktemp("rich_change")),
    }


@pytest.fixture(params=["a first load", "a rich change"])
def scene(request: pytest.FixtureRequest, scenes: dict[str, Scene]) -> Scene:
    """Either scene."""
    return scenes[request.param]


@pytest.fixture(scope="session")
def matrix(store: ObjectStore, scenes: dict[str, Scene], summaries: Summaries) -> Iterator[Matrix]:
    """What runs the cases, and counts them."""
    matrix = Matrix(store)
    yield matrix
    matrix.close()
    summaries["faults"] = list(matrix.summary())
