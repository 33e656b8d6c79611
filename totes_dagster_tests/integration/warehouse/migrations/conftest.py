"""Warehouses as earlier versions of the platform left them."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from totes_dagster.postgres.database import Database
from totes_dagster.warehouse import migrations

VERSIONS = Path(migrations.__file__).parent / "versions"


@pytest.fixture
def empty(database: Callable[..., str]) -> Database:
    return Database("warehouse", database("warehouse"))


@pytest.fixture
def earlier(empty: Database) -> Database:
    """A warehouse at revision 0002, in which record ids were integers and ordered the versions, with a calendar."""
    create_earlier(empty)
    return empty


def create_earlier(database: Database) -> None:
    """Make an empty database a warehouse at revision 0002."""
    with psycopg.connect(database.url) as connection:
        for revision in ("0001_baseline", "0002_quarantine"):
            connection.execute((VERSIONS / f"{revision}.sql").read_text())
        connection.execute("create table totes_warehouse_version (version_num varchar(32) primary key)")
        connection.execute("insert into totes_warehouse_version values ('0002')")
        connection.execute(
            """
            insert into dim_date values ('2024-01-01', 2024, 1, 1, 1, 'Monday', 'January', 1);
            insert into dim_staff values (1, 'f', 'l', 'd', 'o', 'e');
            insert into dim_location values (1, 'a', null, null, 'c', 'p', 'o', 't');
            insert into dim_currency values (1, 'GBP', 'Sterling');
            insert into dim_design values (1, 'n', '/', 'f');
            insert into dim_counterparty values (1, 'n', 'a', null, null, 'c', 'p', 'o', 't');
            insert into fact_sales_order select id, 7, '2024-01-01', '00:00', '2024-01-01', '00:00', 1, 1, units, 1, 1,
                1, '2024-01-01', '2024-01-01', 1, false, batch from (values (11, 10, 1), (12, 11, 2), (5, 12, 3))
                as versions (id, units, batch)
            """
        )
