"""Companies whose changes are captured from the log."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster_tests.companies import databases
from totes_dagster_tests.logged_sources import drop_slots
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World


@pytest.fixture
def logging_database(logging_server: EmbeddedPostgres) -> Iterator[Callable[..., str]]:
    """A function that creates a new empty database on that server, and returns its URI."""
    with databases(logging_server) as create:
        yield create
        drop_slots(logging_server.url())


@pytest.fixture
def unseen_logged(logging_database: Callable[..., str], tmp_path: Path) -> World:
    """A company whose changes are captured from the log; nothing was refreshed yet."""
    source = logging_database("totesys")
    seed(source, orders=30)
    publish(source)
    platform = platform_at(source, logging_database("warehouse"), lake_in(tmp_path))
    return World(replace(platform, from_log=True))


@pytest.fixture
def logged(unseen_logged: World) -> World:
    """A company whose changes are captured from the log, and that the warehouse shows."""
    unseen_logged.refresh()
    return unseen_logged
