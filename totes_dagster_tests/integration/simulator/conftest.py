"""Somebody to change a small simulated source."""

from collections.abc import Iterator

import pytest

from totes_dagster.simulator.simulator import Simulator


@pytest.fixture
def simulator(source: str) -> Iterator[Simulator]:
    with Simulator(source, seed=1) as simulator:
        yield simulator
