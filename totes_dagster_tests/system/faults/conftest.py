"""A server whose databases are copied by the hundred, the two scenes on it, and the matrix of faults."""

from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import boto3
import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.conftest import Summaries
from totes_dagster_tests.logged_sources import LOGGING
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.faults.logged_scene import logged_changes
from totes_dagster_tests.system.faults.matrix import Matrix
from totes_dagster_tests.system.faults.proxied import ObjectStore
from totes_dagster_tests.system.faults.scenes import Scene, files_of_feeds, first_load, rich_change

_SETTINGS = {**LOGGING, "max_replication_slots": "16", "max_wal_senders": "16"}
"""What is committed must outlive a crash of the server, though not one of the machine; and the log can be read."""


@pytest.fixture(scope="session", autouse=True)
def processes() -> None:
    """Start the process that the others are forked from, and do not measure what is covered there: nobody would ask."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own, whose databases are copied by the hundred."""
    with server_folder() as folder, EmbeddedPostgres(folder, _SETTINGS) as server:
        yield server


@pytest.fixture(scope="session")
def store(object_store: str) -> ObjectStore:
    """A bucket on the run's object store."""
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


class Scenes(dict[str, Scene]):
    """The scenes, by name, each set up when it is first asked for."""

    def __init__(self, server: EmbeddedPostgres, folders: pytest.TempPathFactory) -> None:
        super().__init__()
        self._server, self._folders = server, folders

    def __missing__(self, name: str) -> Scene:
        self[name] = _SCENES[name](self._server, self._folders.mktemp(name.replace(" ", "_")))
        return self[name]


_SCENES: dict[str, Callable[[EmbeddedPostgres, Path], Scene]] = {
    "a first load": first_load,
    "a rich change": rich_change,
    "files of feeds": files_of_feeds,
    "logged changes": logged_changes,
}


@pytest.fixture(scope="session")
def scenes(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """The scenes, by name."""
    return Scenes(postgres, tmp_path_factory)


@pytest.fixture(params=[pytest.param("a first load", marks=pytest.mark.slow), "a rich change"])
def scene(request: pytest.FixtureRequest, scenes: dict[str, Scene]) -> Scene:
    """A scene: for most tests, either of those of totesys."""
    return scenes[request.param]


@pytest.fixture(scope="session")
def matrix(store: ObjectStore, scenes: dict[str, Scene], summaries: Summaries) -> Iterator[Matrix]:
    """What runs the cases, and counts them."""
    matrix = Matrix(store)
    yield matrix
    matrix.close()
    summaries["faults"] = list(matrix.summary())
