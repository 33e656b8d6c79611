"""A migration that others are in the way of waits in short pieces, lets readers through, and says who it was."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import DatabaseBusyError
from totes_dagster.postgres.database import Database
from totes_dagster.warehouse import migrations
from totes_dagster.warehouse.migrations import HEAD, migrate
from totes_dagster_tests.integration.warehouse.migrations.catalogue import catalogue

LOCK = "select pg_advisory_xact_lock(hashtextextended('totes_dagster.migrate.' || 'public', 0))"


def reader_of(database: Database) -> psycopg.Connection:
    return psycopg.connect(make_conninfo(database.url, application_name="a notebook"))


def test_an_open_transaction_of_a_reader_is_named_and_nothing_is_changed(
    earlier: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "PATIENCE", 0.0)
    before = catalogue(earlier)
    with reader_of(earlier) as reader:
        reader.execute("select from current_payment")
        pid = reader.info.backend_pid
        with pytest.raises(DatabaseBusyError) as busy:
            migrate(Warehouse(earlier, "public"))
    assert busy.value.transient
    assert "and nothing was changed: session" in str(busy.value)
    assert f"session {pid} of postgres (a notebook), in a transaction since " in str(busy.value)
    assert str(busy.value).endswith("or end them with pg_terminate_backend.")
    assert catalogue(earlier) == before
    assert migrate(Warehouse(earlier, "public")) == "0002"


def test_a_migration_is_tried_again_until_the_reader_has_finished_and_others_read_meanwhile(
    earlier: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = threading.Event()

    def pause(_seconds: float) -> None:
        paused.set()

    monkeypatch.setattr(time, "sleep", pause)
    with ThreadPoolExecutor(1) as pool, reader_of(earlier) as reader:
        reader.execute("select from fact_payment")
        migrating = pool.submit(migrate, Warehouse(earlier, "public"))
        for _ in range(3):
            paused.clear()
            assert paused.wait(30)
            with psycopg.connect(earlier.url) as other:
                assert other.execute("select count(*) from fact_payment").fetchall() == [(0,)]
        assert not migrating.done()
        reader.rollback()
        assert migrating.result(timeout=60) == "0002"


def test_another_migration_is_waited_for_and_then_named(earlier: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LONG_WAIT", "50ms")
    with reader_of(earlier) as other:
        other.execute(LOCK)
        with pytest.raises(DatabaseBusyError, match=r"the migration lock, and still did after 50ms\.") as busy:
            migrate(Warehouse(earlier, "public"))
    assert busy.value.transient
    assert migrate(Warehouse(earlier, "public")) == "0002"


def test_a_warehouse_that_is_up_to_date_asks_for_no_lock(earlier: Database) -> None:
    migrate(Warehouse(earlier, "public"))
    with reader_of(earlier) as reader:
        reader.execute("lock table fact_payment, quarantine, load_history in row exclusive mode")
        reader.execute(LOCK)
        assert migrate(Warehouse(earlier, "public")) == HEAD
