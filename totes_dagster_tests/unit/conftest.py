"""A warehouse and a zone of the lake for single steps of the stages."""

from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from totes_dagster.lake.zone import Zone
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster_tests.unit.warehouses import NewWarehouse

_numbers = count(1)


@pytest.fixture(scope="session")
def templates(postgres: EmbeddedPostgres) -> Callable[[str], str]:
    """A function that returns the name of a database with a new warehouse in some schema; each is made once."""

    @cache
    def template(schema: str) -> str:
        name = f"warehouse_template_{next(_numbers)}"
        assert postgres.create_database(name)
        NewWarehouse(Database("warehouse", postgres.url(name)), schema).create()
        return name

    return template


@pytest.fixture(params=["public", 'odd "schema", %s; Ñ'], ids=["public", "odd schema"])
def warehouse(
    request: pytest.FixtureRequest, templates: Callable[[str], str], database: Callable[..., str]
) -> NewWarehouse:
    url = database("warehouse", template=templates(request.param))
    return NewWarehouse(Database("warehouse", url), request.param)


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone((tmp_path / "lake").as_uri())
