"""Platforms for whole-platform tests: on databases of the run's server, and on folders."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from totes_dagster.config.platform import Platform
from totes_dagster.lake.zone import Lake
from totes_dagster.orchestration import sensors
from totes_dagster.orchestration.development.dev import configure, prepare_storage, workspace
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.system.end_to_end.dagster_at_work import Dagster
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake in folders."""
    return lake_in(tmp_path)


@pytest.fixture
def platform(database: Callable[..., str], lake: Lake) -> Platform:
    """The platform on two empty databases."""
    return platform_at(database("totesys"), database("warehouse"), lake)


@pytest.fixture
def enforced() -> bool:
    """Whether the source enforces all references; `of_the_older_source` says that it does not."""
    return True


@pytest.fixture
def new_company(companies: Companies, enforced: bool) -> World:
    """A company whose tables are there and empty; nothing was refreshed yet."""
    return World(companies.unseen(Company(orders=0, enforced=enforced)))


@pytest.fixture
def unseen_company(companies: Companies, enforced: bool) -> World:
    """A company with a year of history; nothing was refreshed yet."""
    return World(companies.unseen(Company(enforced=enforced)))


@pytest.fixture
def company(companies: Companies, enforced: bool) -> World:
    """A company with a year of history that the warehouse shows, and nothing else."""
    return World(companies.seen(Company(enforced=enforced)))


@pytest.fixture
def witness(company: World) -> Witness:
    """A company that the warehouse shows, and whoever judges every further refresh."""
    witness = Witness(company)
    witness.testify()
    return witness


@pytest.fixture
def dagster(company: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dagster]:
    """Dagster as `totes dev` runs it, for a company that its daemon may follow."""
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)
    home = tmp_path / "dagster"
    home.mkdir()
    configure(home)
    prepare_storage(home)
    (home / "workspace.yaml").write_text(json.dumps(workspace(())))
    with DagsterInstance.from_config(str(home)) as instance:
        yield Dagster(company, home, instance)
