"""Landing zones in a folder and on an object store, with a warehouse."""

from pathlib import Path

import pytest

from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.feeding import Feeding, feeding_from
from totes_dagster_tests.system.platforms import lake_at, platform_at
from totes_dagster_tests.world import World


@pytest.fixture
def feeding(companies: Companies, tmp_path: Path) -> Feeding:
    """A landing zone and a lake in a folder, and the warehouse of a company that was refreshed once."""
    return feeding_from(World(companies.seen(Company(orders=20))), (tmp_path / "landing").as_uri())


@pytest.fixture(params=["folder", "bucket"])
def either(request: pytest.FixtureRequest, companies: Companies, tmp_path: Path) -> Feeding:
    """A landing zone and a lake in a folder, or on an object store, and a warehouse without rows of feeds."""
    company = companies.seen(Company(orders=20))
    url = f"s3://{request.getfixturevalue('bucket')}" if request.param == "bucket" else tmp_path.as_uri()
    platform = platform_at(company.source.url, company.warehouse.database.url, lake_at(url))
    return feeding_from(World(platform), f"{url}/landing")
