"""Platforms for whole-platform tests: on databases of the run's server, and on folders or a real object store."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from dagster import DagsterInstance
from moto.server import ThreadedMotoServer

from totes_dagster.config.platform import Platform
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration import automation
from totes_dagster.orchestration.development.dev import WORKSPACE, prepare_storage, configure
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.seeding import create_schema, seed
from totes_dagster_tests.system.end_to_end.dagster_at_work import Dagster
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import UNTIL, World

_buckets = itertools.count(1)


@pytest.fixture
def lakes(tmp_path: Path) -> tuple[Zone, Zone]:
    """The two zones, in folders."""
    return Zone((tmp_path / "ingestion").as_uri()), Zone((tmp_path / "processed").as_uri())


@pytest.fixture
def platform(database: Callable[..., str], lakes: tuple[Zone, Zone]) -> Platform:
    """The platform on two empty databases."""
    return Platform(
        source=Database("totesys", database("totesys")),
        warehouse=Database("warehouse", database("warehouse")),
        schema="public",
        ingestion=lakes[0],
        processed=lakes[1],
    )


@pytest.fixture
def enforced() -> bool:
    """Whether the source enforces all references; `of_the_older_source` says that it does not."""
    return True


@pytest.fixture
def new_company(platform: Platform, enforced: bool) -> World:
    """A company whose tables are there and empty; nothing was refreshed yet."""
    create_schema(platform.source.url, enforced=enforced)
    return World(platform)


@pytest.fixture
def unseen_company(platform: Platform, enforced: bool) -> World:
    """A company with a year of history; nothing was refreshed yet."""
    seed(platform.source.url, orders=60, until=UNTIL, enforced=enforced)
    return World(platform)


@pytest.fixture
def company(unseen_company: World) -> World:
    """A company with a year of history that the warehouse shows, and nothing else."""
    unseen_company.refresh()
    return unseen_company


@pytest.fixture
def witness(company: World) -> Witness:
    """A company that the warehouse shows, and whoever judges every further refresh."""
    witness = Witness(company)
    witness.testify()
    return witness


@pytest.fixture
def dagster(company: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dagster]:
    """Dagster as `totes dev` runs it, for a company that its daemon may follow."""
    monkeypatch.setattr(automation, "LOOK_FOR", 0.0)
    home = tmp_path / "dagster"
    home.mkdir()
    configure(home)
    prepare_storage(home)
    (home / "workspace.yaml").write_text(json.dumps(WORKSPACE))
    with DagsterInstance.from_config(str(home)) as instance:
        yield Dagster(company, home, instance)


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The endpoint of an S3 server on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, on the server that the environment now points the AWS SDKs to."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    name = f"totes-tests-{next(_buckets)}"
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    return name
