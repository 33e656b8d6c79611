"""Every committed change reaches the warehouse, exactly once, however it was made."""

import pytest

from totes_dagster_tests.world import NEW_DEAL, NEW_ORDER, World, of_the_older_source

SILENT_EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"

# Late, silent and nested writers


@pytest.mark.parametrize("savepoint", [False, True], ids=["at the top", "in a savepoint"])
def test_a_row_that_commits_late_is_not_lost(company: World, savepoint: bool) -> None:
    with company.transaction() as late:
        if savepoint:
            late.execute("savepoint work")
        late.execute(NEW_ORDER)
        late.execute(
            "update sales_order set created_at = '2020-01-01', last_updated = '2020-01-01' where units_sold = 123"
        )
        if savepoint:
            late.execute("release savepoint work")
        # Somebody else commits later rows first, and they are refreshed.
        company.change("update payment set paid = not paid, last_updated = now() where payment_id = 3")
        company.refresh()
        assert company.wrongs() == []
        assert company.versions("fact_sales_order", 1000) == []
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 1000) == ["live"]
    assert company.versions("fact_payment", 3) == ["live", "live"]
    assert company.has_arrived()


def test_a_row_edited_late_is_not_lost(company: World) -> None:
    with company.transaction() as late:
        late.execute("savepoint work")
        late.execute(SILENT_EDIT)
        company.refresh()
        company.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 8")
        company.refresh()
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert company.versions("fact_sales_order", 8) == ["live", "live"]
    assert company.has_arrived()


def test_a_row_edited_without_its_stamp_moving_is_not_lost(company: World) -> None:
    company.change(SILENT_EDIT)
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    assert company.has_arrived()


def test_rows_seen_again_because_somebody_keeps_a_transaction_open_make_no_second_version(company: World) -> None:
    with company.transaction():
        for key in (7, 8, 9):
            company.change(f"update sales_order set units_sold = units_sold + 1 where sales_order_id = {key}")
            company.refresh()
            assert company.wrongs(strict=True) == []
        for key in (7, 8, 9):
            assert company.versions("fact_sales_order", key) == ["live", "live"]
    assert company.has_arrived()


def test_an_edit_that_is_taken_back_before_anybody_looks_makes_no_version(company: World) -> None:
    company.change(SILENT_EDIT)
    company.change("update sales_order set units_sold = units_sold - 1 where sales_order_id = 7")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.versions("fact_sales_order", 7) == ["live"]
    assert company.has_arrived()


def test_a_change_that_is_rolled_back_makes_no_batch(company: World) -> None:
    with company.transaction() as doomed:
        doomed.execute(SILENT_EDIT)
        doomed.rollback()
    assert company.has_arrived()


def test_when_nothing_changed_there_is_no_batch(company: World) -> None:
    head = company.head()
    assert company.refresh().ingested.batch is None
    assert company.has_arrived()
    assert company.ask_one("select count(*) from load_history") == head


# Deletions


def test_a_deleted_order_leaves_the_current_state_and_stays_in_the_history(company: World) -> None:
    company.change("delete from sales_order where sales_order_id = 7")
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "deleted"]
    assert company.has_arrived()


def test_an_order_that_comes_back_is_live_again(company: World) -> None:
    company.change(
        "create table kept as select * from sales_order where sales_order_id = 7",
        "delete from sales_order where sales_order_id = 7",
    )
    company.refresh()
    company.change("insert into sales_order select * from kept")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.versions("fact_sales_order", 7) == ["live", "deleted", "live"]
    assert company.has_arrived()


def test_an_order_deleted_and_restored_between_two_refreshes_makes_no_version(company: World) -> None:
    company.change(
        "create table kept as select * from sales_order where sales_order_id = 7",
        "delete from sales_order where sales_order_id = 7",
    )
    company.change("insert into sales_order select * from kept")
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.versions("fact_sales_order", 7) == ["live"]
    assert company.has_arrived()


def test_a_deletion_and_an_insertion_of_one_batch_both_arrive(company: World) -> None:
    company.change("delete from sales_order where sales_order_id = 7", *NEW_DEAL)
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "deleted"]
    assert company.versions("fact_sales_order", 1000) == ["live"]
    assert company.has_arrived()


def test_an_order_that_is_given_another_number_is_deleted_under_the_old_one(company: World) -> None:
    company.change("update sales_order set sales_order_id = 70000 where sales_order_id = 7")
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "deleted"]
    assert company.versions("fact_sales_order", 70000) == ["live"]
    assert company.has_arrived()


def test_the_newest_order_deleted_and_another_put_in_its_place_is_a_change(company: World) -> None:
    company.change("delete from payment where payment_id = (select max(payment_id) from payment)")
    company.refresh()
    company.change(*NEW_DEAL)
    company.refresh()
    assert company.wrongs() == []
    assert company.has_arrived()


@of_the_older_source
@pytest.mark.parametrize("statement", ["delete from purchase_order", "truncate purchase_order"])
def test_when_all_rows_of_a_table_go_all_are_deleted(company: World, statement: str) -> None:
    company.change(statement)
    company.refresh()
    assert company.wrongs() == []
    assert company.ask_one("select count(*) from current_purchase_order") == 0
    assert company.has_arrived()


# Tables that are not as they were


def test_a_company_without_any_row_is_followed_from_its_first(new_company: World) -> None:
    new_company.refresh()
    assert new_company.ask_one("select count(*) from fact_sales_order") == 0
    assert new_company.has_arrived()
    new_company.change(
        "insert into address values (1, 'a', null, null, 'c', 'p', 'l', 't', now(), now())",
        "insert into counterparty values (1, 'n', 1, null, null, now(), now())",
        "insert into currency values (1, 'GBP', now(), now())",
        "insert into department values (1, 'd', null, null, now(), now())",
        "insert into staff values (1, 'f', 'l', 1, 'e', now(), now())",
        "insert into design values (1, now(), 'd', '/d', 'd.svg', now())",
        "insert into sales_order values (1, now(), now(), 1, 1, 1, 1, 0.01, 1, '2024-02-29', '2024-02-29', 1)",
    )
    new_company.refresh()
    assert new_company.wrongs(strict=True) == []
    assert new_company.has_arrived()


@pytest.mark.parametrize("filled", [False, True], ids=["lowest", "highest"])
def test_values_at_the_edges_of_their_types_arrive_unchanged(company: World, filled: bool) -> None:
    text = "'it''s \"100%\" \\ %s {} \t\n ünïcode 🧵' || repeat('x', 5000)" if filled else "''"
    money = "99999999.99" if filled else "-0.01"
    company.change(
        f"update sales_order set unit_price = {money}, units_sold = -2147483648, "
        "created_at = '1970-01-01 00:00:00', last_updated = '2038-01-19 03:14:07.999' where sales_order_id = 7",
        f"update design set design_name = {text}",
        f"update purchase_order set item_code = {text} where purchase_order_id = 3",
        f"update payment set payment_amount = {money} where payment_id = 3",
    )
    company.refresh()
    assert company.wrongs(strict=True) == []
    assert company.has_arrived()


def test_another_table_that_takes_the_name_is_captured_whole(company: World) -> None:
    company.change(
        "create table other (like sales_order including all)",
        "insert into other select * from sales_order",
        "update other set units_sold = units_sold + 1 where sales_order_id < 5",
    )
    company.change("update payment set paid = not paid where payment_id = 3")
    company.refresh()
    company.change("alter table sales_order rename to former", "alter table other rename to sales_order")
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 4) == ["live", "live"]
    assert company.versions("fact_sales_order", 7) == ["live"]
