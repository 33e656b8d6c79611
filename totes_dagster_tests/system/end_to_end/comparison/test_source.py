"""The comparison sees the source as it is: in one snapshot, with whatever values and types it has."""

import pytest

from totes_dagster.errors import SourceSchemaError
from totes_dagster.ingest.snapshot import open_snapshot
from totes_dagster_tests.system.end_to_end.comparison.comparing import compared, compared_in, only, wrong
from totes_dagster_tests.world import NEW_DEAL, World, of_the_older_source

EVENT_TABLES = ("fact_sales_order", "fact_purchase_order", "fact_payment", "dim_transaction")


@of_the_older_source
def test_what_changed_since_the_last_refresh_differs(company: World) -> None:
    company.change(
        *NEW_DEAL,
        "update payment set payment_amount = 0.05 where payment_id = 3",
        "delete from purchase_order where purchase_order_id = 2",
        "update transaction set transaction_type = 'PURCHASE' where transaction_id = 4",
        "update department set location = 'O''Keefe''s' where department_id = (select min(department_id) from staff)",
        "insert into design values (1000, now(), 'd', 'l', 'n', now())",
    )
    found = compared(company)
    assert found["fact_sales_order"].missing == (1000,)
    assert found["fact_payment"].missing == (1000,)
    assert found["fact_payment"].different == (3,)
    assert found["fact_payment"].repairable == (3, 1000)
    assert found["fact_purchase_order"].extra == (2,)
    assert found["dim_transaction"].missing == (1000,)
    assert found["dim_transaction"].different == (4,)
    assert found["dim_transaction"].samples[0].endswith("in the warehouse, 'PURCHASE' in the source")
    assert found["dim_design"].missing == (1000,)
    assert found["dim_staff"].different
    assert found["dim_staff"].samples[0].endswith("in the warehouse, \"O'Keefe's\" in the source")
    assert len(wrong(found)) == 6
    company.refresh()
    assert wrong(compared(company)) == {}


def test_what_happens_after_the_snapshot_is_not_seen(company: World) -> None:
    before = company.ask_one("select units_sold from fact_sales_order where sales_order_id = 3")
    with open_snapshot(company.platform.source) as leader:
        company.change("update sales_order set units_sold = units_sold + 1", "delete from payment")
        assert wrong(compared_in(leader, company)) == {}
        found = compared_in(leader, company, "update fact_sales_order set units_sold = -1 where sales_order_id = 3")
    # Also the rows that it looks at more closely are those of the snapshot.
    assert only(found).samples == (f"sales_order_id 3: units_sold is -1 in the warehouse, {before} in the source",)


def test_a_company_without_any_row_does_not_differ(new_company: World) -> None:
    new_company.refresh()
    found = compared(new_company)
    assert wrong(found) == {}
    assert sum(differences.rows for differences in found.values()) == 0


def test_a_source_that_breaks_the_contract_is_not_compared(new_company: World) -> None:
    new_company.change("alter table payment rename column paid to settled")
    with pytest.raises(SourceSchemaError, match=r"payment\.paid"):
        compared(new_company)


# Rows that cannot become rows of the warehouse


@pytest.mark.parametrize("refreshed", [False, True], ids=["seen by nobody yet", "in quarantine"])
def test_rows_that_cannot_become_rows_of_the_warehouse_are_no_differences(company: World, refreshed: bool) -> None:
    set_aside = [
        "agreed_payment_date = 'soon'",
        "agreed_payment_date = 'O''Keefe''s \"%s\" \\'",
        "agreed_delivery_date = '2024-02-30'",
        "agreed_delivery_date = ' 2024-02-28'",
        "agreed_delivery_date = '24-2-28'",
        "agreed_delivery_date = ''",
        "agreed_delivery_date = 'infinity'",
        "created_at = 'infinity'",
        "last_updated = '0044-03-15 BC'",
        "unit_price = 'NaN'",
        "units_sold = null",
    ]
    company.change(
        "alter table sales_order alter units_sold drop not null",
        "alter table staff alter last_name drop not null",
        "alter table transaction alter transaction_type drop not null",
        "update staff set last_name = null where staff_id = 2",
        "update transaction set transaction_type = null where transaction_id = 5",
        *(f"update sales_order set {value} where sales_order_id = {key}" for key, value in enumerate(set_aside, 20)),
        "insert into sales_order select 1000, created_at, last_updated, design_id, staff_id, counterparty_id, 1, 1, "
        "currency_id, 'never', 'never', agreed_delivery_location_id from sales_order where sales_order_id = 1",
    )
    if refreshed:
        company.refresh()
        assert company.ask_one("select count(*) from quarantine") == len(set_aside) + 3
    assert wrong(compared(company)) == {}
    # What the warehouse shows under their keys is not judged; what it shows of their neighbours is.
    keys = tuple(range(19, 20 + len(set_aside) + 1))
    found = compared(company, f"update fact_sales_order set units_sold = -1 where sales_order_id in {keys}")
    assert only(found).different == (keys[0], keys[-1])


def test_rows_without_a_key_of_their_own_are_no_differences(company: World) -> None:
    company.change(
        "alter table transaction drop constraint transaction_pkey cascade",
        "alter table transaction drop constraint transaction_sales_order_id_key",
        "alter table transaction drop constraint transaction_purchase_order_id_key",
        "alter table transaction alter transaction_id drop not null, alter transaction_id type bigint",
        "insert into transaction select * from transaction where transaction_id = 3",
        "insert into transaction select key, 'SALE', null, null, now(), now() "
        "from unnest(array[4, null, 5000000000]) as key",
    )
    assert wrong(compared(company)) == {}
    company.refresh()
    assert wrong(compared(company)) == {}
    found = compared(company, "update dim_transaction set transaction_type = '' where transaction_id in (3, 4, 6)")
    assert only(found).different == (6,)


# Types


def test_other_types_of_the_source_make_no_difference(company: World) -> None:
    company.change(
        "alter table sales_order alter sales_order_id type bigint, alter units_sold type bigint, "
        "alter staff_id type smallint, alter unit_price type numeric(14, 4), alter created_at type timestamp(6), "
        "alter agreed_payment_date type varchar(40), alter agreed_delivery_date type character(40)",
        'alter table purchase_order alter item_code type varchar(400) collate "C"',
        "alter table transaction alter transaction_type type text, alter transaction_id type smallint",
        "update sales_order set created_at = created_at + interval '1 microsecond' where sales_order_id = 8",
    )
    assert only(compared(company)).different == (8,)
    company.refresh()
    found = compared(company)
    assert wrong(found) == {}
    assert {found[name].ranges_descended for name in EVENT_TABLES} == {0}
    found = compared(
        company,
        "update fact_sales_order set units_sold = -1 where sales_order_id in (7, 9)",
        "update fact_sales_order set created_time = created_time - interval '1 microsecond' where sales_order_id = 8",
        "update dim_transaction set transaction_type = '' where transaction_id = 10",
    )
    assert found["fact_sales_order"].different == (7, 8, 9)
    assert found["dim_transaction"].different == (10,)
