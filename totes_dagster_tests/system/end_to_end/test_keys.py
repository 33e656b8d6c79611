"""Rows whose keys do not tell them apart: no key may ever show one of two rows as if it were the right one."""

import pytest

from totes_dagster.ingest import parts as parts_stage
from totes_dagster_tests.system.end_to_end.badness import EDIT, KEYED, KEYLESS, MENDED, SOON, TWIN, nullable
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import NEW_ORDER, of_the_older_source


def test_rows_that_share_a_key_are_all_set_aside_until_one_is_left(witness: Witness) -> None:
    witness.change(KEYLESS, TWIN)
    witness.refresh()
    assert witness.world.ask("select source_key, reason from quarantine") == 2 * [
        (7, "sales_order.sales_order_id is the key of 2 rows")
    ]
    assert witness.world.versions("fact_sales_order", 7) == ["live"]
    witness.change("delete from sales_order where sales_order_id = 7 and units_sold <> 77")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live"]


def test_the_row_that_is_left_arrives_also_when_keys_are_made_unique_with_it(witness: Witness) -> None:
    witness.change(KEYLESS, TWIN)
    witness.refresh()
    witness.change("delete from sales_order where sales_order_id = 7 and units_sold <> 77", KEYED)
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.ask_one("select units_sold from current_sales_order where sales_order_id = 7") == 77
    witness.change(EDIT.format(8))
    assert witness.batch().tables["sales_order"].rows == 1


def test_twins_written_by_one_transaction_are_noticed_whatever_becomes_of_both(witness: Witness) -> None:
    witness.change(KEYLESS, TWIN, "update sales_order set unit_price = 1 where sales_order_id = 7")
    witness.refresh()
    witness.change("update sales_order set sales_order_id = 70007 where sales_order_id = 7")
    witness.refresh()
    assert set(witness.listed()) == {("sales_order", 70007)}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]


def test_twins_in_parts_of_their_own_are_told_apart_too(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_stage, "ROWS_PER_PART", 25)
    # Their keys are those of the last row of a part and of the first of the next one.
    witness.change(KEYLESS, TWIN.replace("= 7", "= 25"))
    manifest = witness.refresh().ingested.batch
    assert manifest is not None
    assert [part.rows for part in manifest.tables["sales_order"].parts] == [25, 25, 11]
    assert witness.world.ask_one("select count(distinct part) from quarantine") == 2


def test_a_row_without_a_key_is_set_aside_and_its_changes_are_noticed(witness: Witness) -> None:
    witness.change(KEYLESS, *nullable("sales_order.sales_order_id"), NEW_ORDER)
    witness.change("update sales_order set sales_order_id = null where sales_order_id in (7, 1000)")
    witness.refresh()
    assert witness.world.ask("select source_key from quarantine") == [(None,), (None,)]
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]
    witness.change("update sales_order set agreed_payment_date = 'soon' where sales_order_id is null")
    witness.refresh()
    assert all("'soon'" in reason for reason in witness.listed().values())
    witness.change(
        "update sales_order set sales_order_id = 1000, agreed_payment_date = '2024-02-29' where units_sold = 123"
    )
    witness.change("delete from sales_order where sales_order_id is null")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 1000) == ["live"]


@of_the_older_source
def test_a_key_that_the_warehouse_cannot_hold_is_listed_until_it_is_another(witness: Witness) -> None:
    witness.change("alter table sales_order alter sales_order_id type bigint")
    witness.change("update sales_order set sales_order_id = 3000000000 where sales_order_id = 7", SOON.format(8))
    witness.refresh()
    assert set(witness.listed()) == {("sales_order", None), ("sales_order", 8)}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]
    witness.change(MENDED.format(8))
    witness.refresh()
    assert witness.listed() == {
        ("sales_order", None): "sales_order.sales_order_id is 3000000000, which int32 cannot hold"
    }
    witness.change("update sales_order set sales_order_id = 7 where sales_order_id = 3000000000")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted", "live"]


def test_rows_of_tables_that_inherit_share_keys_like_any_others(witness: Witness) -> None:
    witness.change(
        "alter table staff drop constraint staff_pkey cascade",
        "alter table staff add primary key (staff_id)",
        "create table more_staff () inherits (staff)",
        "insert into more_staff select * from staff where staff_id = 2",
        "create table more_orders () inherits (sales_order)",
        "insert into more_orders select * from sales_order where sales_order_id = 7",
        "update more_orders set units_sold = 1",
        "create table more_departments () inherits (department)",
    )
    witness.refresh()
    assert {("staff", 2), ("sales_order", 7)} == set(witness.listed())
    witness.change("delete from more_orders", "delete from only staff where staff_id = 2")
    witness.refresh()
    assert witness.listed() == {}
