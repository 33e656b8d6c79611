"""What the warehouse says of itself: used record ids, the batches that last changed the tables, and their rows."""

from decimal import Decimal

import pytest

from totes_dagster.schema.registry import FACTS
from totes_dagster.schema.star import remodelled_columns
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.status import last_changes, warehouse_status
from totes_dagster_tests.oracle import wrong_totals
from totes_dagster_tests.unit.warehouse.batches import MakeBatch, payment
from totes_dagster_tests.unit.warehouse.orders import load_orders, order
from totes_dagster_tests.unit.warehouses import NewWarehouse


@pytest.mark.parametrize("warehouse", ["public"], indirect=True)
def test_the_part_of_the_record_ids_that_is_used_up_is_known(warehouse: NewWarehouse) -> None:
    assert warehouse_status(warehouse).record_ids_used == dict.fromkeys(FACTS, 0)
    warehouse.run("alter sequence fact_payment_payment_record_id_seq maxvalue 1000")
    warehouse.run("select setval('fact_payment_payment_record_id_seq', 810)")
    assert warehouse_status(warehouse).record_ids_used["fact_payment"] == 0.81


def test_record_ids_go_past_two_to_the_31(warehouse: NewWarehouse) -> None:
    warehouse.run(f"select setval('fact_sales_order_sales_record_id_seq', {2**31 - 1})")
    load_orders(warehouse, 1, order(1, units_sold=10))
    assert warehouse.ask("select sales_record_id, units_sold from current_sales_order") == [(2**31, 10)]


def test_the_batch_that_last_changed_a_table_is_known_also_after_a_restore(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, order(1, units_sold=10))
    load_orders(warehouse, 2, order(1, units_sold=11))
    load_orders(warehouse, 3, order(1, units_sold=11))  # the same again
    counts = "jsonb_build_object('fact_sales_order', jsonb_build_object('new', {}, 'changed', {}))"
    for batch, new, changed in ((1, 1, 0), (2, 0, 1), (3, 0, 0)):
        warehouse.run(
            "insert into load_history (batch, snapshot_at, manifest_sha256, tables) "
            f"values ({batch}, now(), '', {counts.format(new, changed)})"
        )
    newest, changes = last_changes(warehouse, 0)
    assert (newest.batch, changes) == (3, {"fact_sales_order": 2})
    assert last_changes(warehouse, 2)[1] == {}
    # Dagster may know of batches that the warehouse lost.
    assert last_changes(warehouse, 9)[1] == {"fact_sales_order": 2}


def test_rows_that_no_load_has_counted_are_counted(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    batch(payment(1), payment(2)).remodel_and_load(warehouse)
    kept = warehouse_status(warehouse)
    warehouse.run("update load_history set totals = null")  # as an earlier version of the platform left it
    assert warehouse_status(warehouse) == kept
    batch(payment(2), payment(3)).remodel_and_load(warehouse)
    assert wrong_totals(warehouse.database.url, warehouse.schema) == []
    assert warehouse_status(warehouse).rows["fact_payment"] == kept.rows["fact_payment"] + 1


def test_a_batch_that_is_small_does_not_scan_what_is_there(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    batch(payment(1), payment(2)).remodel_and_load(warehouse)
    warehouse.run("update load_history set totals = jsonb_set(totals, '{fact_payment,rows}', '1000')")
    batch(payment(3)).remodel_and_load(warehouse)
    assert warehouse_status(warehouse).rows["fact_payment"] == 1001


def test_a_table_that_was_emptied_and_captured_again_is_not_counted_twice(
    warehouse: NewWarehouse, batch: MakeBatch
) -> None:
    batch(payment(1), payment(2)).remodel_and_load(warehouse)
    warehouse.run("truncate fact_payment")
    batch(payment(1), payment(2), content=Capture.WHOLE).remodel_and_load(warehouse)
    assert wrong_totals(warehouse.database.url, warehouse.schema) == []
    assert warehouse_status(warehouse).rows["fact_payment"] == 2


def test_versions_that_are_removed_are_counted_no_more(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    batch(payment(1), payment(2)).remodel_and_load(warehouse)
    # As after a restore of `load_history` to an earlier state than the fact's, by an earlier version of the platform.
    columns = ", ".join(column.name for column in remodelled_columns(FACTS["fact_payment"]))
    warehouse.run(f"insert into fact_payment ({columns}, batch) select {columns}, 9 from fact_payment")
    warehouse.run("update load_history set totals = null")
    batch(payment(3)).remodel_and_load(warehouse)
    assert warehouse_status(warehouse).rows["fact_payment"] == 5
    batch(payment(1, payment_amount=Decimal("7.77"))).remodel_and_load(warehouse)  # removes its version of batch 9
    assert wrong_totals(warehouse.database.url, warehouse.schema) == []
