"""Names are names, whatever they look like: of databases, roles, schemas, tables, columns, types and labels."""

import re

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.cli.output import show_reconciled, show_status
from totes_dagster.config.platform import Platform
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.zone import Lake
from totes_dagster.pipeline import reconcile, refresh
from totes_dagster.status import platform_status
from totes_dagster_tests import oracle
from totes_dagster_tests.system.platforms import platform_at
from totes_dagster_tests.system.security.conftest import PASSWORD, analyst_of
from totes_dagster_tests.system.security.secured_postgres import SecuredPostgres

NAME = """O'Ke"e %s %(a)s {0} $1 \\ ; [/b] ü --"""
"""At most 63 bytes together with what makes it unique, as names are in PostgreSQL."""


@pytest.fixture
def named(server: SecuredPostgres, company: str, lake: Lake) -> Platform:
    """The platform where every name is a strange one."""
    source = server.new_database(f"s {NAME}", template=company)
    warehouse = server.new_database(f"w {NAME}")
    reader = server.make_role("totesys_reader", source, PASSWORD, role=f"r {NAME}")
    loader = server.make_role("warehouse_loader", warehouse, PASSWORD, role=f"l {NAME}", schema=NAME)
    return platform_at(server.uri(reader, PASSWORD, source), server.uri(loader, PASSWORD, warehouse), lake, NAME)


def test_names_may_hold_any_character(
    server: SecuredPostgres, named: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    analyst = analyst_of(server, named, role=f"a {NAME}")
    refresh(named)
    database = conninfo_to_dict(named.source.url)["dbname"]
    table, column, type_, label = (f"{what} {NAME}" for what in ("table", "column", "type", "label"))
    with server.administrator(str(database)) as connection:
        for statement in (
            sql.SQL("create type {} as enum ({})").format(sql.Identifier(type_), sql.Literal(label)),
            sql.SQL("create table {} ({} {} primary key)").format(*map(sql.Identifier, (table, column, type_))),
            sql.SQL("insert into {} values ({})").format(sql.Identifier(table), sql.Literal(label)),
            sql.SQL("alter table staff add {} text default {}").format(sql.Identifier(column), sql.Literal(NAME)),
            "delete from payment where payment_id = 3",
        ):
            connection.execute(statement)
    show_status(platform_status(named))
    assert refresh(named).loaded[-1].tables["fact_payment"].deleted == 1
    with psycopg.connect(named.warehouse.database.url) as connection:
        connection.execute(sql.SQL("delete from {}").format(sql.Identifier(NAME, "fact_sales_order")))
    show_reconciled(reconcile(named))
    assert oracle.differences(named.source.url, analyst, NAME) == []
    assert oracle.broken_foreign_keys(analyst, NAME) == []
    manifest = BatchLog(named.lake.ingestion).manifest(2)
    assert rows_of(named, manifest.tables[table].parts[0].path, column) == [label]
    assert set(rows_of(named, manifest.tables["staff"].parts[0].path, column)) == {NAME}
    assert "capture staff" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def squeezed(text: str) -> str:
    """A text without blanks, and without the lines that tables are drawn with."""
    return re.sub(r"[\s│┃]", "", text)


def rows_of(platform: Platform, path: str, column: str) -> list[str]:
    values: list[str] = platform.lake.ingestion.read_part(path).column(column).to_pylist()
    return values
