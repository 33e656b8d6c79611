"""A company that has lived for a while and that tests only look at, and one that a test may change."""

from collections.abc import Iterator

import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.companies import Companies, Company, create_database
from totes_dagster_tests.dashboards import Served, served
from totes_dagster_tests.integration.metrics.lived import Lived, live
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World


@pytest.fixture(scope="session")
def lived(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    names = ("shown_source", "shown_warehouse")
    for name in names:
        create_database(postgres, name, "template1")
    source, warehouse = map(postgres.url, names)
    return live(World(platform_at(source, warehouse, lake_in(tmp_path_factory.mktemp("shown")))), life=2, orders=120)


@pytest.fixture(scope="session")
def warehouse(lived: Lived) -> Warehouse:
    return lived.world.platform.warehouse


@pytest.fixture(scope="session")
def dashboard(warehouse: Warehouse) -> Iterator[Served]:
    with served(warehouse) as dashboard:
        yield dashboard


@pytest.fixture
def world(companies: Companies) -> World:
    """A small company that the platform has seen once."""
    return World(companies.seen(Company(orders=20, enforced=False)))
