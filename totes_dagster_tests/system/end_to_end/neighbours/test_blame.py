"""Whom an error names: the database that it comes from, also where the platform works on both at once."""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import Table

from totes_dagster.errors import AccessDeniedError, DatabaseError, SourceSchemaError
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.pipeline import reconcile
from totes_dagster.postgres.database import Database
from totes_dagster.reconcile import compare as comparison
from totes_dagster.reconcile.checksums import HashedRows, source_rows
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.world import World


def test_what_fails_at_the_source_while_both_are_compared_is_said_of_the_source(
    company: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_limit(connection: psycopg.Connection, catalogue: Catalogue, star: Table) -> HashedRows:
        connection.execute("set local statement_timeout to 1")
        return replace(source_rows(connection, catalogue, star), relation=psycopg.sql.SQL("pg_sleep(9)"))

    monkeypatch.setattr(comparison, "source_rows", with_a_limit)
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    with pytest.raises(DatabaseError, match=" at totesys: ") as raised:
        reconcile(company.platform)
    assert "warehouse" not in str(raised.value).lower()


def test_an_error_names_the_connection_that_it_comes_from(company: World) -> None:
    source, warehouse = company.platform.source, company.platform.warehouse.database
    with source.transaction() as inner, warehouse.transaction() as outer:
        for connection, name in ((inner, "totesys"), (outer, "warehouse")):
            with pytest.raises(DatabaseError, match=f"failed at {name}: division by zero"), connection.transaction():
                connection.execute("select 1 / 0")


def test_a_right_that_is_lacking_at_the_source_is_said_of_the_source(company: World) -> None:
    company.change("create role poor login", "grant select on staff to poor")
    url = company.source_url.replace("//postgres@", "//poor@")
    platform = replace(company.platform, source=replace(company.platform.source, url=url))
    for work in (World(platform).refresh, lambda: reconcile(platform)):
        with pytest.raises(AccessDeniedError, match=r"at totesys: permission denied for table .*TOTESYS_URL"):
            work()
    company.change("drop owned by poor", "drop role poor")


def test_a_database_without_any_of_the_tables_is_said_once(company: World, database: Callable[..., str]) -> None:
    platform = replace(company.platform, source=Database("totesys", database("elsewhere")))
    with psycopg.connect(platform.source.url) as connection:
        connection.execute("create table unrelated (a integer)")
    with pytest.raises(SourceSchemaError) as raised:
        World(platform).refresh()
    assert str(raised.value).startswith(
        f"The source is not as declared: totesys: expected its {len(SOURCE_TABLES)} tables, found none of them; is "
        "this the right database, and may the user use the schema?"
    )


def test_a_message_names_few_of_many_tables(company: World) -> None:
    company.change("alter table payment rename to paid", *(f"create table t{number} (a int)" for number in range(40)))
    with pytest.raises(
        SourceSchemaError, match=r"no such table, but paid, t0, t1, t10, t11 and 36 more, which are not"
    ):
        company.refresh()
