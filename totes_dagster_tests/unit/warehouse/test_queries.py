"""Versions are in the order of their batches, whatever numbers their rows were given; and old batches cost nothing."""

import pytest
from psycopg import sql

from totes_dagster.schema.facts import fact_sales_order
from totes_dagster.warehouse.queries import NewestLoad, newest_load
from totes_dagster.warehouse.status import loaded_batch, warehouse_status
from totes_dagster_tests.unit.warehouse.orders import load_orders, load_without_care, order, restart_sequence
from totes_dagster_tests.unit.warehouses import NewWarehouse

PLAIN = pytest.mark.parametrize("warehouse", ["public"], indirect=True)

NEWEST = "select sales_order_id, units_sold from current_sales_order order by 1"
RECORD_IDS = "select sales_record_id, units_sold, batch from fact_sales_order where sales_order_id = 1 order by batch"


@pytest.fixture
def moved(warehouse: NewWarehouse) -> NewWarehouse:
    """A warehouse whose newest version of order 1 has a lower record id than the ones before it."""
    warehouse.run("select setval('fact_sales_order_sales_record_id_seq', 100)")
    load_orders(warehouse, 1, order(1, units_sold=10), order(2, units_sold=20))
    load_orders(warehouse, 2, order(1, units_sold=11))
    restart_sequence(warehouse, 5)
    load_without_care(warehouse, 3, 12)
    assert warehouse.ask(RECORD_IDS) == [(101, 10, 1), (103, 11, 2), (5, 12, 3)]
    return warehouse


def test_the_newest_version_is_the_one_of_the_newest_batch(moved: NewWarehouse) -> None:
    assert moved.ask(NEWEST) == [(1, 12), (2, 20)]


def test_a_version_is_compared_with_the_one_of_the_newest_batch(moved: NewWarehouse) -> None:
    assert load_orders(moved, 4, order(1, units_sold=12)) == (0, 0)
    assert load_orders(moved, 5, order(1, units_sold=11)) == (0, 1)
    assert moved.ask(NEWEST) == [(1, 11), (2, 20)]


def test_versions_that_repeat_another_are_found_in_the_order_of_batches(moved: NewWarehouse) -> None:
    load_without_care(moved, 4, 12)
    with moved.begin() as transaction:
        assert transaction.remove_repeated_versions(fact_sales_order, [1, 2]) == 1
        transaction.commit()
    assert [row[1:] for row in moved.ask(RECORD_IDS)] == [(10, 1), (11, 2), (12, 3)]


def test_a_copy_in_an_earlier_batch_goes_and_the_original_stays(warehouse: NewWarehouse) -> None:
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
def test_of_an_adopted_row_and_its_repeat_the_later_one_goes(
    warehouse: NewWarehouse, adopted: int, loaded: int
) -> None:
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


# The newest load


def fill_history(warehouse: NewWarehouse, batches: int) -> None:
    warehouse.run(
        "insert into load_history "
        "select n, timestamptz '2024-01-01 UTC' + n * interval '1 min', now(), 'digest ' || n, '{}' "
        f"from generate_series(1, {batches}) as n"
    )


@PLAIN
def test_before_the_first_load_there_is_no_newest(warehouse: NewWarehouse) -> None:
    with warehouse.connect() as connection:
        assert newest_load(connection, "public") == NewestLoad(0, None, "")
    with warehouse.begin() as transaction:
        assert transaction.newest_load() == NewestLoad(0, None, "")
    assert loaded_batch(warehouse) == 0
    assert warehouse_status(warehouse).newest.snapshot_at is None


def test_the_newest_load_is_found_without_reading_the_others(warehouse: NewWarehouse) -> None:
    fill_history(warehouse, 10_000)
    with warehouse.begin() as transaction:
        assert (transaction.newest_load().batch, transaction.newest_load().manifest_sha256) == (10_000, "digest 10000")
        assert transaction.fetch(
            sql.SQL(
                "select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables where relname = 'load_history' "
                "and schemaname = {}"
            ).format(sql.Literal(warehouse.schema))
        ) == (0, 2)
    assert warehouse_status(warehouse).newest.batch == 10_000
    assert loaded_batch(warehouse) == 10_000
