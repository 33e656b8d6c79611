"""The dimensions, each computed from whole source tables (or, for transactions, from the rows that changed).

One function, one table. Data frames are Arrow-backed (`pandas.ArrowDtype`) and have the columns declared in `schema/`.
"""

import pandas as pd
from babel.numbers import get_currency_name

from totes_dagster.schema.star import UNKNOWN


def dim_counterparty(counterparty: pd.DataFrame, address: pd.DataFrame) -> pd.DataFrame:
    """One row per counterparty: its name, and the address that `legal_address_id` refers to.

    If that address does not exist in the source, its required columns are `Unknown`.
    """
    legal_address = pd.DataFrame(
        {
            "legal_address_id": address["address_id"],
            "counterparty_legal_address_line_1": address["address_line_1"],
            "counterparty_legal_address_line_2": address["address_line_2"],
            "counterparty_legal_district": address["district"],
            "counterparty_legal_city": address["city"],
            "counterparty_legal_postal_code": address["postal_code"],
            "counterparty_legal_country": address["country"],
            "counterparty_legal_phone_number": address["phone"],
        }
    )
    required = legal_address.columns.drop(
        ["legal_address_id", "counterparty_legal_address_line_2", "counterparty_legal_district"]
    )
    named = counterparty[["counterparty_id", "counterparty_legal_name", "legal_address_id"]]
    return named.merge(legal_address, on="legal_address_id", how="left").fillna(dict.fromkeys(required, UNKNOWN))


def dim_currency(currency: pd.DataFrame) -> pd.DataFrame:
    """One row per currency: its ISO 4217 code, and its English name in Unicode's CLDR.

    To find the name, case and surrounding blanks of the code are ignored. A code that is not in CLDR is its own name.
    """
    names = [None if pd.isna(code) else _currency_name(code) for code in currency["currency_code"]]
    return pd.DataFrame(
        {
            "currency_id": currency["currency_id"],
            "currency_code": currency["currency_code"],
            "currency_name": pd.Series(names, dtype=currency["currency_code"].dtype, index=currency.index),
        }
    )


def dim_design(design: pd.DataFrame) -> pd.DataFrame:
    """One row per design: its name and file."""
    return design[["design_id", "design_name", "file_location", "file_name"]]


def dim_location(address: pd.DataFrame) -> pd.DataFrame:
    """One row per address; its key is what orders refer to as `agreed_delivery_location_id`."""
    return address.rename(columns={"address_id": "location_id"})[
        ["location_id", "address_line_1", "address_line_2", "district", "city", "postal_code", "country", "phone"]
    ]


def dim_payment_type(payment_type: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of payment: its name."""
    return payment_type[["payment_type_id", "payment_type_name"]]


def dim_staff(staff: pd.DataFrame, department: pd.DataFrame) -> pd.DataFrame:
    """One row per member of staff: names and e-mail address, and the department that `department_id` refers to.

    The location of a department without one is `Unknown`, and so are both columns of a department that does not exist
    in the source.
    """
    employees = staff[["staff_id", "first_name", "last_name", "department_id", "email_address"]]
    departments = department[["department_id", "department_name", "location"]]
    return employees.merge(departments, on="department_id", how="left").fillna(
        {"department_name": UNKNOWN, "location": UNKNOWN}
    )


def dim_transaction(transaction: pd.DataFrame) -> pd.DataFrame:
    """One row per transaction: its type, and the order that it pays for."""
    return transaction[["transaction_id", "transaction_type", "sales_order_id", "purchase_order_id"]]


def _currency_name(code: str) -> str:
    normalized = code.strip().upper()
    name = get_currency_name(normalized, locale="en")
    return code if name == normalized else name
