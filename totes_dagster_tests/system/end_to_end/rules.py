"""Which column of the source becomes which of a star table, and which texts of values can: as plain data.

What follows from it for a source as it is, is in `judge.py`.
"""

import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction

from babel import Locale

Text = str | None
Row = dict[str, Text]
"""A row as texts, by column."""


class OddValueError(ValueError):
    """A value that its place in the warehouse cannot hold."""


def _text(value: str) -> str:
    return value


def integer(value: str) -> str:
    if not -(2**31) <= int(value) < 2**31:
        raise OddValueError(value)
    return str(int(value))


def _money(value: str) -> str:
    try:
        pence = Fraction(value) * 100
    except ValueError as error:  # NaN and infinities
        raise OddValueError(value) from error
    if pence.denominator != 1 or abs(pence) >= 10**10:
        raise OddValueError(value)
    sign, (pounds, rest) = "-" if pence < 0 else "", divmod(abs(int(pence)), 100)
    return f"{sign}{pounds}.{rest:02}"


def _date(value: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise OddValueError(value)
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise OddValueError(value) from error


def _moment(value: str, part: int) -> str:
    # Not so: infinity, years of five digits, and years before Christ.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+", value):
        raise OddValueError(value)
    return value.split(" ")[part]


def _day(value: str) -> str:
    return _moment(value, 0)


def _time(value: str) -> str:
    return _moment(value, 1)


def _currency_name(code: str) -> str:
    return Locale("en").currencies.get(code, code)


Columns = dict[str, tuple[str, Callable[[str], str]]]
"""For each column of a star table the source column that it comes from, and how."""

_STAMPS: Columns = {
    "created_date": ("created_at", _day),
    "created_time": ("created_at", _time),
    "last_updated_date": ("last_updated", _day),
    "last_updated_time": ("last_updated", _time),
}
_AGREED: Columns = {
    "agreed_payment_date": ("agreed_payment_date", _date),
    "agreed_delivery_date": ("agreed_delivery_date", _date),
    "agreed_delivery_location_id": ("agreed_delivery_location_id", integer),
}


def _columns(kind: Callable[[str], str], names: str) -> Columns:
    return {name: (name, kind) for name in names.split()}


ADDRESS: Columns = _columns(_text, "address_line_1 address_line_2 district city postal_code country phone")

FACTS: dict[str, Columns] = {
    "sales_order": {
        **_columns(integer, "sales_order_id"),
        **_STAMPS,
        "sales_staff_id": ("staff_id", integer),
        **_columns(integer, "counterparty_id units_sold currency_id design_id"),
        **_columns(_money, "unit_price"),
        **_AGREED,
    },
    "purchase_order": {
        **_columns(integer, "purchase_order_id staff_id counterparty_id item_quantity currency_id"),
        **_STAMPS,
        **_columns(_text, "item_code"),
        **_columns(_money, "item_unit_price"),
        **_AGREED,
    },
    "payment": {
        **_columns(integer, "payment_id transaction_id counterparty_id currency_id payment_type_id"),
        **_STAMPS,
        **_columns(_money, "payment_amount"),
        **_columns(_text, "paid"),
        **_columns(_date, "payment_date"),
    },
}
"""By source table; the fact is `fact_…`, its view `current_…`."""

DIMENSIONS: dict[str, tuple[str, Columns]] = {
    "dim_location": ("address", {"location_id": ("address_id", integer), **ADDRESS}),
    "dim_currency": (
        "currency",
        {
            **_columns(integer, "currency_id"),
            **_columns(_text, "currency_code"),
            "currency_name": ("currency_code", _currency_name),
        },
    ),
    "dim_design": (
        "design",
        _columns(integer, "design_id") | _columns(_text, "design_name file_location file_name"),
    ),
    "dim_payment_type": (
        "payment_type",
        _columns(integer, "payment_type_id") | _columns(_text, "payment_type_name"),
    ),
    "dim_transaction": (
        "transaction",
        _columns(integer, "transaction_id sales_order_id purchase_order_id") | _columns(_text, "transaction_type"),
    ),
    "dim_staff": (
        "staff",
        {
            **_columns(integer, "staff_id"),
            **_columns(_text, "first_name last_name email_address department_name location"),
        },
    ),
    "dim_counterparty": (
        "counterparty",
        {
            **_columns(integer, "counterparty_id"),
            **_columns(_text, "counterparty_legal_name"),
            **{
                f"counterparty_legal_{name}{'_number' if name == 'phone' else ''}": (f"legal_{name}", _text)
                for name in ADDRESS
            },
        },
    ),
}
NULLABLE = {
    "address_line_2",
    "district",
    "counterparty_legal_address_line_2",
    "counterparty_legal_district",
    "sales_order_id",
    "purchase_order_id",
}
"""Columns of dimensions that may be null; of facts, none may."""

REFERENCES = {
    "dim_location": ["agreed_delivery_location_id"],
    "dim_currency": ["currency_id"],
    "dim_design": ["design_id"],
    "dim_payment_type": ["payment_type_id"],
    "dim_transaction": ["transaction_id"],
    "dim_staff": ["staff_id", "sales_staff_id"],
    "dim_counterparty": ["counterparty_id"],
}
"""Columns of facts that refer to a dimension."""

TABLES = [*FACTS, *(source for source, _ in DIMENSIONS.values()), "department"]
