"""Every supported version of PostgreSQL, as the source and as the warehouse."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.pipeline import reconcile
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster.simulator.simulator import Simulator
from totes_dagster_tests.logged_sources import LOGGING
from totes_dagster_tests.postgres_versions import programs_of
from totes_dagster_tests.servers import server_folder
from totes_dagster_tests.system.end_to_end.neighbours.any_postgres import Server
from totes_dagster_tests.system.end_to_end.neighbours.partitioned import PARTITIONED
from totes_dagster_tests.system.platforms import warehouse_at
from totes_dagster_tests.world import NEW_DEAL, World

VERSIONS = [int(version) for version in os.environ.get("POSTGRES_VERSIONS", "13").split()]
"""The oldest one, unless all of them are asked for; the newest is what every other test runs on."""


@contextmanager
def on_version(version: int, platform: Platform, settings: Mapping[str, str] | None = None) -> Iterator[World]:
    """A company whose source and warehouse are of a version."""
    programs = programs_of(version)
    with server_folder() as folder, Server.new(programs, folder / "data").running(settings) as server:
        source, warehouse = server.create_database("totesys"), server.create_database("warehouse")
        yield World(
            replace(
                platform,
                source=replace(platform.source, url=source),
                warehouse=warehouse_at(warehouse),
            )
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_platform_is_exact_on_every_supported_version(version: int, platform: Platform) -> None:
    with on_version(version, platform) as company:
        seed(company.source_url, orders=300)
        company.refresh()
        assert company.wrongs() == []
        with Simulator(company.source_url, seed=version, harsh=True) as simulator:
            for _ in range(3):
                for _ in range(20):
                    simulator.step()
                company.refresh()
        company.refresh()
        assert company.wrongs() == []
        company.change(*NEW_DEAL, "delete from payment where payment_id = 4", "create extension citext")
        company.change("alter table purchase_order alter item_code type citext")
        company.change("create table stranger as select 'a'::text as a", *PARTITIONED)
        company.refresh()
        assert company.wrongs() == []
        assert company.versions("fact_payment", 4)[-1] == "deleted"
        with psycopg.connect(company.warehouse_url) as connection:
            connection.execute("delete from fact_sales_order where sales_order_id = 9")
            connection.execute("update dim_staff set first_name = 'x' where staff_id = 2")
        done = reconcile(company.platform)
        assert done.found["fact_sales_order"].missing == (9,)
        assert not any(done.left.values())
        assert company.wrongs() == []
        assert company.has_arrived()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_log_is_read_on_every_supported_version(version: int, platform: Platform) -> None:
    with on_version(version, replace(platform, from_log=True), LOGGING) as company:
        seed(company.source_url, orders=30)
        publish(company.source_url)
        company.refresh()
        company.change(*NEW_DEAL, "delete from payment where payment_id = 4")
        for number in (5, 6):
            company.change(f"update sales_order set units_sold = {number} where sales_order_id = 1000")
        company.refresh()
        assert company.wrongs() == []
        assert company.versions("fact_sales_order", 1000) == ["live"] * 3
        assert company.ask("select count(*) from commit_time where fact = 'fact_sales_order' and key = 1000") == [(3,)]
        company.change("truncate payment")
        company.refresh()
        assert company.wrongs() == []
        assert not any(reconcile(company.platform).found.values())
