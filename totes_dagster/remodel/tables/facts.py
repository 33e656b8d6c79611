"""The facts, each computed row by row from one event table, so that any part can be remodelled on its own.

One function, one table. Data frames are Arrow-backed (`pandas.ArrowDtype`) and have the columns declared in `schema/`.
A value that cannot be converted becomes null, which breaks the contract (see `contract.py`) and puts its row into
quarantine. The columns that the load fills in (record id, `is_deleted`, `batch`) are not computed here.
"""

import pandas as pd

from totes_dagster.remodel.tables.calendar import date_from_text, day_of


def fact_sales_order(sales_order: pd.DataFrame) -> pd.DataFrame:
    """One row per captured sales order; `staff_id` becomes `sales_staff_id`, text dates become dates."""
    return pd.DataFrame(
        {
            "sales_order_id": sales_order["sales_order_id"],
            **_stamps(sales_order),
            "sales_staff_id": sales_order["staff_id"],
            "counterparty_id": sales_order["counterparty_id"],
            "units_sold": sales_order["units_sold"],
            "unit_price": sales_order["unit_price"],
            "currency_id": sales_order["currency_id"],
            "design_id": sales_order["design_id"],
            "agreed_payment_date": date_from_text(sales_order["agreed_payment_date"]),
            "agreed_delivery_date": date_from_text(sales_order["agreed_delivery_date"]),
            "agreed_delivery_location_id": sales_order["agreed_delivery_location_id"],
        }
    )


def fact_purchase_order(purchase_order: pd.DataFrame) -> pd.DataFrame:
    """One row per captured purchase order; text dates become dates."""
    return pd.DataFrame(
        {
            "purchase_order_id": purchase_order["purchase_order_id"],
            **_stamps(purchase_order),
            "staff_id": purchase_order["staff_id"],
            "counterparty_id": purchase_order["counterparty_id"],
            "item_code": purchase_order["item_code"],
            "item_quantity": purchase_order["item_quantity"],
            "item_unit_price": purchase_order["item_unit_price"],
            "currency_id": purchase_order["currency_id"],
            "agreed_delivery_date": date_from_text(purchase_order["agreed_delivery_date"]),
            "agreed_payment_date": date_from_text(purchase_order["agreed_payment_date"]),
            "agreed_delivery_location_id": purchase_order["agreed_delivery_location_id"],
        }
    )


def fact_payment(payment: pd.DataFrame) -> pd.DataFrame:
    """One row per captured payment; the text date becomes a date, and account numbers are dropped."""
    return pd.DataFrame(
        {
            "payment_id": payment["payment_id"],
            **_stamps(payment),
            "transaction_id": payment["transaction_id"],
            "counterparty_id": payment["counterparty_id"],
            "payment_amount": payment["payment_amount"],
            "currency_id": payment["currency_id"],
            "payment_type_id": payment["payment_type_id"],
            "paid": payment["paid"],
            "payment_date": date_from_text(payment["payment_date"]),
        }
    )


def _stamps(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "created_date": day_of(rows["created_at"]),
        "created_time": rows["created_at"].dt.time,
        "last_updated_date": day_of(rows["last_updated"]),
        "last_updated_time": rows["last_updated"].dt.time,
    }
