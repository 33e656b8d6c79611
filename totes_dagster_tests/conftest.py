"""What many tests stand on: one PostgreSQL server for the whole run, and as many databases of it as a test asks for."""

import fcntl
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from totes_dagster.local.postgres import EmbeddedPostgres

FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For servers whose data need not survive a crash of the machine."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server, gone with everything in it when the run ends, also when the run is killed."""
    # Not pytest's own temporary folder: every new run closes that to the server's system user.
    with tempfile.TemporaryDirectory(prefix="totes-tests-") as folder:
        with EmbeddedPostgres(Path(folder), FAST_SETTINGS) as server:
            yield server
        with (Path(folder) / "server.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it has stopped, and writes no more files


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Callable[..., str]]:
    """A function that creates a new empty database and returns its URI; it is dropped when the test ends.

    `database("totesys")` puts that into the database's name, which helps to read the server's log.
    """
    created: list[str] = []

    def create(name_hint: str = "db") -> str:
        name = f"{name_hint}_{next(_numbers)}"
        assert postgres.create_database(name)
        created.append(name)
        return postgres.url(name)

    yield create
    if created:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            for name in created:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
