"""Dagster's two kinds of storage, and graphs for what requests runs of them."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from dagster import DagsterInstance

from totes_dagster.orchestration import sensors
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of
from totes_dagster_tests.integration.orchestration.automation import confirm, succeed
from totes_dagster_tests.integration.orchestration.memory import Memory

_RECENT = 60.0
"""Seconds for which a refresh counts as one that has just ended."""


@dataclass(frozen=True)
class _Home:
    """An instance's files, to be copied, and when a refresh ended there."""

    since: float
    folder: Path


_homes: list[_Home] = []


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
def unseen(companies: Companies, enforced: bool) -> Graph:
    """A company that nothing was ingested of."""
    return graph_of(companies.unseen(company_of_a_graph(enforced=enforced)))


@pytest.fixture
def refreshed(
    companies: Companies, enforced: bool, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Graph]:
    """A company that the warehouse shows, as an instance of Dagster knows that is on disk, as schedules want it."""
    graph = graph_of(companies.seen(company_of_a_graph(enforced=enforced)))
    if not _homes or time.monotonic() - _homes[-1].since > _RECENT:
        _homes.append(_Home(time.monotonic(), tmp_path_factory.mktemp("home")))
        with DagsterInstance.local_temp(str(_homes[-1].folder)) as instance:
            succeed(replace(graph, instance=instance), "refresh")
            confirm(replace(graph, instance=instance))
    shutil.copytree(_homes[-1].folder, tmp_path, dirs_exist_ok=True)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield replace(graph, instance=instance)
