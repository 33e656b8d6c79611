"""The source is only ever read, whatever its role may do: shown by what its server was asked, and by what it holds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, RunRequest, SensorResult
from psycopg import sql

from totes_dagster.cli.output import show_status
from totes_dagster.config.platform import Platform
from totes_dagster.lake.zone import Lake
from totes_dagster.orchestration import sensors
from totes_dagster.pipeline import reconcile, refresh
from totes_dagster.schema.totesys import metadata
from totes_dagster.status import platform_status
from totes_dagster_tests.resources import look, resources_of
from totes_dagster_tests.system.platforms import platform_at
from totes_dagster_tests.system.security.secured_postgres import SecuredPostgres
from totes_dagster_tests.system.security.statement_log import could_have_written, logged


@dataclass(frozen=True)
class Source:
    """A source whose superuser the platform is."""

    server: SecuredPostgres
    database: str

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    def change(self, *statements: str) -> None:
        with self.server.administrator(self.database) as connection:
            for statement in statements:
                connection.execute(statement)

    def counters(self) -> tuple[int, ...]:
        """What the server counted of rows written, when all who were connected have gone and told."""
        deadline = time.monotonic() + 30
        with self.server.administrator("template1") as connection:
            busy = "select from pg_stat_activity where datname = %s"
            while connection.execute(busy, [self.database]).rowcount:
                assert time.monotonic() < deadline
            row = connection.execute(
                "select tup_inserted, tup_updated, tup_deleted, temp_files from pg_stat_database where datname = %s",
                [self.database],
            ).fetchone()
            assert row is not None
            return row

    def next_transaction(self) -> str:
        """The id that the next transaction of the cluster gets that writes anything at all."""
        with self.server.administrator("template1") as connection:
            ((number,),) = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text").fetchall()
            return str(number)

    def rows(self) -> list[str]:
        """Every row of every table, with the transaction that wrote it and the place that it is at."""
        found = []
        with self.server.administrator(self.database) as connection:
            for name in metadata.tables:
                query = sql.SQL("select xmin, xmax, ctid, rows.*::text from {} as rows").format(sql.Identifier(name))
                found += [f"{name} {row}" for row in connection.execute(query)]
        return found


@pytest.fixture
def source(server: SecuredPostgres, company: str) -> Source:
    return Source(server, server.new_database("totesys", template=company))


@pytest.fixture
def platform(source: Source, database: Callable[..., str], lake: Lake) -> Platform:
    """The platform, with its warehouse on another server."""
    return platform_at(source.url, database("warehouse"), lake)


def watch(platform: Platform) -> Any:
    """One look of the sensor."""
    with DagsterInstance.ephemeral() as instance:
        return look(instance, resources_of(platform))


@pytest.fixture
def asked(source: Source) -> Callable[[], list[str]]:
    """A function that returns what the platform asked the source for that was not in a read-only transaction."""
    since = source.server.log.stat().st_size

    def look() -> list[str]:
        statements = logged(source.server.log, since, "postgres", source.database)
        assert any("pg_export_snapshot" in statement.text for statement in statements)
        return [" ".join(text.split()) for text in could_have_written(statements)]

    return look


def work(source: Source, platform: Platform) -> None:
    """Everything that the platform does with a source."""
    refresh(platform)
    source.change("update staff set first_name = 'Zoë' where staff_id = 1", "delete from payment where payment_id = 3")
    show_status(platform_status(platform))
    refresh(platform)
    with psycopg.connect(platform.warehouse.database.url) as warehouse:
        warehouse.execute("update dim_staff set first_name = 'Nobody' where staff_id = 2")
        warehouse.execute("delete from fact_payment where payment_id = 2")
    assert reconcile(platform).repair


def test_all_that_stages_ask_is_asked_in_read_only_transactions(
    source: Source, platform: Platform, asked: Callable[[], list[str]]
) -> None:
    work(source, platform)
    assert asked() == []


def test_all_that_the_sensor_asks_is_asked_in_read_only_transactions(
    source: Source, platform: Platform, asked: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)
    assert isinstance(watch(platform), RunRequest)
    assert asked() == []


def test_nothing_is_written(source: Source, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)
    before = source.rows(), source.counters(), source.next_transaction()
    refresh(platform)
    found = watch(platform)
    assert isinstance(found, SensorResult)
    assert found.asset_events
    with psycopg.connect(platform.warehouse.database.url) as warehouse:
        warehouse.execute("delete from fact_payment where payment_id = 2")
    assert reconcile(platform).repair
    assert (source.rows(), source.counters(), source.next_transaction()) == before


def test_the_check_tells_read_only_transactions_from_others(source: Source) -> None:
    since = source.server.log.stat().st_size
    with psycopg.connect(source.url) as connection:
        connection.execute("select 1")
        connection.rollback()
        connection.read_only = True
        connection.execute("select 2")
        connection.commit()
        connection.autocommit = True
        connection.execute("select 3")
        connection.execute("set session characteristics as transaction read only")
        connection.execute("select 4")
    statements = logged(source.server.log, since, "postgres", source.database)
    assert list(could_have_written(statements)) == ["select 1", "select 3"]
