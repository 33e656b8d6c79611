"""A company that has lived for a while, once for all tests of a process; several of them if all tests are run."""

from collections.abc import Iterator

import psycopg
import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster_tests.companies import create_database
from totes_dagster_tests.integration.metrics.lived import Lived, live, lives
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World


@pytest.fixture(scope="session", params=lives(1, slow=(3, 4, 5, 6)), ids="life {}".format)
def lived(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Lived:
    life: int = request.param
    names = (f"lived_source_{life}", f"lived_warehouse_{life}")
    for name in names:
        create_database(postgres, name, "template1")
    source, warehouse = map(postgres.url, names)
    lake = lake_in(tmp_path_factory.mktemp("lived"))
    return live(World(platform_at(source, warehouse, lake)), life=life, orders=150)


@pytest.fixture(scope="session")
def connection(lived: Lived) -> Iterator[psycopg.Connection]:
    with Database("warehouse", lived.world.warehouse_url).connect() as connection:
        yield connection
