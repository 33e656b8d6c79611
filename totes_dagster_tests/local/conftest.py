"""A small simulated source, and somebody to change it."""

from collections.abc import Iterator

import pytest

from totes_dagster.local.seeding import seed
from totes_dagster.local.simulator import Simulator
from totes_dagster_tests.local.source import Database


@pytest.fixture
def source(database: Database) -> str:
    url = database("totesys")
    seed(url, orders=60)
    return url


@pytest.fixture
def simulator(source: str) -> Iterator[Simulator]:
    with Simulator(source, seed=1) as simulator:
        yield simulator
