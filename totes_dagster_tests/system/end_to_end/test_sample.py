"""The company's own data, from its database to the analyst by the command line, over a real object store."""

import gzip
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from psycopg import sql

from totes_dagster.config.platform import Platform
from totes_dagster_tests import oracle
from totes_dagster_tests.system.platforms import lake_at, platform_at
from totes_dagster_tests.world import run_totes

SAMPLE = Path(os.environ.get("TOTESYS_SAMPLE") or "totesys_sample")
ROWS = {
    "address": 30,
    "counterparty": 20,
    "currency": 3,
    "department": 8,
    "design": 249,
    "staff": 20,
    "payment_type": 4,
    "sales_order": 5_099,
    "purchase_order": 2_247,
    "transaction": 7_346,
    "payment": 7_346,
}
"""Rows of the sample's tables, in an order in which every reference points backwards."""

pytestmark = pytest.mark.skipif(
    not (SAMPLE / "schema.sql").exists(),
    reason="there is no sample of totesys here; TOTESYS_SAMPLE may name the folder of one",
)


@pytest.fixture
def source(database: Callable[..., str]) -> str:
    url = database("totesys")
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute((SAMPLE / "schema.sql").read_text())
        for table, expected in ROWS.items():
            with gzip.open(SAMPLE / f"{table}.csv.gz", "rt", encoding="utf-8") as file:
                columns = sql.SQL(", ").join(map(sql.Identifier, file.readline().strip().split(",")))
                statement = sql.SQL("copy {} ({}) from stdin (format csv)").format(sql.Identifier(table), columns)
                with cursor.copy(statement) as copy:
                    copy.write(file.read())
            assert cursor.rowcount == expected
    return url


@pytest.fixture
def platform(source: str, database: Callable[..., str], bucket: str) -> Platform:
    return platform_at(source, database("warehouse"), lake_at(f"s3://{bucket}"))


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_the_sample_reaches_the_warehouse_to_the_last_penny(platform: Platform) -> None:
    source, warehouse = platform.source.url, platform.warehouse.database.url
    run_totes(platform, "refresh")
    assert oracle.differences(source, warehouse, strict=True) == []
    assert oracle.broken_foreign_keys(warehouse) == []

    sales = "select sum(units_sold * unit_price) from current_sales_order"
    assert fetch(warehouse, sales) == [(Decimal("770376924.11"),)]
    by_currency = fetch(
        warehouse,
        "select currency_code, sum(payment_amount) from current_payment join dim_currency using (currency_id) "
        "group by 1 order by 1",
    )
    assert [code for code, _ in by_currency] == ["EUR", "GBP", "USD"]
    assert by_currency == fetch(
        source,
        "select currency_code, sum(payment_amount) from payment join currency using (currency_id) "
        "group by 1 order by 1",
    )

    assert fetch(warehouse, "select last_name from dim_staff where last_name like '%''%'") == [("O'Keefe",)]
    assert fetch(warehouse, "select distinct location from dim_staff where location like 'Led%'") == [("Leds",)]
    assert fetch(warehouse, "select distinct country from dim_location where length(country) = 37") == [
        ("Democratic People's Republic of Korea",)
    ]


@pytest.mark.slow
def test_a_second_refresh_finds_nothing_to_do(platform: Platform, bucket: str) -> None:
    run_totes(platform, "refresh")
    s3 = boto3.resource("s3").Bucket(bucket)
    objects = {object_.key: object_.e_tag for object_ in s3.objects.all()}
    before = oracle.history(platform.warehouse.database.url)

    run_totes(platform, "refresh")
    assert fetch(platform.warehouse.database.url, "select batch from load_history") == [(1,)]
    assert oracle.history(platform.warehouse.database.url) == before
    assert {object_.key: object_.e_tag for object_ in s3.objects.all()} == objects
