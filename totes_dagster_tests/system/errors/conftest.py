"""Servers that turn clients away, and the clients that are turned away."""

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest

from totes_dagster.lake.zone import Zone
from totes_dagster_tests.conftest import FAST_SETTINGS
from totes_dagster_tests.s3_front import Decide, in_front_of
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.errors.asking import ACTIONS, SECRET_KEY, TOKEN, Front
from totes_dagster_tests.tcp_postgres import TcpPostgres


@pytest.fixture(params=["connect", "connect_bulk"])
def connect(request: pytest.FixtureRequest) -> str:
    """Each way to connect: by psycopg, and by ADBC."""
    return str(request.param)


@pytest.fixture(scope="session")
def server() -> Iterator[TcpPostgres]:
    """A server that asks for passwords, reached by TCP."""
    with server_folder() as folder, TcpPostgres(folder, FAST_SETTINGS) as running:
        running.keep_out()
        yield running


@pytest.fixture(params=ACTIONS)
def act(request: pytest.FixtureRequest) -> Callable[[Zone], Any]:
    """Each thing that one asks of a lake."""
    return ACTIONS[request.param]


@pytest.fixture
def lake(bucket: str) -> Zone:
    return Zone(f"s3://{bucket}/zone")


@pytest.fixture
def front(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A function that puts something in front of the bucket, and gives the lake as it is seen from there."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    with ExitStack() as fronts:

        def put(decide: Decide) -> Zone:
            endpoint = fronts.enter_context(in_front_of(boto3.client("s3").meta.endpoint_url, decide))
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
            return Zone(f"s3://{bucket}/zone")

        yield put


@pytest.fixture
def guarded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that from now on looks at who asks; the environment is that of a user who may do nothing."""
    iam = boto3.client("iam")
    name = f"stranger-to-{bucket}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    _let_in_unseen(iam.meta.endpoint_url, b"0")
    yield
    _let_in_unseen(iam.meta.endpoint_url, b"inf")


def _let_in_unseen(endpoint: str, requests: bytes) -> None:
    """Tell moto how many requests it is to answer before it looks at who asks."""
    switch = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", requests, {"Content-Type": "text/plain"})
    urllib.request.urlopen(switch, timeout=10).close()
