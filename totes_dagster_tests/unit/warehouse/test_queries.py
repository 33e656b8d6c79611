"""Versions are in the order of their batches, whatever numbers their rows were given; and old batches cost nothing."""

from typing import Any

import psycopg
import pytest

from totes_dagster.errors import AccessDeniedError
from totes_dagster.schema.facts import fact_sales_order
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.queries import NewestLoad, newest_load
from totes_dagster.warehouse.status import loaded_batch, warehouse_status
from totes_dagster_tests.unit.conftest import Warehouse
from totes_dagster_tests.unit.warehouse.test_load_transaction import load_orders, order

PLAIN = pytest.mark.parametrize("warehouse", ["public"], indirect=True)

NEWEST = "select sales_order_id, units_sold from current_sales_order order by 1"
RECORD_IDS = "select sales_record_id, units_sold, batch from fact_sales_order where sales_order_id = 1 order by batch"


def restart_sequence(warehouse: Warehouse, at: int = 1) -> None:
    """Leave the sequence behind, as replication and some restores do."""
    warehouse.run(f"alter sequence fact_sales_order_sales_record_id_seq restart with {at}")


def load_without_care(warehouse: Warehouse, batch: int, units: int) -> None:
    """Write a version as a load did that took whatever number the sequence gave."""
    warehouse.run(
        "insert into fact_sales_order select (jsonb_populate_record(shown, jsonb_build_object("
        "'sales_record_id', nextval('fact_sales_order_sales_record_id_seq'), 'batch', "
        f"{batch}, 'units_sold', {units}))).* from current_sales_order as shown where sales_order_id = 1"
    )


@pytest.fixture
def moved(warehouse: Warehouse) -> Warehouse:
    """A warehouse whose newest version of order 1 has a lower record id than the ones before it."""
    warehouse.run("select setval('fact_sales_order_sales_record_id_seq', 100)")
    load_orders(warehouse, 1, order(1, units_sold=10), order(2, units_sold=20))
    load_orders(warehouse, 2, order(1, units_sold=11))
    restart_sequence(warehouse, 5)
    load_without_care(warehouse, 3, 12)
    assert warehouse.ask(RECORD_IDS) == [(101, 10, 1), (103, 11, 2), (5, 12, 3)]
    return warehouse


def test_the_newest_version_is_the_one_of_the_newest_batch(moved: Warehouse) -> None:
    assert moved.ask(NEWEST) == [(1, 12), (2, 20)]


def test_a_version_is_compared_with_the_one_of_the_newest_batch(moved: Warehouse) -> None:
    assert load_orders(moved, 4, order(1, units_sold=12)) == (0, 0)
    assert load_orders(moved, 5, order(1, units_sold=11)) == (0, 1)
    assert moved.ask(NEWEST) == [(1, 11), (2, 20)]


def test_versions_that_repeat_another_are_found_in_the_order_of_batches(moved: Warehouse) -> None:
    load_without_care(moved, 4, 12)
    with moved.begin() as transaction:
        assert transaction.remove_repeated_versions(fact_sales_order, [1, 2]) == 1
        transaction.commit()
    assert [row[1:] for row in moved.ask(RECORD_IDS)] == [(10, 1), (11, 2), (12, 3)]


def test_a_copy_in_an_earlier_batch_goes_and_the_original_stays(warehouse: Warehouse) -> None:
    for batch, units in ((1, 10), (2, 11), (3, 12)):
        load_orders(warehouse, batch, order(1, units_sold=units))
    before = warehouse.ask(RECORD_IDS)
    for batch in (1, 2):
        load_without_care(warehouse, batch, 12)
    with warehouse.begin() as transaction:
        assert transaction.remove_repeated_versions(fact_sales_order, [1]) == 2
        transaction.commit()
    assert warehouse.ask(RECORD_IDS) == before


@pytest.mark.parametrize(("adopted", "loaded"), [(1, 101), (500, 101)], ids=["written before", "written later"])
@PLAIN
def test_of_an_adopted_row_and_its_repeat_the_later_one_goes(warehouse: Warehouse, adopted: int, loaded: int) -> None:
    warehouse.run("select setval('fact_sales_order_sales_record_id_seq', 100)")
    load_orders(warehouse, 1, order(1, units_sold=10))
    warehouse.run(
        "insert into fact_sales_order select (jsonb_populate_record(shown, jsonb_build_object("
        f"'sales_record_id', {adopted}, 'batch', 0))).* from current_sales_order as shown"
    )
    with warehouse.begin() as transaction:
        assert transaction.remove_repeated_versions(fact_sales_order, [1]) == 1
        transaction.commit()
    assert warehouse.ask(RECORD_IDS) == [(min(adopted, loaded), 10, 0 if adopted < loaded else 1)]


def sequence_of(warehouse: Warehouse) -> tuple[Any, ...]:
    (state,) = warehouse.ask("select last_value, is_called from fact_sales_order_sales_record_id_seq")
    return state


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ("restart with 1", (102, True)),
        ("restart with 102", (102, True)),
        ("restart with 103", (103, False)),
        ("restart with 900", (900, False)),
    ],
)
@PLAIN
def test_a_sequence_is_put_past_the_rows_and_never_back(
    warehouse: Warehouse, behind: str, expected: tuple[int, bool]
) -> None:
    warehouse.run("select setval('fact_sales_order_sales_record_id_seq', 100)")
    load_orders(warehouse, 1, order(1), order(2))
    warehouse.run(f"alter sequence fact_sales_order_sales_record_id_seq {behind}")
    put_past(warehouse)
    assert sequence_of(warehouse) == expected


def put_past(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction:
        transaction.put_sequence_past_record_ids(fact_sales_order)
        transaction.commit()


def test_a_sequence_that_is_as_it_should_be_is_left_alone(warehouse: Warehouse) -> None:
    put_past(warehouse)
    assert sequence_of(warehouse) == (1, False)
    load_orders(warehouse, 1, order(1))
    put_past(warehouse)
    assert sequence_of(warehouse) == (1, True)


@PLAIN
def test_a_loader_that_may_not_set_the_sequence_is_told_so(warehouse: Warehouse) -> None:
    load_orders(warehouse, 1, order(1), order(2))
    restart_sequence(warehouse)
    database = warehouse.database
    warehouse.run("create role half_a_loader login")
    try:
        warehouse.run("grant all on all tables in schema public to half_a_loader")
        warehouse.run("grant usage, select on all sequences in schema public to half_a_loader")
        limited = type(database)(database.name, psycopg.conninfo.make_conninfo(database.url, user="half_a_loader"))
        with (
            pytest.raises(AccessDeniedError, match=r"permission denied for sequence fact_sales_order_sales_record_id_"),
            limited.connect_bulk() as connection,
            LoadTransaction.begin(connection, "public") as transaction,
        ):
            transaction.put_sequence_past_record_ids(fact_sales_order)
    finally:
        warehouse.run("drop owned by half_a_loader")
        warehouse.run("drop role half_a_loader")


# Batches that were not loaded


def test_versions_of_batches_to_come_do_not_outrank_what_these_bring(warehouse: Warehouse) -> None:
    load_orders(warehouse, 1, order(1, units_sold=10), order(2, units_sold=20))
    load_without_care(warehouse, 77, 99)
    assert warehouse.ask(NEWEST) == [(1, 99), (2, 20)]
    assert load_orders(warehouse, 2, order(1, units_sold=11)) == (0, 1)
    assert warehouse.ask(NEWEST) == [(1, 11), (2, 20)]
    assert [row[1:] for row in warehouse.ask(RECORD_IDS)] == [(10, 1), (11, 2)]


@PLAIN
def test_a_fact_that_is_restored_from_a_later_day_than_its_history_gets_the_same_versions_again(
    warehouse: Warehouse,
) -> None:
    for batch, units in ((1, 10), (2, 11), (3, 12)):
        load_orders(warehouse, batch, order(1, units_sold=units))
    before = [row[1:] for row in warehouse.ask(RECORD_IDS)]
    for batch, units in ((2, 11), (3, 12)):
        assert load_orders(warehouse, batch, order(1, units_sold=units)) == (0, 1)
    assert [row[1:] for row in warehouse.ask(RECORD_IDS)] == before


# The newest load


def fill_history(warehouse: Warehouse, batches: int) -> None:
    warehouse.run(
        "insert into load_history "
        "select n, timestamptz '2024-01-01 UTC' + n * interval '1 min', now(), 'digest ' || n, '{}' "
        f"from generate_series(1, {batches}) as n"
    )


@PLAIN
def test_before_the_first_load_there_is_no_newest(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        assert newest_load(connection, "public") == NewestLoad(0, None, "")
    with warehouse.begin() as transaction:
        assert transaction.newest_load() == NewestLoad(0, None, "")
    assert loaded_batch(Warehouse(warehouse.database, "public")) == 0
    assert warehouse_status(Warehouse(warehouse.database, "public")).snapshot_at is None


def test_the_newest_load_is_found_without_reading_the_others(warehouse: Warehouse) -> None:
    fill_history(warehouse, 10_000)
    with warehouse.begin() as transaction:
        assert (transaction.newest_load().batch, transaction.newest_load().manifest_sha256) == (10_000, "digest 10000")
        assert transaction.fetch(
            "select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables where relname = 'load_history' "
            "and schemaname = $1",
            warehouse.schema,
        ) == (0, 2)
    assert warehouse_status(Warehouse(warehouse.database, warehouse.schema)).batch == 10_000
    assert loaded_batch(Warehouse(warehouse.database, warehouse.schema)) == 10_000


# Record ids


@PLAIN
def test_the_part_of_the_record_ids_that_is_used_up_is_known(warehouse: Warehouse) -> None:
    assert warehouse_status(Warehouse(warehouse.database, "public")).record_ids_used == {
        "fact_sales_order": 0,
        "fact_purchase_order": 0,
        "fact_payment": 0,
    }
    warehouse.run("alter sequence fact_payment_payment_record_id_seq maxvalue 1000")
    warehouse.run("select setval('fact_payment_payment_record_id_seq', 810)")
    assert warehouse_status(Warehouse(warehouse.database, "public")).record_ids_used["fact_payment"] == 0.81


def test_record_ids_go_past_two_to_the_31(warehouse: Warehouse) -> None:
    warehouse.run(f"select setval('fact_sales_order_sales_record_id_seq', {2**31 - 1})")
    load_orders(warehouse, 1, order(1, units_sold=10))
    assert warehouse.ask("select sales_record_id, units_sold from current_sales_order") == [(2**31, 10)]
