"""The steps of a load, each on a real warehouse."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, time
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from totes_dagster.errors import DatabaseError, PartError
from totes_dagster.remodel.run import star_schema
from totes_dagster.schema.dimensions import dim_design, dim_staff, dim_transaction
from totes_dagster.schema.facts import fact_payment, fact_sales_order
from totes_dagster.warehouse.load_transaction import LoadedTable, LoadTransaction, Parts
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.unit.conftest import Warehouse
from totes_dagster_tests.unit.manifests import star_rows

Values = Mapping[str, Any]
ORDERS = "fact_sales_order"


def parts(*tables: pa.Table) -> Parts:
    return iter([(f"part-{number}", table) for number, table in enumerate(tables)])


def order(number: int, **values: Any) -> Values:
    return {"sales_order_id": number, **values}


def load_orders(warehouse: Warehouse, batch: int, *orders: Values) -> tuple[int, int]:
    """Append versions of sales orders as a load does; return how many are new, and changed."""
    with warehouse.begin() as transaction:
        transaction.stage(fact_sales_order, parts(star_rows(ORDERS, *orders)))
        transaction.add_placeholders(fact_sales_order)
        counts = transaction.append_versions(fact_sales_order, batch)
        transaction.commit()
    return counts


def versions(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.ask(
        "select sales_order_id, units_sold, is_deleted, batch from fact_sales_order order by sales_record_id"
    )


def retyped(column: str, type_: pa.DataType) -> pa.Schema:
    schema = star_schema(ORDERS)
    place = schema.get_field_index(column)
    return schema.set(place, schema.field(column).with_type(type_))


WRONG = {
    "float64 for an integer": retyped("units_sold", pa.float64()),
    "int64 for an integer": retyped("units_sold", pa.int64()),
    "int32 for a date": retyped("created_date", pa.int32()),
    "a timestamp for a date": retyped("created_date", pa.timestamp("ms")),
    "a timestamp for a time": retyped("created_time", pa.timestamp("us")),
    "milliseconds for microseconds": retyped("created_time", pa.time64("ns")),
    "money of four places": retyped("unit_price", pa.decimal128(20, 4)),
    "money of one place": retyped("unit_price", pa.decimal128(10, 1)),
    "money as text": retyped("unit_price", pa.string()),
    "another order of columns": pa.schema(list(star_schema(ORDERS))[::-1]),
    "a column too few": star_schema(ORDERS).remove(3),
    "a column too many": star_schema(ORDERS).append(pa.field("more", pa.int32())),
    "a column that may be null": pa.schema([field.with_nullable(True) for field in star_schema(ORDERS)]),
}


@pytest.mark.parametrize("warehouse", ["public"], indirect=True)
@pytest.mark.parametrize("copied", [True, False], ids=["copied", "staged"])
def test_a_part_of_other_types_is_refused_before_any_of_it_reaches_a_table(
    warehouse: Warehouse, *, copied: bool
) -> None:
    good = star_rows(ORDERS, order(1))
    for what, schema in WRONG.items():
        with warehouse.begin() as transaction:
            step = transaction.copy if copied else transaction.stage
            options = {"batch": 1} if copied else {}
            with pytest.raises(PartError, match="The part part-1 does not have the columns of fact_sales_order") as no:
                step(fact_sales_order, parts(good, schema.empty_table()), **options)
            assert "Expected: sales_order_id int32 not null, created_date date32[day] not null" in str(no.value), what
            transaction_is_over(transaction)
        assert warehouse.ask("select count(*) from fact_sales_order") == [(0,)], what


def transaction_is_over(transaction: LoadTransaction) -> None:
    """Nobody can carry on after a copy that broke off."""
    with pytest.raises(Exception, match="current transaction is aborted"):
        transaction.fetch("select 1")


def test_rows_are_copied_as_they_are(warehouse: Warehouse) -> None:
    rows = [
        {"staff_id": 1, "first_name": "Zoë\n\\N\t", "last_name": "", "location": "%s; drop table dim_staff; --"},
        {"staff_id": -(2**31), "first_name": "李"},
    ]
    table = star_rows("dim_staff", *rows)
    with warehouse.begin() as transaction:
        assert transaction.is_empty(dim_staff)
        assert transaction.copy(dim_staff, parts(table.slice(0, 1), table.slice(1))) == 2
        assert not transaction.is_empty(dim_staff)
        transaction.commit()
    assert warehouse.ask("select * from dim_staff order by staff_id desc") == [
        tuple(row.values()) for row in table.to_pylist()
    ]


def test_nothing_is_kept_of_a_transaction_that_was_not_committed(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction:
        transaction.copy(dim_staff, parts(star_rows("dim_staff", {})))
    with pytest.raises(ZeroDivisionError), warehouse.begin() as transaction:
        transaction.copy(dim_staff, parts(star_rows("dim_staff", {})))
        raise ZeroDivisionError
    assert warehouse.ask("select count(*) from dim_staff") == [(0,)]


def test_what_fails_while_parts_are_read_is_said_as_it_is(warehouse: Warehouse) -> None:
    def broken() -> Iterator[tuple[str, pa.Table]]:
        yield "part-0", star_rows("dim_staff", {})
        raise PartError("The part part-1 is damaged")

    with warehouse.begin() as transaction, pytest.raises(PartError, match="The part part-1 is damaged"):
        transaction.stage(dim_staff, broken())


def test_what_the_database_refuses_is_an_error_of_ours(warehouse: Warehouse) -> None:
    with (
        pytest.raises(DatabaseError, match=r"Loading the warehouse failed: .*duplicate key value"),
        warehouse.begin() as transaction,
    ):
        transaction.copy(dim_staff, parts(star_rows("dim_staff", {}, {})))


def test_a_merge_touches_only_the_rows_that_differ(warehouse: Warehouse) -> None:
    places = "select design_id, design_name, ctid::text, xmin::text from dim_design order by design_id"
    first = [{"design_id": number, "design_name": f"design {number}"} for number in (1, 2, 3)]
    with warehouse.begin() as transaction:
        transaction.stage(dim_design, parts(star_rows("dim_design", *first)))
        assert transaction.merge_dimension(dim_design) == (3, 0)
        transaction.commit()
    before = warehouse.ask(places)
    with warehouse.begin() as transaction:
        staged = star_rows("dim_design", first[0], {**first[1], "design_name": ""}, {"design_id": 4})
        assert transaction.stage(dim_design, parts(staged)) == 3
        assert transaction.merge_dimension(dim_design) == (1, 1)
        transaction.commit()
    after = warehouse.ask(places)
    assert [row[:2] for row in after] == [(1, "design 1"), (2, ""), (3, "design 3"), (4, "design_name")]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1][2:] != before[1][2:]


def test_a_null_is_a_value_like_any_other(warehouse: Warehouse) -> None:
    for order_of_sale, counts in ((5, (1, 0)), (None, (0, 1)), (None, (0, 0)), (6, (0, 1))):
        with warehouse.begin() as transaction:
            staged = star_rows("dim_transaction", {"sales_order_id": order_of_sale})
            transaction.stage(dim_transaction, parts(staged))
            assert transaction.merge_dimension(dim_transaction) == counts
            transaction.commit()
    assert warehouse.ask("select sales_order_id, purchase_order_id from dim_transaction") == [(6, None)]


def test_a_version_is_appended_only_where_it_differs_from_the_newest(warehouse: Warehouse) -> None:
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


@pytest.mark.parametrize("warehouse", ["public"], indirect=True)
def test_a_difference_in_any_column_is_a_new_version(warehouse: Warehouse) -> None:
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


def keys(*numbers: int, type_: pa.DataType = pa.int32()) -> pa.Table:  # noqa: B008 - a type never changes
    schema = pa.schema([pa.field("sales_order_id", type_, nullable=False)])
    return pa.Table.from_pylist([{"sales_order_id": number} for number in numbers], schema=schema)


def test_what_the_source_no_longer_has_gets_a_deleted_version_once(warehouse: Warehouse) -> None:
    load_orders(warehouse, 1, *(order(number, units_sold=number) for number in (1, 2, 3)))
    for batch, deleted in ((2, 2), (3, 0)):
        with warehouse.begin() as transaction:
            transaction.list_live_keys(fact_sales_order, parts(keys(2), keys(9)))
            assert transaction.append_deletions(fact_sales_order, batch) == deleted
            transaction.commit()
    assert versions(warehouse)[3:] == [(1, 1, True, 2), (3, 3, True, 2)]
    assert warehouse.ask("select sales_order_id from current_sales_order") == [(2,)]


def test_a_deleted_row_that_comes_back_as_it_was_gets_a_live_version(warehouse: Warehouse) -> None:
    load_orders(warehouse, 1, order(1, units_sold=10))
    with warehouse.begin() as transaction:
        transaction.list_live_keys(fact_sales_order, parts(keys()))
        assert transaction.append_deletions(fact_sales_order, 2) == 1
        transaction.commit()
    assert load_orders(warehouse, 3, order(1, units_sold=10)) == (0, 1)
    assert versions(warehouse) == [(1, 10, False, 1), (1, 10, True, 2), (1, 10, False, 3)]


def test_live_keys_of_another_type_are_refused(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction, pytest.raises(PartError, match="does not have the columns"):
        transaction.list_live_keys(fact_sales_order, parts(keys(1, type_=pa.int64())))


@pytest.mark.parametrize("copied", [True, False], ids=["copied", "staged"])
def test_references_that_point_nowhere_get_one_placeholder_each(warehouse: Warehouse, *, copied: bool) -> None:
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
            transaction.copy(fact_payment, parts(rows), batch=1)
            made = transaction.add_placeholders(fact_payment, staged=False)
        else:
            transaction.stage(fact_payment, parts(rows))
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


def test_a_second_load_waits_for_the_first_and_then_sees_its_work(warehouse: Warehouse) -> None:
    begun = threading.Event()

    def second() -> bool:
        begun.set()
        with warehouse.begin() as transaction:
            return transaction.is_empty(dim_staff)

    waiting = (
        "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = "
        "(select oid from pg_database where datname = current_database())"
    )
    with ThreadPoolExecutor(1) as pool:
        with warehouse.begin() as transaction:
            transaction.copy(dim_staff, parts(star_rows("dim_staff", {})))
            found_empty = pool.submit(second)
            assert begun.wait(10)
            with psycopg.connect(warehouse.database.url, autocommit=True) as watcher:
                while watcher.execute(waiting).fetchone() == (0,):
                    assert not found_empty.done()
            transaction.commit()
        assert found_empty.result(timeout=30) is False


def test_one_connection_can_load_into_two_schemas_one_after_the_other(warehouse: Warehouse) -> None:
    migrate(Warehouse(warehouse.database, "second"))
    with warehouse.database.connect_bulk() as connection:
        for schema in (warehouse.schema, "second"):
            with LoadTransaction.begin(connection, schema) as transaction:
                assert transaction.is_empty(dim_design)
                transaction.stage(dim_design, parts(star_rows("dim_design", {"design_name": schema})))
                assert transaction.merge_dimension(dim_design) == (1, 0)
                transaction.commit()
    assert warehouse.ask("select design_name from dim_design") == [(warehouse.schema,)]
    assert warehouse.ask("select design_name from second.dim_design") == [("second",)]


def test_what_was_staged_and_made_no_difference_is_unchanged() -> None:
    assert LoadedTable(staged=10, new=3, changed=2, deleted=4, placeholders=1).unchanged == 5
