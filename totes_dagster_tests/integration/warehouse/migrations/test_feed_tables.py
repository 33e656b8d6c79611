"""The tables of feeds are added to an existing warehouse, unless a name is in use, and can be removed again."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import WarehouseSchemaError
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.postgres.database import Database
from totes_dagster.schema.bookkeeping import feed_file, feed_history, feed_quarantine
from totes_dagster.schema.feeds import rate_on_day
from totes_dagster.schema.registry import FEED_FACTS
from totes_dagster.schema.star import current_view_of
from totes_dagster.warehouse.migrations import HEAD, migrate
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.feeding import feeding_from, rates, shipments, targets
from totes_dagster_tests.integration.warehouse.migrations.catalogue import catalogue, downgrade, run
from totes_dagster_tests.world import World

TABLES = [*FEED_FACTS, rate_on_day.name, feed_history.name, feed_file.name, feed_quarantine.name]
VIEWS = [current_view_of(fact) for fact in FEED_FACTS.values()]

SHAPE = """
    select relname, relkind::text, relreplident::text, obj_description(pg_class.oid, 'pg_class'),
           array_agg(array[attname::text, format_type(atttypid, atttypmod), attnotnull::text,
                           col_description(attrelid, attnum)] order by attnum)
    from pg_class join pg_attribute on attrelid = pg_class.oid
    where relname = any(%s) and attnum > 0 group by pg_class.oid order by 1
"""


def shape(database: Database) -> list[tuple[Any, ...]]:
    """What the tables and views of feeds look like."""
    with psycopg.connect(database.url) as connection:
        return connection.execute(SHAPE, [TABLES + VIEWS]).fetchall()


@pytest.fixture
def before_feeds(empty: Database) -> Database:
    """A warehouse at the revision before feeds."""
    migrate(Warehouse(empty))
    downgrade(empty, "0005")
    return empty


def test_a_warehouse_gets_the_tables_of_feeds_again_after_they_were_removed(before_feeds: Database) -> None:
    assert shape(before_feeds) == []
    assert migrate(Warehouse(before_feeds)) == "0005"
    found = shape(before_feeds)
    assert [name for name, *_ in found] == sorted(TABLES + VIEWS)
    assert all(comment for _, kind, _, comment, _ in found if kind == "r")
    downgrade(before_feeds, "0005")
    assert shape(before_feeds) == []
    assert migrate(Warehouse(before_feeds)) == "0005"
    assert shape(before_feeds) == found
    assert migrate(Warehouse(before_feeds)) == HEAD


@pytest.mark.parametrize("statement", ["create table {} (theirs int)", "create view {} as select 1 as theirs"])
def test_a_name_that_is_in_use_is_refused_and_nothing_is_changed(before_feeds: Database, statement: str) -> None:
    for name in TABLES + VIEWS:
        run(before_feeds, statement.format(name))
        before = catalogue(before_feeds)
        with pytest.raises(WarehouseSchemaError, match=f"has a {name} that is not the platform's. Rename it"):
            migrate(Warehouse(before_feeds))
        assert catalogue(before_feeds) == before
        run(before_feeds, f"drop {statement.split()[1]} {name}")
    assert migrate(Warehouse(before_feeds)) == "0005"


def test_a_schema_of_any_name_takes_the_rows_of_feeds(companies: Companies, tmp_path: Path) -> None:
    odd = companies.seen(Company(orders=5, schema='odd "schema", %s; Ñ'))
    feeding = feeding_from(World(odd), (tmp_path / "landing").as_uri())
    for content in (shipments((1, 5), (2, 0)), shipments((1, 6))):
        feeding.drop(FEEDS["shipment"], "a", content)
        feeding.refresh(FEEDS["shipment"])
    assert len(feeding.versions(FEEDS["shipment"])) == 2
    ((first,),) = feeding.world.ask("select min(date_id) from dim_date")
    feeding.drop(FEEDS["exchange_rate"], "a", rates("GBP", first, "0.8", "0.8", "1.8"))
    feeding.refresh(FEEDS["exchange_rate"])
    assert feeding.world.ask_one("select count(gbp_per_eur) > 0 from rate_on_day")


def test_rows_of_feeds_can_be_changed_and_removed_where_all_tables_are_published(
    companies: Companies, tmp_path: Path
) -> None:
    world = World(companies.seen(Company(orders=20)))
    with psycopg.connect(world.warehouse_url) as connection:
        connection.execute("create publication everything for all tables")
    feeding = feeding_from(world, (tmp_path / "landing").as_uri())
    ((first,),) = world.ask("select min(date_id) from dim_date")
    contents = {
        "shipment": (shipments((1, 0), (2, 0)), shipments((1, 5), (2, 0))),
        "sales_target": (targets(("2026-11", "x", "")), targets(("2026-11", "5", ""))),
        "exchange_rate": (rates("GBP", first, "0.8", "1.8"), rates("GBP", first, "0.8", "0.8")),
    }
    for step in range(2):
        for name, steps in contents.items():
            feeding.drop(FEEDS[name], "a", steps[step])
            feeding.refresh(FEEDS[name])
    assert [feeding.quarantined(feed) for feed in FEEDS.values()] == [[], [("a", 2)], []]
