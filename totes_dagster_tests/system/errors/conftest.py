"""Servers that turn clients away, and the clients that are turned away."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest

from totes_dagster.lake.zone import Zone
from totes_dagster_tests.object_store import guarded
from totes_dagster_tests.s3_front import Decide, in_front_of
from totes_dagster_tests.system.errors.asking import ACTIONS, SECRET_KEY, TOKEN, Front
from totes_dagster_tests.tcp_postgres import server

__all__ = ["guarded", "server"]


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
