"""Dimensions against small rows written by hand."""

import pytest

from totes_dagster_tests.unit.remodel.remodelling import sound_rows
from totes_dagster_tests.unit.rows import Row


def test_a_member_of_staff_has_the_department_of_their_department_id() -> None:
    staff = [
        {"staff_id": 1, "first_name": "Zoë", "last_name": "O'Neil", "department_id": 2, "email_address": "z@x.com"},
        {"staff_id": 2, "first_name": "", "last_name": "李", "department_id": 1, "email_address": "l@x.com"},
    ]
    departments = [
        {"department_id": 1, "department_name": "Sales", "location": "Manchester"},
        {"department_id": 2, "department_name": "Facilities", "location": "Leeds"},
    ]
    expected = [
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
    assert sound_rows("dim_staff", staff, departments).select(list(expected[0])).to_pylist() == expected


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
    (row,) = sound_rows("dim_staff", [{"department_id": 5}], departments).to_pylist()
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
    expected = [
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
    assert (
        sound_rows("dim_counterparty", [counterparty], [{"address_id": 1}, address])
        .select(list(expected[0]))
        .to_pylist()
        == expected
    )


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
    (row,) = sound_rows("dim_currency", [{"currency_code": code}]).to_pylist()
    assert row == {"currency_id": 1, "currency_code": code, "currency_name": name}
