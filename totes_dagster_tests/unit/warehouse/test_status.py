"""How much of the record ids is used up."""

import pytest

from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse.status import warehouse_status
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
