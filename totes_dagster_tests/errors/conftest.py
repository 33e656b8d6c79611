"""Servers that turn clients away, and the drivers that are turned away."""

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster_tests.conftest import FAST_SETTINGS
from totes_dagster_tests.end_to_end.conftest import bucket, lakes, object_store, platform, unseen_company
from totes_dagster_tests.errors.tcp_postgres import TcpPostgres

__all__ = ["bucket", "lakes", "object_store", "platform", "unseen_company"]


@pytest.fixture(params=["connect", "connect_bulk"])
def connect(request: pytest.FixtureRequest) -> str:
    """Each way to connect: by psycopg, and by ADBC."""
    return str(request.param)


@pytest.fixture(scope="session")
def server() -> Iterator[TcpPostgres]:
    """A server that asks for passwords, reached by TCP."""
    with tempfile.TemporaryDirectory(prefix="totes-tests-") as folder:
        with TcpPostgres(Path(folder), FAST_SETTINGS) as running:
            running.keep_out()
            yield running
        with (Path(folder) / "server.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it has stopped, and writes no more files
