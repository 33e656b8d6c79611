"""Transactions whose order is gone: the newer form of the source keeps them, of no order."""

import pytest

from totes_dagster.pipeline import reconcile
from totes_dagster_tests.system.end_to_end.reconciliation import Reconciliation, found_in
from totes_dagster_tests.world import NEW_DEAL, World

ORDERS = ("sales_order", "purchase_order")
PAYMENT = "select payment_amount, paid from current_payment join dim_transaction using (transaction_id)"


def transaction_of(company: World, table: str, key: int) -> int:
    return int(company.ask_one(f"select transaction_id from dim_transaction where {table}_id = %s", key))


def orders_of(company: World, transaction: int) -> list[tuple[str, int | None, int | None]]:
    query = "select transaction_type, sales_order_id, purchase_order_id from dim_transaction where transaction_id = %s"
    return company.ask(query, transaction)


@pytest.mark.parametrize("table", ORDERS)
def test_an_order_that_is_deleted_alone_leaves_its_transaction_of_no_order(company: World, table: str) -> None:
    transaction = transaction_of(company, table, 7)
    ((kind, *_),) = orders_of(company, transaction)
    payment = company.ask(f"{PAYMENT} where transaction_id = %s", transaction)
    company.change(f"delete from {table} where {table}_id = 7")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert orders_of(company, transaction) == [(kind, None, None)]
    assert company.versions(f"fact_{table}", 7) == ["live", "deleted"]
    # The payment has not changed, and is still there to be joined.
    assert company.versions("fact_payment", transaction) == ["live"]
    assert company.ask(f"{PAYMENT} where transaction_id = %s", transaction) == payment != []
    assert company.has_arrived()


def test_in_the_first_batch_a_transaction_of_no_order_is_one_like_any_other(unseen_company: World) -> None:
    unseen_company.change(*(f"delete from {table} where {table}_id <= 3" for table in ORDERS))
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []
    of_none = "select transaction_type, count(*) from dim_transaction where sales_order_id is null "
    assert unseen_company.ask(f"{of_none} and purchase_order_id is null group by 1 order by 1") == [
        ("PURCHASE", 3),
        ("SALE", 3),
    ]
    assert unseen_company.has_arrived()


def test_a_transaction_that_gets_its_order_back_is_of_that_order_again(company: World) -> None:
    transaction = transaction_of(company, "sales_order", 7)
    company.change("create table kept as select * from sales_order where sales_order_id = 7")
    company.change("delete from sales_order where sales_order_id = 7")
    company.refresh()
    company.change(
        "insert into sales_order select * from kept",
        f"update transaction set sales_order_id = 7 where transaction_id = {transaction}",
    )
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert orders_of(company, transaction) == [("SALE", 7, None)]
    assert company.versions("fact_sales_order", 7) == ["live", "deleted", "live"]
    assert company.versions("fact_payment", transaction) == ["live"]


def test_an_order_that_is_given_another_number_takes_its_transaction_along(company: World) -> None:
    transaction = transaction_of(company, "sales_order", 7)
    company.change("update sales_order set sales_order_id = 70007 where sales_order_id = 7")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert orders_of(company, transaction) == [("SALE", 70007, None)]


def test_a_reconciliation_takes_a_transaction_of_no_order_as_it_is(company: World) -> None:
    it = Reconciliation(company)
    transaction = transaction_of(company, "sales_order", 7)
    it.change("delete from sales_order where sales_order_id = 7")
    assert found_in(it.reconcile()) == {}
    assert orders_of(company, transaction) == [("SALE", None, None)]
    it.see_that_nothing_is_left()

    it.damage(f"update dim_transaction set sales_order_id = 7 where transaction_id = {transaction}")
    assert {star: found.different for star, found in found_in(it.reconcile()).items()} == {
        "dim_transaction": (transaction,)
    }
    assert orders_of(company, transaction) == [("SALE", None, None)]
    assert company.versions("fact_payment", transaction) == ["live"]
    it.see_that_nothing_is_left()


def test_a_transaction_of_no_order_that_nobody_refreshed_arrives_with_a_reconciliation(company: World) -> None:
    company.change(*NEW_DEAL)
    company.change("delete from sales_order where sales_order_id = 1000")
    done = reconcile(company.platform)
    assert (found_in(done), done.repair) == ({}, None)
    assert company.wrongs(strict=True) == []
    assert orders_of(company, 1000) == [("SALE", None, None)]
    assert company.versions("fact_sales_order", 1000) == []
    assert company.versions("fact_payment", 1000) == ["live"]
