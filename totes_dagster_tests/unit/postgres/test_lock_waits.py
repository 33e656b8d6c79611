"""A load that waits for a lock says who holds it, and does not wait for ever."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from totes_dagster.errors import DatabaseBusyError
from totes_dagster.postgres import lock_waits
from totes_dagster.schema.dimensions import dim_staff
from totes_dagster.warehouse import transaction as warehouse_transaction
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster_tests.unit.conftest import Warehouse
from totes_dagster_tests.unit.manifests import star_rows

pytestmark = pytest.mark.parametrize("warehouse", ["public"], indirect=True)

LOCK = "select pg_advisory_xact_lock(hashtextextended('totes_dagster.load.' || 'public', 0))"

IN_THE_WAY = {
    "another load": LOCK,
    "a lock on a table": "lock table dim_staff in share mode",
    "a row that is being changed": "update dim_staff set first_name = 'x' where staff_id = 1",
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waits, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(lock_waits, "NEXT_LOOKS", 0.02)


@contextmanager
def holder(warehouse: Warehouse, statement: str) -> Iterator[psycopg.Connection]:
    """Somebody who holds a lock, and does nothing else."""
    with psycopg.connect(warehouse.database.url, application_name="a laptop") as connection:
        connection.execute(statement)
        yield connection


def merge_a_member(warehouse: Warehouse, first_name: str = "Ada") -> None:
    with (
        warehouse.database.connect_bulk() as connection,
        LoadTransaction.begin(connection, "public", watched_from=warehouse.database) as transaction,
    ):
        transaction.stage(
            dim_staff, iter([("part", star_rows("dim_staff", {"staff_id": 1, "first_name": first_name}))])
        )
        transaction.merge_dimension(dim_staff)
        transaction.commit()


@pytest.mark.parametrize("statement", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_while_a_load_waits_the_log_says_for_whom(warehouse: Warehouse, statement: str) -> None:
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


@pytest.mark.parametrize("statement", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_a_load_that_waited_long_fails_with_the_name_of_who_was_in_the_way(
    warehouse: Warehouse, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_a_member(warehouse)
    monkeypatch.setattr(warehouse_transaction, "LONG_WAIT", "1s")
    with holder(warehouse, statement) as in_the_way:
        with pytest.raises(DatabaseBusyError) as busy:
            merge_a_member(warehouse, "Grace")
        assert f"session {in_the_way.info.backend_pid} of postgres (a laptop), in a transaction" in str(busy.value)
        assert "holds a lock that it needs, and it waited for 1s." in str(busy.value)
        assert busy.value.transient
    merge_a_member(warehouse, "Grace")
    assert warehouse.ask("select first_name from dim_staff") == [("Grace",)]


def test_a_prepared_transaction_in_the_way_is_named_as_such(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        assert lock_waits.described_sessions(connection, [0]) == (
            "a prepared transaction (see pg_prepared_xacts) holds"
        )


def test_of_many_sessions_in_the_way_a_few_are_named(warehouse: Warehouse) -> None:
    with psycopg.connect(warehouse.database.url, application_name="one of many") as first:
        first.execute("lock table dim_staff in access share mode")
        pid = first.info.backend_pid
        others = [psycopg.connect(warehouse.database.url) for _ in range(4)]
        try:
            for other in others:
                other.execute("select from dim_staff")
            with warehouse.connect() as connection:
                told = lock_waits.holders_of_tables(connection, "public")
        finally:
            for other in others:
                other.close()
    assert told.startswith(f"session {pid} of postgres (one of many), in a transaction since ")
    assert told.endswith(" and 2 more hold")
    with warehouse.connect() as connection:
        assert lock_waits.holders_of_tables(connection, "public") == ""
