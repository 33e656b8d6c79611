"""A server whose log can be read, and companies on it whose changes are captured from there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.companies import databases
from totes_dagster_tests.conftest import FAST_SETTINGS
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

LOGGING = {
    **FAST_SETTINGS,
    "synchronous_commit": "on",  # otherwise a commit is in the log a little later
    "wal_level": "logical",
    "max_replication_slots": "4",
    "max_wal_senders": "2",
    "max_prepared_transactions": "4",
    "track_commit_timestamp": "on",
}


def publish(url: str) -> None:
    """Publish the declared tables, as their owner would."""
    names = sql.SQL(", ").join(map(sql.Identifier, SOURCE_TABLES))
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("create publication totes for table {}").format(names))


def drop_slots(url: str) -> None:
    """Drop all slots of the server: a database with a slot cannot be dropped."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")


@pytest.fixture(scope="session")
def logging_server() -> Iterator[EmbeddedPostgres]:
    """A server with the settings that reading its log needs."""
    with server_folder() as folder, EmbeddedPostgres(folder, LOGGING) as server:
        yield server


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
