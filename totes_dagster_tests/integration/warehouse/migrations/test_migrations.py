"""Migrations: what they make is what is declared, once, wholly or not at all."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import (
    DatabaseUnavailableError,
    TotesError,
    WarehouseAheadError,
    WarehouseBehindError,
    WarehouseSchemaError,
)
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.database import Database
from totes_dagster.schema.registry import FACTS, FEED_FACTS, metadata
from totes_dagster.schema.star import current_view_of
from totes_dagster.warehouse import migrations
from totes_dagster.warehouse.migrations import HEAD, VERSION_TABLE, migrate, revision_of
from totes_dagster_tests.integration.warehouse.migrations.catalogue import CATALOGUE, catalogue, run


def test_the_newest_revision_is_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", os.path.dirname(migrations.__file__))  # noqa: PTH120
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.parametrize("schema", ["public", "Ünusual"])
def test_the_migrated_warehouse_is_the_declared_one(empty: Database, schema: str) -> None:
    migrate(Warehouse(empty, schema))

    def connect() -> psycopg.Connection:
        connection = psycopg.connect(empty.url, options=f"-c search_path={schema}")
        connection.execute("select 1")
        return connection

    def ours(_object: object, name: str | None, *_: object) -> bool:
        return name != VERSION_TABLE

    engine = create_engine("postgresql+psycopg://", creator=connect)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_every_fact_has_its_current_view_with_the_same_columns(empty: Database) -> None:
    migrate(Warehouse(empty, "public"))
    with empty.transaction() as connection:
        rows = connection.execute(
            "select table_name, array_agg(column_name::text) from information_schema.columns "
            "where table_name like 'current_%' and table_schema = 'public' group by 1"
        ).fetchall()
    # In whatever order: a view that is replaced can get new columns at its end only.
    assert {view: sorted(columns) for view, columns in rows} == {
        current_view_of(fact): sorted(fact.columns.keys()) for fact in (FACTS | FEED_FACTS).values()
    }


def test_migrating_again_changes_nothing(empty: Database) -> None:
    assert migrate(Warehouse(empty, "public")) is None
    before = catalogue(empty)
    assert migrate(Warehouse(empty, "public")) == HEAD
    assert catalogue(empty) == before


def test_a_warehouse_of_an_earlier_time_is_told_apart(empty: Database) -> None:
    migrate(Warehouse(empty, "first"))
    assert migrate(Warehouse(empty, "second")) is None
    assert migrate(Warehouse(empty, "first")) == HEAD


def test_two_at_once_both_end_well(empty: Database) -> None:
    together = threading.Barrier(2, timeout=30)

    def run_it() -> str | None:
        together.wait()
        return migrate(Warehouse(empty, "analytics"))

    with ThreadPoolExecutor(2) as pool:
        results = [future.result(timeout=60) for future in [pool.submit(run_it) for _ in range(2)]]
    assert set(results) <= {None, HEAD}
    assert migrate(Warehouse(empty, "analytics")) == HEAD
    with empty.transaction() as connection:
        assert connection.execute(f"select version_num from analytics.{VERSION_TABLE}").fetchall() == [(HEAD,)]


def test_a_migration_that_breaks_off_leaves_nothing_behind(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalogue(empty)
    monkeypatch.setattr(migrations, "describe", lambda connection: connection.execute("select 1 / 0"))
    with pytest.raises((psycopg.errors.DivisionByZero, TotesError)):
        migrate(Warehouse(empty, "analytics"))
    assert catalogue(empty) == before
    monkeypatch.undo()
    assert migrate(Warehouse(empty, "analytics")) is None


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        ("create table load_history (batch text)", "load_history"),
        (f"create table {VERSION_TABLE} (x int)", VERSION_TABLE),
        (
            f"create table {VERSION_TABLE} (version_num varchar); insert into {VERSION_TABLE} values ('9999')",
            "9999",
        ),
        (
            "create table dim_payment_type (payment_type_id int not null, payment_type_name varchar not null)",
            "dim_payment_type",
        ),
    ],
    ids=["another load_history", "another version table", "a revision of the future", "a dimension without a key"],
)
def test_what_is_in_the_way_is_named_and_left_as_it_is(empty: Database, spoil: str, named: str) -> None:
    run(empty, spoil)
    before = catalogue(empty)
    with pytest.raises(TotesError, match=named):
        migrate(Warehouse(empty, "public"))
    assert catalogue(empty) == before


MIGRATION = """
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("alter table dim_design add column file_name varchar not null")
"""


@pytest.mark.parametrize(
    ("statement", "before"),
    [
        ("create table dim_design (design_id int primary key, design_name text not null, file_location text)", None),
        ("alter table dim_design drop column file_name", HEAD),
    ],
    ids=["adopted", "of an earlier version of the platform"],
)
def test_a_column_may_be_missing_until_the_migration_that_adds_it(
    empty: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, statement: str, before: str | None
) -> None:
    if before:
        migrate(Warehouse(empty, "public"))
    run(empty, statement)
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, folder)
    (folder / "versions" / "9999_file_name.py").write_text(MIGRATION.format(head=HEAD))
    monkeypatch.setattr(migrations, "__file__", str(folder / "__init__.py"))
    monkeypatch.setattr(migrations, "REVISIONS", [*migrations.REVISIONS, "9999"])
    monkeypatch.setattr(migrations, "HEAD", "9999")
    assert migrate(Warehouse(empty, "public")) == before
    assert migrate(Warehouse(empty, "public")) == "9999"


def test_a_user_without_the_right_to_create_is_told_so(empty: Database) -> None:
    run(empty, "create role may_nothing login")
    try:
        with pytest.raises(
            WarehouseBehindError, match=r"schema analytics .*: permission denied .* user may create in it"
        ):
            migrate(Warehouse(Database("warehouse", make_conninfo(empty.url, user="may_nothing")), "analytics"))
    finally:
        run(empty, "drop role may_nothing")


def test_a_schema_of_the_future_is_told_apart(empty: Database) -> None:
    migrate(Warehouse(empty, "public"))
    run(empty, f"update {VERSION_TABLE} set version_num = '9999'")
    with pytest.raises(WarehouseAheadError, match=r"is at revision 9999, .* Upgrade the platform\."):
        migrate(Warehouse(empty, "public"))


def test_a_server_that_breaks_off_is_not_taken_for_a_bad_schema(empty: Database) -> None:
    with empty.transaction() as holder, empty.connect() as killer, ThreadPoolExecutor(1) as pool:
        holder.execute("select pg_advisory_xact_lock(hashtextextended('totes_dagster.migrate.' || 'analytics', 0))")
        migrating = pool.submit(migrate, Warehouse(empty, "analytics"))
        kill = (
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and wait_event = 'advisory'"
        )
        while not migrating.done() and not killer.execute(kill).rowcount:
            pass
        with pytest.raises(DatabaseUnavailableError):
            migrating.result(timeout=30)
    assert migrate(Warehouse(empty, "analytics")) is None


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("create database latin template template0 encoding 'LATIN1' locale_provider libc locale 'C'")
        try:
            with pytest.raises(WarehouseSchemaError, match="encoding LATIN1, which cannot hold every text"):
                migrate(Warehouse(Database("warehouse", postgres.url("latin")), "public"))
            with psycopg.connect(postgres.url("latin")) as refused:
                assert refused.execute(CATALOGUE).fetchall() == []
        finally:
            connection.execute("drop database latin with (force)")


def test_two_migrations_of_one_revision_are_refused(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "REVISIONS", [*migrations.REVISIONS, HEAD])
    with pytest.raises(WarehouseSchemaError, match=f"2 migrations in .* are called {HEAD}: renumber the newer"):
        migrate(Warehouse(empty))


def test_the_revision_of_a_warehouse_is_known_before_and_after_a_migration(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert revision_of(Warehouse(empty)) is None
    migrate(Warehouse(empty))
    assert revision_of(Warehouse(empty)) == HEAD
    monkeypatch.setattr(migrations, "REVISIONS", ["0001"])
    with pytest.raises(WarehouseAheadError, match=f"is at revision {HEAD}, which this version"):
        revision_of(Warehouse(empty))
