"""The steps of a load, each on a real warehouse."""

from datetime import date, time
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from totes_dagster.errors import AccessDeniedError
from totes_dagster.lake.processed import star_schema
from totes_dagster.postgres.database import Database
from totes_dagster.schema.dimensions import dim_design, dim_staff, dim_transaction
from totes_dagster.schema.facts import fact_payment, fact_sales_order
from totes_dagster.warehouse.loaded import LoadedTable
from totes_dagster_tests.unit.manifests import star_rows
from totes_dagster_tests.unit.warehouse.orders import (
    ORDERS,
    load_orders,
    load_without_care,
    order,
    restart_sequence,
    versions,
)
from totes_dagster_tests.unit.warehouses import NewWarehouse

PLAIN = pytest.mark.parametrize("warehouse", ["public"], indirect=True)

NEWEST = "select sales_order_id, units_sold from current_sales_order order by 1"
VERSIONS = "select units_sold, batch from fact_sales_order where sales_order_id = 1 order by batch"


def test_rows_are_copied_as_they_are(warehouse: NewWarehouse) -> None:
    rows = [
        {"staff_id": 1, "first_name": "Zoë\n\\N\t", "last_name": "", "location": "%s; drop table dim_staff; --"},
        {"staff_id": -(2**31), "first_name": "李"},
    ]
    table = star_rows("dim_staff", *rows)
    with warehouse.begin() as transaction:
        assert transaction.is_empty(dim_staff)
        assert [transaction.copy(dim_staff, table.slice(number, 1)) for number in (0, 1)] == [1, 1]
        assert not transaction.is_empty(dim_staff)
        transaction.commit()
    assert warehouse.ask("select * from dim_staff order by staff_id desc") == [
        tuple(row.values()) for row in table.to_pylist()
    ]


def test_a_merge_touches_only_the_rows_that_differ(warehouse: NewWarehouse) -> None:
    places = "select design_id, design_name, ctid::text, xmin::text from dim_design order by design_id"
    first = [{"design_id": number, "design_name": f"design {number}"} for number in (1, 2, 3)]
    with warehouse.begin() as transaction:
        transaction.create_staging(dim_design)
        transaction.stage(dim_design, star_rows("dim_design", *first))
        assert transaction.merge_dimension(dim_design) == (3, 0)
        transaction.commit()
    before = warehouse.ask(places)
    with warehouse.begin() as transaction:
        staged = star_rows("dim_design", first[0], {**first[1], "design_name": ""}, {"design_id": 4})
        transaction.create_staging(dim_design)
        assert transaction.stage(dim_design, staged) == 3
        assert transaction.merge_dimension(dim_design) == (1, 1)
        transaction.commit()
    after = warehouse.ask(places)
    assert [row[:2] for row in after] == [(1, "design 1"), (2, ""), (3, "design 3"), (4, "design_name")]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1][2:] != before[1][2:]


def test_a_null_is_a_value_like_any_other(warehouse: NewWarehouse) -> None:
    for order_of_sale, counts in ((5, (1, 0)), (None, (0, 1)), (None, (0, 0)), (6, (0, 1))):
        with warehouse.begin() as transaction:
            staged = star_rows("dim_transaction", {"sales_order_id": order_of_sale})
            transaction.create_staging(dim_transaction)
            transaction.stage(dim_transaction, staged)
            assert transaction.merge_dimension(dim_transaction) == counts
            transaction.commit()
    assert warehouse.ask("select sales_order_id, purchase_order_id from dim_transaction") == [(6, None)]


def test_a_version_is_appended_only_where_it_differs_from_the_newest(warehouse: NewWarehouse) -> None:
    assert load_orders(warehouse, 1, order(2, units_sold=20), order(1, units_sold=10)) == (2, 0)
    assert load_orders(warehouse, 2, order(1, units_sold=10), order(2, units_sold=21), order(3, units_sold=30)) == (
        1,
        1,
    )
    assert load_orders(warehouse, 3, order(2, units_sold=21)) == (0, 0)
    assert load_orders(warehouse, 4, order(2, units_sold=20)) == (0, 1)
    assert versions(warehouse) == [
        (1, 10, False, 1),
        (2, 20, False, 1),
        (2, 21, False, 2),
        (3, 30, False, 2),
        (2, 20, False, 4),
    ]
    assert warehouse.ask("select sales_order_id, units_sold from current_sales_order order by 1") == [
        (1, 10),
        (2, 20),
        (3, 30),
    ]


@PLAIN
def test_a_difference_in_any_column_is_a_new_version(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, order(1))
    different: dict[pa.DataType, Any] = {
        pa.int32(): 2,
        pa.date32(): date(2023, 5, 2),
        pa.time64("us"): time(14, 30, 5, 124000),
        pa.decimal128(10, 2): Decimal("1.51"),
    }
    columns = [field for field in star_schema(ORDERS) if field.name != "sales_order_id"]
    for batch, field in enumerate(columns, start=2):
        assert load_orders(warehouse, batch, order(1, **{field.name: different[field.type]})) == (0, 1), field.name
    assert len(versions(warehouse)) == 1 + len(columns)


def keys(*numbers: int) -> pa.Table:
    schema = pa.schema([pa.field("sales_order_id", pa.int32(), nullable=False)])
    return pa.Table.from_pylist([{"sales_order_id": number} for number in numbers], schema=schema)


def test_what_the_source_no_longer_has_gets_a_deleted_version_once(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, *(order(number, units_sold=number) for number in (1, 2, 3)))
    for batch, deleted in ((2, 2), (3, 0)):
        with warehouse.begin() as transaction:
            transaction.list_live_keys(fact_sales_order, [keys(2), keys(9)])
            assert transaction.append_deletions(fact_sales_order, batch) == deleted
            transaction.commit()
    assert versions(warehouse)[3:] == [(1, 1, True, 2), (3, 3, True, 2)]
    assert warehouse.ask("select sales_order_id from current_sales_order") == [(2,)]


def test_where_a_list_covers_ranges_no_other_key_is_gone(warehouse: NewWarehouse) -> None:
    ends = (-(2**31), -(2**31) + 2**14 - 1, -1, 0, 2**14 - 1, 2**14, 2**31 - 2**14, 2**31 - 1)
    load_orders(warehouse, 1, *(order(number, units_sold=1) for number in ends))
    with warehouse.begin() as transaction:
        transaction.list_live_keys(fact_sales_order, [keys(0)])
        assert transaction.append_deletions(fact_sales_order, 2, []) == 0
        assert transaction.append_deletions(fact_sales_order, 2, [-(2**17), 0, 2**17 - 1]) == 5
        assert transaction.append_deletions(fact_sales_order, 3, [0]) == 0
        transaction.commit()
    assert warehouse.ask("select sales_order_id from current_sales_order order by 1") == [(-1,), (0,), (2**14,)]


def test_versions_of_batches_to_come_are_removed_from_the_ranges_alone(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, order(1), order(2))
    load_orders(warehouse, 5, order(1, units_sold=5), order(20_000, units_sold=5))
    with warehouse.begin() as transaction:
        transaction.list_live_keys(fact_sales_order, [keys(2)])
        assert transaction.append_deletions(fact_sales_order, 2, [0]) == 1
        transaction.commit()
    assert versions(warehouse) == [(1, 1, False, 1), (2, 1, False, 1), (20_000, 5, False, 5), (1, 1, True, 2)]


def test_a_deleted_row_that_comes_back_as_it_was_gets_a_live_version(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, order(1, units_sold=10))
    with warehouse.begin() as transaction:
        transaction.list_live_keys(fact_sales_order, [keys()])
        assert transaction.append_deletions(fact_sales_order, 2) == 1
        transaction.commit()
    assert load_orders(warehouse, 3, order(1, units_sold=10)) == (0, 1)
    assert versions(warehouse) == [(1, 10, False, 1), (1, 10, True, 2), (1, 10, False, 3)]


@pytest.mark.parametrize("copied", [True, False], ids=["copied", "staged"])
def test_references_that_point_nowhere_get_one_placeholder_each(warehouse: NewWarehouse, *, copied: bool) -> None:
    warehouse.run("insert into dim_transaction values (1, 'SALE', 5, null)")
    rows = star_rows(
        "fact_payment",
        {"payment_id": 1, "transaction_id": 1},
        {"payment_id": 2, "transaction_id": 8, "currency_id": 2},
        {"payment_id": 3, "transaction_id": 8},
    )
    with warehouse.begin() as transaction:
        if copied:
            for key in warehouse.ask("select conname from pg_constraint where contype = 'f' and conname ~ 'payment_'"):
                fact = transaction.name_of(fact_payment).as_string(None)
                transaction.execute(f"alter table {fact} drop constraint if exists {key[0]}")
            transaction.copy(fact_payment, rows, batch=1)
            made = transaction.add_placeholders(fact_payment, staged=False)
        else:
            transaction.create_staging(fact_payment)
            transaction.stage(fact_payment, rows)
            made = transaction.add_placeholders(fact_payment)
        transaction.commit()
    assert made == {"dim_transaction": 1, "dim_counterparty": 1, "dim_currency": 2, "dim_payment_type": 1}
    assert warehouse.ask("select * from dim_transaction order by 1") == [
        (1, "SALE", 5, None),
        (8, "Unknown", None, None),
    ]
    assert warehouse.ask("select * from dim_currency order by 1") == [
        (1, "Unknown", "Unknown"),
        (2, "Unknown", "Unknown"),
    ]


# Sequences of record ids


def sequence_of(warehouse: NewWarehouse) -> tuple[Any, ...]:
    (state,) = warehouse.ask("select last_value, is_called from fact_sales_order_sales_record_id_seq")
    return state


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ("restart with 1", (102, True)),
        ("restart with 102", (102, True)),
        ("restart with 103", (103, False)),
        ("restart with 900", (900, False)),
    ],
)
@PLAIN
def test_a_sequence_is_put_past_the_rows_and_never_back(
    warehouse: NewWarehouse, behind: str, expected: tuple[int, bool]
) -> None:
    warehouse.run("select setval('fact_sales_order_sales_record_id_seq', 100)")
    load_orders(warehouse, 1, order(1), order(2))
    warehouse.run(f"alter sequence fact_sales_order_sales_record_id_seq {behind}")
    put_past(warehouse)
    assert sequence_of(warehouse) == expected


def put_past(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        transaction.put_sequence_past_record_ids(fact_sales_order)
        transaction.commit()


def test_a_sequence_that_is_as_it_should_be_is_left_alone(warehouse: NewWarehouse) -> None:
    put_past(warehouse)
    assert sequence_of(warehouse) == (1, False)
    load_orders(warehouse, 1, order(1))
    put_past(warehouse)
    assert sequence_of(warehouse) == (1, True)


@PLAIN
def test_a_loader_that_may_not_set_the_sequence_is_told_so(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, order(1), order(2))
    restart_sequence(warehouse)
    warehouse.run("create role half_a_loader login")
    try:
        warehouse.run("grant all on all tables in schema public to half_a_loader")
        warehouse.run("grant usage, select on all sequences in schema public to half_a_loader")
        url = psycopg.conninfo.make_conninfo(warehouse.database.url, user="half_a_loader")
        limited = NewWarehouse(Database("warehouse", url), warehouse.schema)
        with (
            pytest.raises(AccessDeniedError, match=r"permission denied for sequence fact_sales_order_sales_record_id_"),
            limited.begin() as transaction,
        ):
            transaction.put_sequence_past_record_ids(fact_sales_order)
    finally:
        warehouse.run("drop owned by half_a_loader")
        warehouse.run("drop role half_a_loader")


# Batches that were not loaded


def test_versions_of_batches_to_come_do_not_outrank_what_these_bring(warehouse: NewWarehouse) -> None:
    load_orders(warehouse, 1, order(1, units_sold=10), order(2, units_sold=20))
    load_without_care(warehouse, 77, 99)
    assert warehouse.ask(NEWEST) == [(1, 99), (2, 20)]
    assert load_orders(warehouse, 2, order(1, units_sold=11)) == (0, 1)
    assert warehouse.ask(NEWEST) == [(1, 11), (2, 20)]
    assert warehouse.ask(VERSIONS) == [(10, 1), (11, 2)]


@PLAIN
def test_a_fact_that_is_restored_from_a_later_day_than_its_history_gets_the_same_versions_again(
    warehouse: NewWarehouse,
) -> None:
    for batch, units in ((1, 10), (2, 11), (3, 12)):
        load_orders(warehouse, batch, order(1, units_sold=units))
    before = warehouse.ask(VERSIONS)
    for batch, units in ((2, 11), (3, 12)):
        assert load_orders(warehouse, batch, order(1, units_sold=units)) == (0, 1)
    assert warehouse.ask(VERSIONS) == before


def test_what_was_staged_and_made_no_difference_is_unchanged() -> None:
    assert LoadedTable(staged=10, new=3, changed=2, deleted=4, placeholders=1).unchanged == 5
