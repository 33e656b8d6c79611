"""Rows of the source that cannot become rows of a star table are set aside, each with the reason."""

from typing import Any

import pytest

from totes_dagster.lake.processed import REASON
from totes_dagster.schema.registry import inputs_of
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of
from totes_dagster_tests.specification import STAR_TABLES as SPECIFIED
from totes_dagster_tests.unit.remodel.remodelling import remodelled
from totes_dagster_tests.unit.rows import Row

UNUSED = sorted(set(SOURCE_TABLES["payment"].columns.keys()) - SPECIFIED["fact_payment"].uses("payment"))
"""The columns of payments that the warehouse does not show."""


def reasons(star: str, *inputs: list[Row]) -> dict[Any, str]:
    """Why rows are set aside, by key."""
    aside = remodelled(star, *inputs).quarantined
    keys = aside.column(key_of(SOURCE_TABLES[inputs_of(star)[0]])).to_pylist()
    return dict(zip(keys, aside.column(REASON).to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("star", "row", "reason"),
    [
        (
            "fact_sales_order",
            {"agreed_payment_date": "2023-02-30"},
            "agreed_payment_date must have a value, but sales_order.agreed_payment_date is '2023-02-30'",
        ),
        (
            "fact_purchase_order",
            {"agreed_delivery_date": ""},
            "agreed_delivery_date must have a value, but purchase_order.agreed_delivery_date is ''",
        ),
        ("fact_payment", {"payment_date": None}, "payment_date must have a value, but payment.payment_date is null"),
        ("fact_payment", {"paid": None}, "paid must have a value, but payment.paid is null"),
        (
            "fact_payment",
            {"created_at": 316_516_204_800_000_000},
            "created_date must have a value, but payment.created_at is 12000-01-01 00:00:00.000000",
        ),
        (
            "fact_sales_order",
            {"staff_id": None, "unfit": {"staff_id": "is 3000000000, which int32 cannot hold"}},
            "sales_order.staff_id is 3000000000, which int32 cannot hold",
        ),
        (
            "fact_sales_order",
            {"created_at": None, "unfit": {"created_at": "is infinity"}},
            "sales_order.created_at is infinity",
        ),
        ("dim_location", {"city": None}, "city must have a value, but address.city is null"),
        (
            "dim_transaction",
            {"sales_order_id": None, "unfit": {"sales_order_id": "is 3000000000, which int32 cannot hold"}},
            "transaction.sales_order_id is 3000000000, which int32 cannot hold",
        ),
        (
            "dim_design",
            {"file_name": "a\x00b"},
            "file_name contains the character NUL, which PostgreSQL cannot hold",
        ),
    ],
)
def test_the_reason_names_the_column_and_the_value(star: str, row: Row, reason: str) -> None:
    source = inputs_of(star)[0]
    assert reasons(star, [{f"{source}_id": 1}, {f"{source}_id": 2, **row}]) == {2: reason}


def test_the_reason_tells_of_every_breach() -> None:
    row = {"design_name": None, "file_name": "\x00", "file_location": None, "unfit": {"file_location": "is odd"}}
    assert set(reasons("dim_design", [row])[1].split(". ")) == {
        "design_name must have a value, but design.design_name is null",
        "file_name contains the character NUL, which PostgreSQL cannot hold",
        "design.file_location is odd",
    }


def test_rows_that_share_a_key_are_all_set_aside_for_nobody_knows_which_is_right() -> None:
    rows = [{"design_id": 7, "file_name": name} for name in ("a", "b", "a")]
    done = remodelled("dim_design", [*rows, {"design_id": 8}])
    assert done.rows.column("design_id").to_pylist() == [8]
    assert done.quarantined.column("file_name").to_pylist() == ["a", "b", "a"]
    assert set(done.quarantined.column(REASON).to_pylist()) == {"design_id is the key of other rows too"}


def test_a_row_without_a_key_is_set_aside() -> None:
    assert reasons("dim_design", [{"design_id": None}, {"design_id": 1}]) == {
        None: "design_id must have a value, but design.design_id is null"
    }


@pytest.mark.parametrize("column", [*UNUSED, "new_in_the_source"])
def test_an_unfit_value_that_the_warehouse_does_not_show_does_no_harm(column: str) -> None:
    row = {"payment_id": 1, column: None, "unfit": {column: "is 3000000000, which int32 cannot hold"}}
    done = remodelled("fact_payment", [row])
    assert done.rows.column("payment_id").to_pylist() == [1]
    assert done.quarantined.num_rows == 0


def test_staff_of_a_department_whose_key_is_not_its_own_are_set_aside_and_not_multiplied() -> None:
    departments = [{"department_id": 5, "department_name": name} for name in ("Sales", "Dispatch")]
    departments.append({"department_id": 6, "department_name": "Design"})
    done = remodelled(
        "dim_staff", [{"staff_id": 1, "department_id": 5}, {"staff_id": 2, "department_id": 6}], departments
    )
    assert done.rows.select(["staff_id", "department_name"]).to_pylist() == [
        {"staff_id": 2, "department_name": "Design"}
    ]
    assert done.quarantined.select(["staff_id", REASON]).to_pylist() == [
        {"staff_id": 1, REASON: "staff.department_id is 5, but that is the key of 2 rows of department"}
    ]


def test_a_counterparty_of_an_address_that_is_not_what_it_says_is_set_aside() -> None:
    addresses = [{"address_id": 5, "city": None, "unfit": {"city": "is 'Zo\\xeb', which cannot be decoded"}}]
    assert reasons("dim_counterparty", [{"counterparty_id": 1, "legal_address_id": 5}], addresses) == {
        1: "counterparty.legal_address_id is 5, but address.city is 'Zo\\xeb', which cannot be decoded"
    }


def test_staff_of_a_department_whose_unfit_value_the_warehouse_does_not_show_are_sound() -> None:
    departments = [{"department_id": 5, "manager": None, "unfit": {"manager": "is no UTF-8"}}]
    assert reasons("dim_staff", [{"staff_id": 1, "department_id": 5}], departments) == {}


def test_a_department_without_a_key_is_nobodys() -> None:
    staff = [{"staff_id": 1, "department_id": None}]
    nowhere = {"department_id": None, "department_name": "Nowhere", "unfit": {"department_id": "is 3e9"}}
    done = remodelled("dim_staff", staff, [nowhere, nowhere])
    assert done.rows.column("department_name").to_pylist() == ["Unknown"]
