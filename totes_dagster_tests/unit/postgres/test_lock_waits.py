"""Who holds a lock, in words."""

import time
from collections.abc import Callable

import psycopg
import pytest

from totes_dagster.postgres import lock_waits
from totes_dagster_tests.unit.warehouses import NewWarehouse

pytestmark = pytest.mark.parametrize("warehouse", ["public"], indirect=True)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_prepared_transaction_in_the_way_is_named_as_such(warehouse: NewWarehouse) -> None:
    with warehouse.connect() as connection:
        assert lock_waits.described_sessions(connection, [0]) == (
            "a prepared transaction (see pg_prepared_xacts) holds"
        )


def test_of_many_sessions_in_the_way_a_few_are_named(warehouse: NewWarehouse) -> None:
    with psycopg.connect(warehouse.database.url, application_name="one of many") as first:
        first.execute("lock table dim_staff in access share mode")
        pid = first.info.backend_pid
        others = [psycopg.connect(warehouse.database.url) for _ in range(4)]
        try:
            for other in others:
                other.execute("select from dim_staff")
            with warehouse.connect() as connection:
                described = lock_waits.holders_of_tables(connection, "public")
        finally:
            for other in others:
                other.close()
    assert described.startswith(f"session {pid} of postgres (one of many), in a transaction since ")
    assert described.endswith(" and 2 more hold")
    with warehouse.connect() as connection:
        # A session goes on for a moment after its client has closed it.
        until(lambda: lock_waits.holders_of_tables(connection, "public") == "")
