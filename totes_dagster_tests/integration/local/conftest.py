"""A folder for an embedded server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster_tests.servers import server_folder


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where a server may be kept, which is not there yet."""
    with server_folder() as folder:
        yield folder / "pg"
