"""What every folder of this tier may use."""

from collections.abc import Iterator

import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.logged_sources import LOGGING
from totes_dagster_tests.object_store import bucket, object_store
from totes_dagster_tests.servers import server_folder

__all__ = ["bucket", "object_store"]


@pytest.fixture(scope="session")
def logging_server() -> Iterator[EmbeddedPostgres]:
    """A server with the settings that reading its log needs."""
    with server_folder() as folder, EmbeddedPostgres(folder, LOGGING) as server:
        yield server
