"""A company that has lived for a while and that tests only look at, and one that a test may change.

Tests that are marked with `EACH_LIFE` look at several of the former, if all tests are run.
"""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.companies import Companies, Company, create_database
from totes_dagster_tests.dashboards import Served, served
from totes_dagster_tests.integration.dashboard.lives import LIFE
from totes_dagster_tests.integration.metrics.lived import Lived, live
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World


@pytest.fixture(scope="session")
def company_of(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Lived]:
    """The company that lives a life, by the life's number."""

    @cache
    def lived(life: int) -> Lived:
        names = (f"shown_source_{life}", f"shown_warehouse_{life}")
        for name in names:
            create_database(postgres, name, "template1")
        source, warehouse = map(postgres.url, names)
        lake = lake_in(tmp_path_factory.mktemp("shown"))
        return live(World(platform_at(source, warehouse, lake)), life=life, orders=120)

    return lived


@pytest.fixture(scope="session")
def lived(request: pytest.FixtureRequest, company_of: Callable[[int], Lived]) -> Lived:
    return company_of(getattr(request, "param", LIFE))


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
