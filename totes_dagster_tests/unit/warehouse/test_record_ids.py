"""Record ids of a bulk load are those that the sequence gives, taken at once where nobody can take the same."""

import psycopg
import pytest

from totes_dagster.schema.facts import fact_sales_order
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster_tests.unit.manifests import star_rows
from totes_dagster_tests.unit.warehouse.orders import ORDERS, order
from totes_dagster_tests.unit.warehouses import NewWarehouse

SEQUENCE = "fact_sales_order_sales_record_id_seq"


@pytest.fixture(autouse=True)
def without_references(warehouse: NewWarehouse) -> None:
    """Orders are copied here without anything that they refer to."""
    for key in fact_sales_order.foreign_key_constraints:
        warehouse.run(f"alter table {ORDERS} drop constraint {ORDERS}_{next(iter(key.columns)).name}_fkey")


def copy_orders(transaction: LoadTransaction, *keys: int) -> list[int] | None:
    """Copy orders; return the record ids that were taken for them, if any."""
    rows = transaction.with_record_ids(fact_sales_order, star_rows(ORDERS, *map(order, keys)))
    transaction.copy(fact_sales_order, rows, batch=1)
    return rows.column("sales_record_id").to_pylist() if "sales_record_id" in rows.column_names else None


def ids(warehouse: NewWarehouse) -> list[tuple[int, int]]:
    return warehouse.ask("select sales_record_id, sales_order_id from fact_sales_order order by 1")


def test_they_continue_from_part_to_part_and_the_next_row_follows(warehouse: NewWarehouse) -> None:
    warehouse.run(f"select setval('{SEQUENCE}', 41)")
    with warehouse.begin() as transaction:
        assert copy_orders(transaction, 7, 8, 9) == [42, 43, 44]
        assert copy_orders(transaction, 5) == [45]
        assert copy_orders(transaction) is None
        transaction.commit()
    assert ids(warehouse) == [(42, 7), (43, 8), (44, 9), (45, 5)]
    assert warehouse.ask(f"select nextval('{SEQUENCE}')") == [(46,)]


def test_the_first_is_the_one_that_a_new_sequence_begins_with(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        assert copy_orders(transaction, 7, 8) == [1, 2]


def test_those_of_a_load_that_failed_are_not_given_again(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        assert copy_orders(transaction, 7, 8) == [1, 2]
    with warehouse.begin() as transaction:
        assert copy_orders(transaction, 7, 8) == [3, 4]


def test_an_identity_column_that_is_always_generated_has_them_too(warehouse: NewWarehouse) -> None:
    warehouse.run(
        f"alter table {ORDERS} alter column sales_record_id drop default; drop sequence {SEQUENCE}; "
        f"alter table {ORDERS} alter column sales_record_id add generated always as identity (start with 5)"
    )
    with warehouse.begin() as transaction:
        assert copy_orders(transaction, 7, 8) == [5, 6]
        transaction.commit()
    assert ids(warehouse) == [(5, 7), (6, 8)]


@pytest.mark.parametrize("altered", ["increment by 10", "cycle"])
def test_a_sequence_that_its_owner_altered_gives_them_one_by_one(warehouse: NewWarehouse, altered: str) -> None:
    warehouse.run(f"alter sequence {SEQUENCE} {altered}")
    with warehouse.begin() as transaction:
        assert copy_orders(transaction, 7, 8) is None
        transaction.commit()
    step = 10 if altered == "increment by 10" else 1
    assert ids(warehouse) == [(1, 7), (1 + step, 8)]


def test_beside_another_session_that_adds_rows_they_are_taken_one_by_one(warehouse: NewWarehouse) -> None:
    with warehouse.connect() as other, warehouse.begin() as transaction:
        other.execute(f"lock table {ORDERS} in row exclusive mode")
        assert copy_orders(transaction, 7) is None
        transaction.commit()
    assert ids(warehouse) == [(1, 7)]


def test_until_the_commit_no_other_session_can_add_rows(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        copy_orders(transaction, 7)
        with warehouse.connect() as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(f"lock table {ORDERS} in row exclusive mode nowait")
