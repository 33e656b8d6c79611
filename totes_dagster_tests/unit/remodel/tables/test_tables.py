"""The star tables against small rows written by hand, and against the plain computation on rows made up at random."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.schema.registry import inputs_of, remodel_rows, star_schema
from totes_dagster_tests.unit.remodel import naive
from totes_dagster_tests.unit.rows import CODES, SMALL, Row, ingested, rows_of

_CLOSE = dict.fromkeys(("address_id", "legal_address_id", "department_id"), SMALL)


def source_rows(table: str) -> Any:
    chosen = {"currency_code": CODES} if table == "currency" else _CLOSE
    return rows_of(table, **chosen)


def remodelled(star: str, *inputs: list[Row], reverse: bool = False) -> pa.Table:
    """The star table as the processed zone would hold it; no row may be set aside."""
    names = inputs_of(star)
    tables = {name: ingested(name, rows, reverse=reverse) for name, rows in zip(names, inputs, strict=True)}
    done = remodel_rows(star, tables)
    assert done.quarantined.num_rows == 0
    return done.rows


@pytest.mark.parametrize("star", naive.FUNCTIONS)
@given(data=st.data(), reverse=st.booleans())
def test_every_star_table_is_what_a_plain_computation_says(star: str, data: st.DataObject, *, reverse: bool) -> None:
    inputs = [data.draw(source_rows(name), label=name) for name in inputs_of(star)]
    table = remodelled(star, *inputs, reverse=reverse)
    assert table.schema == star_schema(star)
    assert table.to_pylist() == naive.FUNCTIONS[star](*inputs)


@pytest.mark.parametrize("star", naive.FUNCTIONS)
def test_no_rows_become_a_table_of_no_rows(star: str) -> None:
    table = remodelled(star, *([] for _ in inputs_of(star)))
    assert table.schema == star_schema(star)
    assert table.num_rows == 0


def test_a_member_of_staff_has_the_department_of_their_department_id() -> None:
    staff = [
        {"staff_id": 1, "first_name": "Zoë", "last_name": "O'Neil", "department_id": 2, "email_address": "z@x.com"},
        {"staff_id": 2, "first_name": "", "last_name": "李", "department_id": 1, "email_address": "l@x.com"},
    ]
    departments = [
        {"department_id": 1, "department_name": "Sales", "location": "Manchester"},
        {"department_id": 2, "department_name": "Facilities", "location": "Leeds"},
    ]
    assert remodelled("dim_staff", staff, departments).to_pylist() == [
        {
            "staff_id": 1,
            "first_name": "Zoë",
            "last_name": "O'Neil",
            "department_name": "Facilities",
            "location": "Leeds",
            "email_address": "z@x.com",
        },
        {
            "staff_id": 2,
            "first_name": "",
            "last_name": "李",
            "department_name": "Sales",
            "location": "Manchester",
            "email_address": "l@x.com",
        },
    ]


@pytest.mark.parametrize(
    ("departments", "name", "location"),
    [
        ([], "Unknown", "Unknown"),
        ([{"department_id": 5, "department_name": "Sales", "location": None}], "Sales", "Unknown"),
        ([{"department_id": 5, "department_name": "Sales", "location": ""}], "Sales", ""),
    ],
    ids=["no such department", "no location", "an empty location"],
)
def test_what_a_department_does_not_say_is_unknown(departments: list[Row], name: str, location: str) -> None:
    (row,) = remodelled("dim_staff", [{"department_id": 5}], departments).to_pylist()
    assert (row["department_name"], row["location"]) == (name, location)


def test_a_counterparty_has_its_legal_address() -> None:
    address = {
        "address_id": 7,
        "address_line_1": "1 Quay",
        "address_line_2": None,
        "district": "",
        "city": "Łódź",
        "postal_code": "90-001",
        "country": "Poland",
        "phone": "0123",
    }
    counterparty = {"counterparty_id": 3, "counterparty_legal_name": "Totes & Söhne", "legal_address_id": 7}
    assert remodelled("dim_counterparty", [counterparty], [{"address_id": 1}, address]).to_pylist() == [
        {
            "counterparty_id": 3,
            "counterparty_legal_name": "Totes & Söhne",
            "counterparty_legal_address_line_1": "1 Quay",
            "counterparty_legal_address_line_2": None,
            "counterparty_legal_district": "",
            "counterparty_legal_city": "Łódź",
            "counterparty_legal_postal_code": "90-001",
            "counterparty_legal_country": "Poland",
            "counterparty_legal_phone_number": "0123",
        }
    ]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("GBP", "British Pound"),
        ("USD", "US Dollar"),
        ("EUR", "Euro"),
        ("gbp", "British Pound"),
        (" Eur ", "Euro"),
        ("QQQ", "QQQ"),
        (" qqq", " qqq"),
    ],
)
def test_currencies_have_their_english_names(code: str, name: str) -> None:
    (row,) = remodelled("dim_currency", [{"currency_code": code}]).to_pylist()
    assert row == {"currency_id": 1, "currency_code": code, "currency_name": name}


def test_a_sales_order_keeps_every_penny_and_millisecond() -> None:
    order = {
        "sales_order_id": 9,
        "created_at": datetime(2022, 11, 3, 14, 20, 52, 186000),  # noqa: DTZ001
        "last_updated": datetime(2024, 2, 29, 23, 59, 59, 999000),  # noqa: DTZ001
        "design_id": 3,
        "staff_id": 19,
        "counterparty_id": 8,
        "units_sold": 42972,
        "unit_price": Decimal("39421.07"),
        "currency_id": 2,
        "agreed_delivery_date": "2022-11-07",
        "agreed_payment_date": "2022-11-08",
        "agreed_delivery_location_id": 28,
    }
    assert remodelled("fact_sales_order", [order]).to_pylist() == [
        {
            "sales_order_id": 9,
            "created_date": date(2022, 11, 3),
            "created_time": time(14, 20, 52, 186000),
            "last_updated_date": date(2024, 2, 29),
            "last_updated_time": time(23, 59, 59, 999000),
            "sales_staff_id": 19,
            "counterparty_id": 8,
            "units_sold": 42972,
            "unit_price": Decimal("39421.07"),
            "currency_id": 2,
            "design_id": 3,
            "agreed_payment_date": date(2022, 11, 8),
            "agreed_delivery_date": date(2022, 11, 7),
            "agreed_delivery_location_id": 28,
        }
    ]
