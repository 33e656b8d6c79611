"""Settings that owners of a database or administrators have made for their own purposes."""

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.errors import ReadOnlyServerError
from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.snapshot import open_snapshot
from totes_dagster.ingest.watch import watching
from totes_dagster.pipeline import reconcile
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.warehouse.migrations import migrate
from totes_dagster.warehouse.status import newest_rows, warehouse_status
from totes_dagster_tests.world import NEW_DEAL, World

ODD_VALUES = {
    "array_nulls": "off",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "datestyle": "German, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "exit_on_error": "on",
    "extra_float_digits": "-15",
    "idle_in_transaction_session_timeout": "40ms",
    "intervalstyle": "sql_standard",
    "lock_timeout": "1ms",
    "quote_all_identifiers": "on",
    "row_security": "on",
    "search_path": "pg_temp, public, pg_catalog",
    "standard_conforming_strings": "off",
    "statement_timeout": "20ms",
    "timezone": "Asia/Kathmandu",
    "transaction_timeout": "60ms",
    "transform_null_equals": "on",
    "xmloption": "document",
}
"""Whatever a role or a database may set that changes the meaning or the life of a statement."""


def set_all(url: str, settings: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        for name, value in settings.items():
            connection.execute(
                sql.SQL("alter database {} set {} to {}").format(
                    sql.Identifier(str(conninfo_to_dict(url)["dbname"])),
                    sql.Identifier(name),
                    sql.SQL(", ").join(map(sql.Literal, value.split(", "))) if name == "search_path" else value,
                )
            )


def whole_life(world: World) -> None:
    """Everything that the platform does with its databases."""
    world.refresh()
    with watching(world.platform.source) as position:
        before = position()
        assert changed_tables(world.platform.source, world.platform.lake.ingestion) == []
        with psycopg.connect(world.source_url, options="-c statement_timeout=0 -c transaction_timeout=0") as owner:
            owner.execute("set datestyle to ISO; set search_path to public")
            for statement in (*NEW_DEAL, "update staff set last_name = 'Ü' where staff_id = 1"):
                owner.execute(statement)
        assert position() != before
    assert len(changed_tables(world.platform.source, world.platform.lake.ingestion)) == 4
    world.refresh()
    assert not any(reconcile(world.platform).found.values())
    assert warehouse_status(world.platform.warehouse).newest.batch == world.head()
    assert newest_rows(world.platform.warehouse, list(STAR_TABLES), 1).keys()


def reset(url: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c statement_timeout=0") as connection:
        name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
        connection.execute(sql.SQL("alter database {} reset all").format(name))


def test_odd_settings_of_both_databases_change_nothing(unseen_company: World) -> None:
    for url in (unseen_company.source_url, unseen_company.warehouse_url):
        set_all(url, ODD_VALUES)
    whole_life(unseen_company)
    for url in (unseen_company.source_url, unseen_company.warehouse_url):
        reset(url)
    assert unseen_company.wrongs() == []
    assert unseen_company.has_arrived()


def test_functions_of_somebody_elses_that_come_first_are_not_called(unseen_company: World) -> None:
    # Before: a migration works in the warehouse's schema, and there they would be called.
    migrate(unseen_company.platform.warehouse)
    shadows = (
        "create function hashint8extended(bigint, bigint) returns bigint language sql as 'select 42::bigint'",
        "create function hashint8extended(integer, integer) returns bigint language sql as 'select 42::bigint'",
        "create function mod(numeric, bigint) returns numeric language sql as 'select 7::numeric'",
        "create function age(xid) returns integer language sql as 'select 2000000000'",
        "create function never(integer, integer) returns boolean language sql as 'select false'",
        "create operator = (leftarg = integer, rightarg = integer, function = never)",
        "create function hashtextextended(text, integer) returns bigint language sql as 'select 1 / 0'",
        "create function differ(varchar, varchar) returns boolean language sql as 'select false'",
        "create operator = (leftarg = varchar, rightarg = varchar, function = differ)",
        "create domain text as varchar check (value is null)",
    )
    for url in (unseen_company.source_url, unseen_company.warehouse_url):
        with psycopg.connect(url) as connection:
            for shadow in shadows:
                connection.execute(shadow)
        set_all(url, {"search_path": "public, pg_catalog"})
    whole_life(unseen_company)
    unseen_company.change(
        "set local search_path to pg_catalog, public",
        "update staff set first_name = first_name || '!' where staff_id = 2",
    )
    assert unseen_company.refresh().loaded[-1].tables["dim_staff"].changed == 1
    for url in (unseen_company.source_url, unseen_company.warehouse_url):
        set_all(url, {"search_path": "pg_catalog, public"})
    assert unseen_company.wrongs() == []


def test_the_source_is_where_the_users_own_search_path_leads(unseen_company: World) -> None:
    unseen_company.change("alter schema public rename to shop", "create schema public")
    set_all(unseen_company.source_url, {"search_path": "nowhere, shop, public"})
    unseen_company.change("create table public.staff (mine integer)")
    unseen_company.refresh()
    assert unseen_company.ask_one("select count(*) from current_sales_order") == 60
    assert unseen_company.ask_one("select count(*) from dim_staff where last_name = 'Unknown'") == 0


def test_a_warehouse_that_takes_no_writes_is_named(company: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As administrators protect a disk that is nearly full."""
    set_all(company.warehouse_url, {"default_transaction_read_only": "on"})
    company.change("update payment set paid = not paid where payment_id = 3")
    with (
        monkeypatch.context() as impatient,
        pytest.raises(ReadOnlyServerError, match="made read-only, for example because its disk is nearly full"),
    ):
        impatient.setenv("TOTES_RETRY_SECONDS", "0")
        company.refresh()
    set_all(company.warehouse_url, {"default_transaction_read_only": "off"})
    company.refresh()
    assert company.wrongs() == []


@pytest.mark.parametrize(("allowed", "taken"), [("8", "2"), ("2", "2"), ("0", "0")])
def test_a_census_takes_two_parallel_workers_at_most(company: World, allowed: str, taken: str) -> None:
    with psycopg.connect(company.source_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter database {} set max_parallel_workers_per_gather to {}").format(
                sql.Identifier(connection.info.dbname), sql.Literal(allowed)
            )
        )
    with open_snapshot(company.platform.source) as snapshot:
        assert snapshot.connection.execute("show max_parallel_workers_per_gather").fetchall() == [(taken,)]
