"""Transactions on the warehouse: all or nothing, one after the other, and no wait for a lock that lasts for ever."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import DatabaseBusyError, DatabaseError
from totes_dagster.postgres import lock_waits
from totes_dagster.schema.dimensions import dim_design, dim_staff
from totes_dagster.warehouse import transaction as warehouse_transaction
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.unit.manifests import star_rows
from totes_dagster_tests.unit.warehouses import NewWarehouse

PLAIN = pytest.mark.parametrize("warehouse", ["public"], indirect=True)

LOCK = "select pg_advisory_xact_lock(hashtextextended('totes_dagster.load.' || 'public', 0))"
IN_THE_WAY = {
    "another load": LOCK,
    "a lock on a table": "lock table dim_staff in share mode",
    "a row that is being changed": "update dim_staff set first_name = 'x' where staff_id = 1",
}


def test_nothing_is_kept_of_a_transaction_that_was_not_committed(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        transaction.copy(dim_staff, star_rows("dim_staff", {}))
    with pytest.raises(ZeroDivisionError), warehouse.begin() as transaction:
        transaction.copy(dim_staff, star_rows("dim_staff", {}))
        raise ZeroDivisionError
    assert warehouse.ask("select count(*) from dim_staff") == [(0,)]


def test_what_the_database_refuses_is_an_error_of_ours(warehouse: NewWarehouse) -> None:
    with (
        pytest.raises(DatabaseError, match=r"Loading the warehouse failed: .*duplicate key value"),
        warehouse.begin() as transaction,
    ):
        transaction.copy(dim_staff, star_rows("dim_staff", {}, {}))


def test_a_second_load_waits_for_the_first_and_then_sees_its_work(warehouse: NewWarehouse) -> None:
    begun = threading.Event()

    def second() -> bool:
        begun.set()
        with warehouse.begin() as transaction:
            return transaction.is_empty(dim_staff)

    waiting = (
        "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = "
        "(select oid from pg_database where datname = current_database())"
    )
    with ThreadPoolExecutor(1) as pool:
        with warehouse.begin() as transaction:
            transaction.copy(dim_staff, star_rows("dim_staff", {}))
            found_empty = pool.submit(second)
            assert begun.wait(10)
            with psycopg.connect(warehouse.database.url, autocommit=True) as watcher:
                while watcher.execute(waiting).fetchone() == (0,):
                    assert not found_empty.done()
            transaction.commit()
        assert found_empty.result(timeout=30) is False


def test_one_connection_can_load_into_two_schemas_one_after_the_other(warehouse: NewWarehouse) -> None:
    second = Warehouse(warehouse.database, "second")
    migrate(second)
    with warehouse.database.connect() as connection:
        for each in (warehouse, second):
            with LoadTransaction.begin(connection, each) as transaction:
                assert transaction.is_empty(dim_design)
                transaction.create_staging(dim_design)
                transaction.stage(dim_design, star_rows("dim_design", {"design_name": each.schema}))
                assert transaction.merge_dimension(dim_design) == (1, 0)
                transaction.commit()
    assert warehouse.ask("select design_name from dim_design") == [(warehouse.schema,)]
    assert warehouse.ask("select design_name from second.dim_design") == [("second",)]


# Waiting for a lock


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waits, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(lock_waits, "NEXT_LOOKS", 0.02)


@contextmanager
def holder(warehouse: NewWarehouse, statement: str) -> Iterator[psycopg.Connection]:
    """Somebody who holds a lock, and does nothing else."""
    with psycopg.connect(warehouse.database.url, application_name="a laptop") as connection:
        connection.execute(statement)
        yield connection


def merge_a_member(warehouse: NewWarehouse, first_name: str = "Ada") -> None:
    with warehouse.begin() as transaction:
        transaction.create_staging(dim_staff)
        transaction.stage(dim_staff, star_rows("dim_staff", {"staff_id": 1, "first_name": first_name}))
        transaction.merge_dimension(dim_staff)
        transaction.commit()


@PLAIN
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("statement", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_while_a_load_waits_the_log_says_for_whom(warehouse: NewWarehouse, statement: str) -> None:
    merge_a_member(warehouse, "Grace")
    said, lines = threading.Event(), list[str]()

    class Notice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            said.set()

    notice = Notice(logging.WARNING)
    lock_waits.logger.addHandler(notice)
    try:
        with ThreadPoolExecutor(1) as pool, holder(warehouse, statement) as in_the_way:
            loading = pool.submit(merge_a_member, warehouse)
            assert said.wait(30)
            assert not loading.done()
            in_the_way.rollback()
            loading.result(timeout=30)
    finally:
        lock_waits.logger.removeHandler(notice)
    assert lines[0].startswith("Loading the warehouse waits for a lock that session ")
    assert " of postgres (a laptop), in a transaction since " in lines[0]
    assert lines[0].endswith(" UTC, holds.")
    assert warehouse.ask("select first_name from dim_staff") == [("Ada",)]


@PLAIN
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("statement", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_a_load_that_waited_long_fails_with_the_name_of_who_was_in_the_way(
    warehouse: NewWarehouse, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_a_member(warehouse)
    monkeypatch.setattr(warehouse_transaction, "LONG_WAIT", "200ms")
    with holder(warehouse, statement) as in_the_way:
        with pytest.raises(DatabaseBusyError) as busy:
            merge_a_member(warehouse, "Grace")
        assert f"session {in_the_way.info.backend_pid} of postgres (a laptop), in a transaction" in str(busy.value)
        assert "holds a lock that it needs, and still did after 200ms." in str(busy.value)
        assert busy.value.transient
    merge_a_member(warehouse, "Grace")
    assert warehouse.ask("select first_name from dim_staff") == [("Grace",)]
