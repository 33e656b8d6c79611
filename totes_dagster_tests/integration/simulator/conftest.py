"""A small simulated source in both of its forms, somebody to change it, and a folder for an embedded server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Simulator
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.source import Database


@pytest.fixture
def source(database: Database) -> str:
    url = database("totesys")
    seed(url, orders=60)
    return url


@pytest.fixture
def older_source(database: Database) -> str:
    """A source that does not enforce the references that only the newer form enforces."""
    url = database("totesys")
    seed(url, orders=60, enforced=False)
    return url


@pytest.fixture
def simulator(source: str) -> Iterator[Simulator]:
    with Simulator(source, seed=1) as simulator:
        yield simulator


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where a server may be kept, which is not there yet."""
    with server_folder() as folder:
        yield folder / "pg"
