"""Sales orders, and loads that bring versions of them."""

from collections.abc import Mapping
from typing import Any

from totes_dagster.schema.facts import fact_sales_order
from totes_dagster_tests.unit.manifests import star_rows
from totes_dagster_tests.unit.warehouses import NewWarehouse

Values = Mapping[str, Any]
ORDERS = "fact_sales_order"


def order(number: int, **values: Any) -> Values:
    return {"sales_order_id": number, **values}


def load_orders(warehouse: NewWarehouse, batch: int, *orders: Values) -> tuple[int, int]:
    """Append versions of sales orders as a load does; return how many are new, and changed."""
    with warehouse.begin() as transaction:
        transaction.create_staging(fact_sales_order)
        transaction.stage(fact_sales_order, star_rows(ORDERS, *orders))
        transaction.add_placeholders(fact_sales_order)
        counts = transaction.append_versions(fact_sales_order, batch)
        transaction.commit()
    return counts


def versions(warehouse: NewWarehouse) -> list[tuple[Any, ...]]:
    return warehouse.ask(
        "select sales_order_id, units_sold, is_deleted, batch from fact_sales_order order by sales_record_id"
    )


def load_without_care(warehouse: NewWarehouse, batch: int, units: int) -> None:
    """Write a version as a load did that took whatever number the sequence gave."""
    warehouse.run(
        "insert into fact_sales_order select (jsonb_populate_record(shown, jsonb_build_object("
        "'sales_record_id', nextval('fact_sales_order_sales_record_id_seq'), 'batch', "
        f"{batch}, 'units_sold', {units}))).* from current_sales_order as shown where sales_order_id = 1"
    )


def restart_sequence(warehouse: NewWarehouse, at: int = 1) -> None:
    """Leave the sequence behind, as replication and some restores do."""
    warehouse.run(f"alter sequence fact_sales_order_sales_record_id_seq restart with {at}")
