"""Platforms at the addresses that a test gives."""

from pathlib import Path

import psycopg
from psycopg import sql

from totes_dagster.config.platform import Platform, Warehouse
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.postgres.database import Database


def platform_at(source: str, warehouse: str, lake: Lake, schema: str = "public") -> Platform:
    """The platform on two databases, given by their URLs, and a lake."""
    return Platform(source=Database("totesys", source), lake=lake, warehouse=warehouse_at(warehouse, schema))


def warehouse_at(url: str, schema: str = "public") -> Warehouse:
    """The warehouse in a schema of the database under a URL."""
    return Warehouse(Database("warehouse", url), schema)


def lake_at(url: str) -> Lake:
    """The lake whose two zones lie under a URL, each under its name."""
    return Lake(Zone(f"{url}/ingestion"), Zone(f"{url}/processed"))


def lake_in(folder: Path) -> Lake:
    """The lake whose two zones lie in a folder, each under its name."""
    return lake_at(folder.as_uri())


def reopened(lake: Lake) -> Lake:
    """The same lake, as a process that has just started knows it."""
    return Lake(Zone(lake.ingestion.url), Zone(lake.processed.url))


def prepare(platform: Platform, *scripts: str) -> None:
    """Run statements in the warehouse's schema, which is made where there is none."""
    with psycopg.connect(platform.warehouse.database.url) as connection:
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(platform.warehouse.schema)))
        connection.execute("select set_config('search_path', quote_ident(%s), false)", [platform.warehouse.schema])
        for script in scripts:
            connection.execute(script)
