"""The scripts of the warehouse's roles leave alone what a team has put on the warehouse, and rights on it."""

import re

import psycopg
import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.postgres.database import Database
from totes_dagster.schema.registry import FACTS, FEED_FACTS, metadata
from totes_dagster.schema.star import current_view_of
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.migrations import VERSION_TABLE, migrate
from totes_dagster_tests.system.security.conftest import PASSWORD
from totes_dagster_tests.system.security.secured_postgres import ADMINISTRATOR, SCRIPTS, SecuredPostgres, numbers


@pytest.fixture
def reported(server: SecuredPostgres) -> tuple[str, str, str]:
    """A warehouse with a team's reports, in a schema of its own and beside the tables; the loader, and an analyst."""
    database = server.new_database("warehouse")
    loader = server.make_role("warehouse_loader", database, PASSWORD, schema="analytics")
    migrate(Warehouse(Database("warehouse", server.uri(loader, PASSWORD, database)), "analytics"))
    analyst = server.make_role("warehouse_reader", database, PASSWORD, schema="analytics", loader=loader)
    team = f"team_{next(numbers)}"
    with psycopg.connect(server.url(database)) as connection:
        for statement in (
            f"create role {team}",
            f"grant usage on schema analytics to {team}",
            f"grant create on schema analytics to {team}",
            f"grant select on all tables in schema analytics to {team}",
            f"create schema reports authorization {team}",
            "create view reports.totals as select count(*) from analytics.current_payment",
            "create view analytics.sold as select count(*) from analytics.current_sales_order",
            f"alter view reports.totals owner to {team}",
            f"alter view analytics.sold owner to {team}",
            f"grant usage on schema reports to {analyst}",
            f"grant select on reports.totals, analytics.sold to {analyst}",
        ):
            connection.execute(statement)
    return database, loader, analyst


def test_an_analyst_keeps_what_others_gave_her(server: SecuredPostgres, reported: tuple[str, str, str]) -> None:
    database, loader, analyst = reported
    server.make_role("warehouse_reader", database, PASSWORD, role=analyst, schema="analytics", loader=loader)
    with psycopg.connect(server.uri(analyst, PASSWORD, database)) as connection:
        for view in ("reports.totals", "analytics.sold", "analytics.current_payment"):
            assert connection.execute(f"select * from {view}").rowcount >= 0


def test_the_loader_takes_nothing_that_is_not_the_warehouses(
    server: SecuredPostgres, reported: tuple[str, str, str]
) -> None:
    database, loader, _ = reported
    state = (
        "select oid::regclass::text, relowner::regrole::text, relacl::text from pg_class "
        "where oid in ('reports.totals'::regclass, 'analytics.sold'::regclass) order by 1"
    )
    with psycopg.connect(server.url(database)) as connection:
        before = connection.execute(state).fetchall()
        connection.commit()
        server.make_role("warehouse_loader", database, PASSWORD, role=loader, schema="analytics")
        assert connection.execute(state).fetchall() == before
    assert all(owner not in {loader, ADMINISTRATOR} for _, owner, _ in before)


def test_a_table_of_the_loaders_that_is_not_the_warehouses_is_not_shown_to_analysts(
    server: SecuredPostgres, reported: tuple[str, str, str]
) -> None:
    database, loader, analyst = reported
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("create table analytics.notes (note text)")
        connection.execute(f"alter table analytics.notes owner to {loader}")
    server.make_role("warehouse_reader", database, PASSWORD, role=analyst, schema="analytics", loader=loader)
    with (
        psycopg.connect(server.uri(analyst, PASSWORD, database)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select from analytics.notes")


def test_readers_may_see_all_that_the_warehouse_consists_of() -> None:
    listed = re.findall(r"'(\w+)'", (SCRIPTS / "warehouse_reader.sql").read_text().partition("relname in (")[2])
    views = [*map(current_view_of, (FACTS | FEED_FACTS).values()), *VIEWS]
    assert sorted(listed) == sorted([*metadata.tables, *views, VERSION_TABLE])
