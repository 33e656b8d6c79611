"""The platform that settings name: databases, lake and schema, from URLs before secrets."""

import json
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.config.platform import platform_from_environment, source_database, warehouse_database
from totes_dagster.errors import SettingsError
from totes_dagster_tests.settings import ALL
from totes_dagster_tests.unit.secrets_manager import SECRET, secrets

__all__ = ["secrets"]


def test_the_platform_is_what_the_environment_names() -> None:
    platform = platform_from_environment({**ALL, "WAREHOUSE_SCHEMA": "analytics"})
    assert (platform.source.url, platform.warehouse.database.url) == (ALL["TOTESYS_URL"], ALL["WAREHOUSE_URL"])
    assert (platform.lake.ingestion.url, platform.lake.processed.url) == (
        ALL["TOTES_INGESTION_LAKE"],
        ALL["TOTES_PROCESSED_LAKE"],
    )
    assert platform.warehouse.schema == "analytics"
    assert not platform.embedded
    assert "s3cret" not in repr(platform)


@pytest.mark.parametrize("schema", [{}, {"WAREHOUSE_SCHEMA": ""}])
def test_the_warehouse_is_in_public_unless_it_is_said_where(schema: dict[str, str]) -> None:
    assert platform_from_environment({**ALL, **schema}).warehouse.schema == "public"


def test_half_a_platform_is_refused_and_not_mixed_with_the_embedded_one() -> None:
    with pytest.raises(SettingsError, match="WAREHOUSE_URL or WAREHOUSE_SECRET_ID"):
        platform_from_environment({name: value for name, value in ALL.items() if name != "WAREHOUSE_URL"})


@pytest.mark.parametrize(("make", "name"), [(source_database, "totesys"), (warehouse_database, "warehouse")])
def test_a_database_comes_from_its_url_before_its_secret(secrets: Any, make: Any, name: str) -> None:
    secrets.create_secret(Name="a-secret", SecretString=json.dumps(SECRET))
    assert make(secret_id="a-secret").name == name
    assert conninfo_to_dict(make(secret_id="a-secret").url)["user"] == "reader"
    assert make("postgresql://other@host/db", "a-secret").url == "postgresql://other@host/db"
