"""Dagster's two kinds of storage, and graphs for what requests runs of them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dagster import DagsterInstance

from totes_dagster import pipeline
from totes_dagster.orchestration import sensors
from totes_dagster_tests.integration.graph import Graph, new_graph
from totes_dagster_tests.integration.orchestration.automation import confirm, succeed
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


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sensor look at the source once, and watch it no longer."""
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)


@pytest.fixture
def unseen(database: Callable[..., str], tmp_path: Path, enforced: bool) -> Graph:
    """A company that nothing was ingested of."""
    return new_graph(database, tmp_path, enforced=enforced)


@pytest.fixture
def refreshed(unseen: Graph, tmp_path: Path) -> Iterator[Graph]:
    """A company that the warehouse shows, as an instance of Dagster knows that is on disk, as schedules want it."""
    pipeline.refresh(unseen.platform)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        graph = replace(unseen, instance=instance)
        succeed(graph, "refresh")
        confirm(graph)
        yield graph
