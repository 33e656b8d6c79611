"""Rows that cannot become rows of the warehouse: set aside with the reason, while all others flow."""

import pytest

from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.specification import FACTS
from totes_dagster_tests.system.end_to_end.badness import EDIT, MENDED, SOON, nullable
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import NEW_ORDER, World, of_the_older_source

UNUSED = sorted(set(SOURCE_TABLES["payment"].columns.keys()) - FACTS["fact_payment"].uses("payment"))
"""The columns of payments that the warehouse does not show: integers, and not nullable."""

NO_INT32 = "{}, which int32 cannot hold"
NO_MONEY = "{}, which decimal128(10, 2) cannot hold"
BAD_VALUES: list[tuple[str, int, str, str, str]] = [
    ("sales_order", 1, "agreed_payment_date", "'2023-02-30'", "'2023-02-30'"),
    ("sales_order", 2, "agreed_payment_date", "''", "''"),
    ("sales_order", 3, "agreed_delivery_date", "'soon'", "'soon'"),
    ("sales_order", 4, "agreed_delivery_date", "null", "null"),
    ("sales_order", 5, "units_sold", "3000000000", NO_INT32.format(3_000_000_000)),
    ("sales_order", 6, "design_id", "-3000000000", NO_INT32.format(-3_000_000_000)),
    ("sales_order", 7, "unit_price", "'NaN'", NO_MONEY.format("NaN")),
    ("sales_order", 8, "unit_price", "100000000", NO_MONEY.format(100_000_000)),
    ("sales_order", 9, "unit_price", "1.005", NO_MONEY.format("1.005")),
    ("sales_order", 10, "unit_price", "null", "null"),
    ("sales_order", 11, "created_at", "'infinity'", "infinity"),
    ("sales_order", 12, "created_at", "'-infinity'", "-infinity"),
    ("sales_order", 13, "last_updated", "'12000-01-01'", "12000-01-01 00:00:00.000000"),
    ("sales_order", 14, "last_updated", "'0044-03-15 BC'", "-0043-03-15 00:00:00.000000"),
    ("sales_order", 15, "last_updated", "'294276-12-31'", "after the year 294246"),
    ("payment", 1, "paid", "null", "null"),
    ("payment", 2, "payment_date", "'0000-01-01'", "'0000-01-01'"),
    ("payment", 3, "payment_date", "' 2024-01-01'", "' 2024-01-01'"),
    ("purchase_order", 1, "item_code", "null", "null"),
    ("transaction", 1, "transaction_type", "null", "null"),
    ("transaction", 2, "sales_order_id", "3000000000", NO_INT32.format(3_000_000_000)),
    ("address", 1, "city", "null", "null"),
    ("counterparty", 1, "counterparty_legal_name", "null", "null"),
    ("currency", 1, "currency_code", "null", "null"),
    ("design", 1, "file_name", "null", "null"),
    ("payment_type", 1, "payment_type_name", "null", "null"),
    ("staff", 1, "email_address", "null", "null"),
]
"""Table, key, column, a bad value, and what the reason says that it is."""

WIDER = (
    "alter table sales_order alter units_sold type bigint, alter design_id type bigint, alter unit_price type numeric",
    "alter table transaction alter sales_order_id type bigint",
    *nullable(*(f"{table}.{column}" for table, _, column, value, _ in BAD_VALUES if value == "null")),
)


@of_the_older_source
def test_bad_values_are_set_aside_each_with_its_reason_until_they_are_mended(witness: Witness) -> None:
    witness.change("create schema attic", *(f"create table attic.{table} as table {table}" for table in SOURCE_TABLES))
    witness.change(
        *WIDER,
        *(
            f"update {table} set {column} = {value} where {table}_id = {key}"
            for table, key, column, value, _ in BAD_VALUES
        ),
        EDIT.format(50),
    )
    witness.refresh()
    listed = witness.listed()
    assert {(table, key) for table, key, *_ in BAD_VALUES} == set(listed)
    for table, key, column, _, told in BAD_VALUES:
        assert listed[table, key].endswith(f"{table}.{column} is {told}"), listed[table, key]
    assert witness.world.versions("fact_sales_order", 50) == ["live", "live"]
    assert witness.world.versions("fact_sales_order", 7) == ["live"]

    witness.change(
        *(
            f"update {table} set {column} = kept.{column} from attic.{table} as kept "
            f"where {table}.{table}_id = {key} and kept.{table}_id = {key}"
            for table, key, column, *_ in BAD_VALUES
        )
    )
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 7) == ["live"]


def test_an_edited_row_that_is_set_aside_shows_its_previous_version_until_it_is_mended(witness: Witness) -> None:
    witness.change(SOON.format(7), EDIT.format(7))
    witness.refresh()
    witness.change(EDIT.format(7), EDIT.format(8))
    witness.refresh()
    assert witness.world.ask("select batch from quarantine") == [(3,)]
    assert witness.world.versions("fact_sales_order", 7) == ["live"]
    witness.change(MENDED.format(7))
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live"]
    assert witness.listed() == {}
    assert witness.world.has_arrived()


def test_in_the_very_first_batch_rows_are_set_aside_too_and_what_refers_to_them_gets_a_placeholder(
    unseen_company: World,
) -> None:
    witness = Witness(unseen_company)
    witness.change(
        *nullable("design.file_name"),
        "update design set file_name = null from sales_order as sold "
        "where design.design_id = sold.design_id and sales_order_id = 8",
        SOON.format(7),
    )
    witness.refresh()
    assert unseen_company.versions("fact_sales_order", 7) == []
    placeholder = "select design_name from dim_design join fact_sales_order using (design_id) where sales_order_id = 8"
    assert unseen_company.ask_one(placeholder) == "Unknown"
    witness.change("update design set file_name = 'found.svg' where file_name is null")
    witness.refresh()
    assert unseen_company.ask_one(placeholder) != "Unknown"


def test_a_reference_to_a_new_row_that_is_set_aside_gets_a_placeholder(witness: Witness) -> None:
    witness.change(
        *nullable("design.file_name"),
        "insert into design values (999999, now(), 'Late', '/late', null, now())",
        "update sales_order set design_id = 999999 where sales_order_id = 7",
    )
    (loaded,) = witness.refresh().loaded
    assert loaded.tables["dim_design"].placeholders == 1
    assert set(witness.listed()) == {("design", 999999)}


@of_the_older_source
@pytest.mark.parametrize("deleted", ["alone", "with all"])
def test_a_row_that_is_set_aside_is_not_gone_until_it_is_deleted(witness: Witness, deleted: str) -> None:
    witness.change(SOON.format(7), "delete from sales_order where sales_order_id = 9")
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 9) == ["live", "deleted"]
    witness.refresh(recapture=["sales_order"])
    assert witness.world.versions("fact_sales_order", 7) == ["live"]
    witness.change(
        {
            "alone": "delete from sales_order where sales_order_id = 7",
            "with all": "truncate sales_order",
        }[deleted]
    )
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]
    assert witness.listed() == {}


def test_a_row_that_comes_and_goes_without_ever_being_sound_leaves_no_trace(witness: Witness) -> None:
    witness.change(NEW_ORDER, SOON.format(1000))
    witness.refresh()
    assert set(witness.listed()) == {("sales_order", 1000)}
    witness.change("delete from sales_order where sales_order_id = 1000")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 1000) == []


def test_capturing_every_table_anew_lists_the_same_rows(witness: Witness) -> None:
    witness.change(
        *nullable("staff.first_name"), "update staff set first_name = null where staff_id = 2", SOON.format(7)
    )
    witness.refresh()
    before = witness.listed()
    witness.refresh(recapture=SOURCE_TABLES)
    assert witness.listed() == before
    assert witness.world.ask_one("select min(batch) from quarantine") == 3


def test_the_calendar_does_not_grow_by_the_days_of_a_row_that_is_set_aside(witness: Witness) -> None:
    years = "select min(year), max(year) from dim_date"
    before = witness.world.ask(years)
    dates = "created_at = '1995-05-05', agreed_delivery_date = '2055-01-01'"
    witness.change(f"update sales_order set {dates}, agreed_payment_date = 'soon' where sales_order_id = 7")
    witness.refresh()
    assert witness.world.ask(years) == before
    witness.change(MENDED.format(7))
    witness.refresh()
    assert witness.world.ask(years) == [(1995, 2055)]


def test_columns_that_the_warehouse_does_not_show_may_hold_anything(witness: Witness) -> None:
    first, *_, last = [*UNUSED, *UNUSED]
    witness.change(
        *nullable(f"payment.{last}"),
        f"alter table payment alter {first} type bigint, add note text",
        f"update payment set {first} = 3000000000, paid = not paid where payment_id % 2 = 0",
        f"update payment set {last} = null, paid = not paid where payment_id % 2 = 1",
        "update staff set created_at = 'infinity'",
    )
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_payment", 3) == ["live", "live"]


def test_what_looks_up_a_row_that_is_not_what_it_says_is_set_aside_with_it(witness: Witness) -> None:
    witness.change(
        "alter table department drop constraint department_pkey cascade",
        "insert into department select * from department where department_id = (select min(department_id) from staff)",
        "update department set department_name = 'Twins'",
    )
    witness.refresh()
    listed = witness.listed()
    assert listed
    assert {table for table, _ in listed} == {"staff"}
    assert all("that is the key of 2 rows of department" in reason for reason in listed.values())
    assert witness.world.ask_one("select count(*) from dim_staff where department_name = 'Twins'") == 8 - len(listed)
    witness.change(
        "delete from department where ctid in "
        "(select max(ctid) from department group by department_id having count(*) > 1)"
    )
    witness.refresh()
    assert witness.listed() == {}
