"""The databases as Dagster resources."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.errors import SettingsError
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.postgres.database import Database
from totes_dagster_tests.unit.secrets_manager import SECRET, secrets

__all__ = ["secrets"]

URL = "postgresql://reader:s3cret@db.example.com/x"

Make = Callable[..., Database]


def source(**settings: str) -> Database:
    return TotesysResource(**settings).database()


def warehouse(**settings: str) -> Database:
    return WarehouseResource(**settings).warehouse().database


@pytest.mark.parametrize(("make", "name"), [(source, "totesys"), (warehouse, "warehouse")])
def test_a_database_has_its_name_and_hides_its_url(make: Make, name: str) -> None:
    database = make(url=URL)
    assert (database.name, database.url) == (name, URL)
    assert "s3cret" not in repr(database)


@pytest.mark.parametrize("make", [source, warehouse])
def test_a_database_can_come_from_a_secret(make: Make, secrets: Any) -> None:
    secrets.create_secret(Name="a-secret", SecretString=json.dumps(SECRET))
    assert conninfo_to_dict(make(secret_id="a-secret").url)["host"] == SECRET["host"]
    with pytest.raises(SettingsError, match="another-secret"):
        make(secret_id="another-secret")


def test_a_warehouse_is_in_public_unless_it_is_said_where() -> None:
    assert WarehouseResource(url=URL).warehouse().schema == "public"
    assert WarehouseResource(url=URL, warehouse_schema="analytics").warehouse().schema == "analytics"
