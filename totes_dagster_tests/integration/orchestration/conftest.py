"""Dagster's two kinds of storage."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from totes_dagster_tests.integration.orchestration.memory import Memory


@pytest.fixture(params=["sqlite", "postgres"])
def memory(request: pytest.FixtureRequest, database: Callable[..., str], tmp_path: Path) -> Iterator[Memory]:
    """A new instance that remembers nothing."""
    url = database("dagster") if request.param == "postgres" else None
    home = tmp_path / "dagster"
    home.mkdir()
    storage = f"storage:\n  postgres:\n    postgres_url: {url}\n" if url else ""
    (home / "dagster.yaml").write_text(f"{storage}telemetry:\n  enabled: false\n")
    with DagsterInstance.from_config(str(home)) as instance:
        yield Memory(instance, home, url)
