"""Dagster's two kinds of storage, and graphs for what requests runs of them."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dagster import DagsterInstance

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.orchestration import sensors
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of
from totes_dagster_tests.integration.orchestration.automation import confirm, succeed
from totes_dagster_tests.integration.orchestration.memory import Memory
from totes_dagster_tests.system.platforms import lake_in, platform_at


@pytest.fixture(params=["sqlite", "postgres"])
def memory(request: pytest.FixtureRequest, database: Callable[..., str], tmp_path: Path) -> Iterator[Memory]:
    """A new instance that remembers nothing, and whose storage has been created already."""
    home = tmp_path / "dagster"
    url = None
    if request.param == "postgres":
        url = database("dagster", template=request.getfixturevalue("empty_storage"))
        home.mkdir()
    else:
        shutil.copytree(request.getfixturevalue("empty_home"), home)
    with _instance_at(home, url) as instance:
        yield Memory(instance, home, url)


def _instance_at(home: Path, url: str | None) -> DagsterInstance:
    storage = f"storage:\n  postgres:\n    postgres_url: {url}\n" if url else ""
    (home / "dagster.yaml").write_text(f"{storage}telemetry:\n  enabled: false\n")
    return DagsterInstance.from_config(str(home))


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an instance that keeps everything there, to be copied."""
    home = tmp_path_factory.mktemp("empty_home")
    _create_storage(home, None)
    return home


@pytest.fixture(scope="session")
def empty_storage(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with Dagster's tables, to be copied."""
    name = "empty_storage"
    assert postgres.create_database(name)
    _create_storage(tmp_path_factory.mktemp(name), postgres.url(name))
    return name


def _create_storage(home: Path, url: str | None) -> None:
    with _instance_at(home, url) as instance:
        instance.get_runs_count()
        instance.get_asset_records()
        instance.get_daemon_statuses()


@pytest.fixture(scope="session")
def home_after_a_refresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an instance that remembers one refresh, which succeeded; to be copied."""
    home = tmp_path_factory.mktemp("home_after_a_refresh")
    # Dagster only records it: nobody connects.
    graph = graph_of(platform_at("postgresql://nowhere/totesys", "postgresql://nowhere/warehouse", lake_in(home)))
    with DagsterInstance.local_temp(str(home)) as instance:
        succeed(replace(graph, instance=instance), "refresh")
    return home


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sensor look at the source once, and watch it no longer."""
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)


@pytest.fixture
def unseen(companies: Companies, enforced: bool) -> Graph:
    """A company that nothing was ingested of."""
    return graph_of(companies.unseen(company_of_a_graph(enforced=enforced)))


@pytest.fixture
def refreshed(companies: Companies, enforced: bool, home_after_a_refresh: Path, tmp_path: Path) -> Iterator[Graph]:
    """A company that the warehouse shows, as an instance of Dagster knows that is on disk, as schedules want it."""
    graph = graph_of(companies.seen(company_of_a_graph(enforced=enforced)))
    shutil.copytree(home_after_a_refresh, tmp_path, dirs_exist_ok=True)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        known = replace(graph, instance=instance)
        confirm(known)
        yield known
