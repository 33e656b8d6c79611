"""The roles of `deploy/roles` can do nothing beyond their work, even where PUBLIC may do all that it may by default."""

from dataclasses import dataclass

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from totes_dagster.config.platform import Warehouse
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.system.security.conftest import PASSWORD
from totes_dagster_tests.system.security.secured_postgres import ADMINISTRATOR, SCRIPTS, SecuredPostgres, numbers

FOR_NOBODY = (
    "create schema mine",
    "create database mine",
    "create role mine",
    f"alter role {ADMINISTRATOR} login",
    f"grant {ADMINISTRATOR} to current_user",
    f"set role {ADMINISTRATOR}",
    "set session authorization postgres",
    "alter system set work_mem = '1GB'",
    "select pg_read_file('PG_VERSION')",
    "select pg_reload_conf()",
    "select pg_switch_wal()",
    "select pg_create_logical_replication_slot('mine', 'pgoutput')",
    "copy (select 1) to '/tmp/mine'",
    "copy (select 1) to program 'true'",
    "select rolpassword from pg_authid",
    "create publication mine for all tables",
    "create function finance.mine() returns int language sql return 1",
    "create table finance.mine ()",
    "select * from finance.budget",
    "insert into finance.budget values (1)",
    "drop table finance.budget",
)
"""What none of the roles may do. The schema `finance` is somebody else's, and has a table."""

ON_A_TABLE = (
    "insert into {0} select * from {0}",
    "update {0} set {1} = {1}",
    "delete from {0}",
    "truncate {0}",
    "select * from {0} for update",
    "begin; lock table {0} in exclusive mode",
    "alter table {0} add mine int",
    "alter table {0} disable trigger all",
    "create index on {0} ({1})",
    "create trigger mine before insert on {0} execute function suppress_redundant_updates_trigger()",
    "comment on table {0} is 'mine'",
    "reindex table {0}",
    "drop table {0}",
)
"""What no role may do to a table that it only reads; its name and that of a column are to be filled in."""

IN_THE_SCHEMA = (
    "create table {0}.mine ()",
    "create view {0}.mine as select 1",
    "create function {0}.mine() returns int language sql return 1",
    "create temporary table mine ()",
)
"""What no role may do that only reads."""


@dataclass(frozen=True)
class Estate:
    """The databases of a company, with the usual rights of PUBLIC, and the URIs of its roles."""

    totesys: str
    warehouse: str
    reader: str
    loader: str
    analyst: str


@pytest.fixture(scope="module")
def estate(server: SecuredPostgres, company: str) -> Estate:
    totesys = server.new_database("totesys", template=company, public=True)
    warehouse = server.new_database("warehouse", public=True)
    for database in (totesys, warehouse):
        with server.administrator(database) as connection:
            connection.execute("create schema finance create table budget (pounds int)")
            # As in databases that began before PostgreSQL 15.
            connection.execute("grant usage, create on schema public to public")
    reader = server.make_role("totesys_reader", totesys, PASSWORD)
    loader = server.make_role("warehouse_loader", warehouse, PASSWORD)
    analyst = server.make_role("warehouse_reader", warehouse, PASSWORD, loader=loader)
    migrate(Warehouse(Database("warehouse", server.uri(loader, PASSWORD, warehouse)), "public"))
    return Estate(
        totesys,
        warehouse,
        server.uri(reader, PASSWORD, totesys),
        server.uri(loader, PASSWORD, warehouse),
        server.uri(analyst, PASSWORD, warehouse),
    )


def attempt(url: str, statement: str) -> None:
    """Run a statement as one who does not want to be only a reader."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute(statement)


def on_a_table(table: str, column: str) -> list[str]:
    return [statement.format(table, column) for statement in ON_A_TABLE]


def in_the_schema(schema: str) -> list[str]:
    return [statement.format(schema) for statement in IN_THE_SCHEMA]


@pytest.mark.parametrize(
    "statement",
    [
        *FOR_NOBODY,
        *on_a_table("staff", "first_name"),
        *in_the_schema("public"),
        "select * from _prisma_migrations",
        "alter default privileges for role administrator grant all on tables to public",
    ],
)
def test_the_reader_can_only_read(estate: Estate, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        attempt(estate.reader, statement)


@pytest.mark.parametrize(
    "statement",
    [
        *FOR_NOBODY,
        *on_a_table("dim_staff", "first_name"),
        *on_a_table("load_history", "batch"),
        *in_the_schema("public"),
        "select nextval('fact_payment_payment_record_id_seq')",
        "create or replace view current_payment as select 1",
    ],
)
def test_analysts_can_only_read(estate: Estate, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        attempt(estate.analyst, statement)


@pytest.mark.parametrize("statement", FOR_NOBODY)
def test_the_loader_is_nobody_outside_its_tables(estate: Estate, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        attempt(estate.loader, statement)


@pytest.mark.parametrize("statement", on_a_table("budget", "pounds"))
def test_the_loader_leaves_what_is_not_the_warehouses_alone(
    server: SecuredPostgres, estate: Estate, statement: str
) -> None:
    with server.administrator(estate.warehouse) as connection:
        connection.execute("create table if not exists public.budget (pounds int)")
    with pytest.raises(InsufficientPrivilege):
        attempt(estate.loader, statement)


@pytest.mark.parametrize("role", ["reader", "analyst"])
def test_readers_write_nothing_by_accident(estate: Estate, role: str) -> None:
    with psycopg.connect(getattr(estate, role)) as connection, pytest.raises(ReadOnlySqlTransaction):
        connection.execute("create temporary table mine ()")


def test_no_role_gets_into_a_database_that_is_not_open_to_all(server: SecuredPostgres, estate: Estate) -> None:
    closed = server.new_database("closed")
    for url in (estate.reader, estate.loader, estate.analyst):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url, dbname=closed)


def test_a_row_that_a_policy_hides_is_refused_and_does_not_look_deleted(server: SecuredPostgres, company: str) -> None:
    database = server.new_database("totesys", template=company)
    role = server.make_role("totesys_reader", database, PASSWORD)
    with server.administrator(database) as connection:
        connection.execute("alter table payment enable row level security")
    with psycopg.connect(server.uri(role, PASSWORD, database)) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute("select count(*) from payment")


def test_the_application_goes_on_as_before(server: SecuredPostgres, company: str) -> None:
    application = f"application_{next(numbers)}"
    database = server.new_database("totesys", template=company, public=True)
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute(f"create role {application}")
        connection.execute("grant create on schema public to public")
        connection.execute(f"create table public.basket (); alter table public.basket owner to {application}")
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute(f"grant {application} to {ADMINISTRATOR}")
    server.make_role("totesys_reader", database, PASSWORD)
    with psycopg.connect(server.url(database)) as connection:
        connection.execute(f"set role {application}")
        connection.execute("create temporary table draft ()")
        connection.execute("create table public.wishes ()")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("grant update (first_name) on staff to public", "may also change staff"),
        ("grant create on schema finance to public", "may also create in the schema finance"),
        ("create table public.mine (); alter table public.mine owner to {role}", "may also change mine, own something"),
        ("grant pg_write_all_data to {role}", "may also act as pg_write_all_data"),
        ("alter role {role} createdb", "may also do what only a superuser or an administrator may"),
        ("alter role {role} bypassrls", "may also do what only a superuser or an administrator may"),
    ],
)
def test_a_reader_who_can_do_more_is_refused(server: SecuredPostgres, company: str, given: str, told: str) -> None:
    database, role = server.new_database("totesys", template=company), f"reader_{next(numbers)}"
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("create schema finance")
        connection.execute(f"create role {role}")
        connection.execute(f"grant {role} to {ADMINISTRATOR} with admin option")
        connection.execute(given.format(role=role))
    done = server.run_script(database, SCRIPTS / "totesys_reader.sql", role=role)
    assert done.returncode == 3
    assert told in done.stderr
    with psycopg.connect(server.url(database)) as connection:
        query = "select has_table_privilege(%s, 'payment', 'select')"
        assert connection.execute(query, [role]).fetchone() == (False,)


def test_what_a_role_was_granted_before_is_taken_from_it(server: SecuredPostgres, company: str) -> None:
    database = server.new_database("totesys", template=company)
    role = server.make_role("totesys_reader", database, PASSWORD)
    with server.administrator(database) as connection:
        connection.execute(f"grant all on all tables in schema public to {role}")
        connection.execute(f"grant all on schema public to {role}")
        connection.execute(f"grant all on database {database} to {role}")
    server.make_role("totesys_reader", database, PASSWORD, role=role)
    for statement in (*on_a_table("staff", "first_name"), *in_the_schema("public")):
        with pytest.raises(InsufficientPrivilege):
            attempt(server.uri(role, PASSWORD, database), statement)
