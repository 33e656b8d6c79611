"""The facts, each computed row by row from one event table, so that any part can be remodelled on its own.

One function, one table. Frames are Arrow-backed (`pandas.ArrowDtype`); their columns are those that `schema/` declares.
What is known only when a version is loaded (record id, `is_deleted`, `batch`) is not here.
"""

from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from totes_dagster.errors import InvalidRowsError
from totes_dagster.model.frames import cast

_FIRST_DATE = pa.scalar(date.min, pa.date32())


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
            "agreed_payment_date": date_from_text(sales_order, "agreed_payment_date", key="sales_order_id"),
            "agreed_delivery_date": date_from_text(sales_order, "agreed_delivery_date", key="sales_order_id"),
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
            "agreed_delivery_date": date_from_text(purchase_order, "agreed_delivery_date", key="purchase_order_id"),
            "agreed_payment_date": date_from_text(purchase_order, "agreed_payment_date", key="purchase_order_id"),
            "agreed_delivery_location_id": purchase_order["agreed_delivery_location_id"],
        }
    )


def fact_payment(payment: pd.DataFrame) -> pd.DataFrame:
    """One row per captured payment; the text date becomes a date, account numbers are left behind."""
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
            "payment_date": date_from_text(payment, "payment_date", key="payment_id"),
        }
    )


def date_from_text(rows: pd.DataFrame, column: str, *, key: str) -> pd.Series:
    """Dates (date32) from a column of `YYYY-MM-DD` text; nulls stay null.

    Args:
        rows: has the column and the key.
        column: the text.
        key: column that tells in a message which row it is.

    Raises:
        InvalidRowsError: a text is not a date of the calendar, of the years 1 to 9999. Arrow's cast is strict; its
            `strptime` would turn 2023-02-30 into 2 March.
    """
    dates = cast(rows, column, pa.date32(), key=key, what=column)
    too_early = pc.index(pc.less(dates, _FIRST_DATE), True).as_py()
    if too_early >= 0:
        raise InvalidRowsError(
            f"{column} is {rows[column].iloc[too_early]!r} where {key} is {rows[key].iloc[too_early]}, but no calendar "
            "has a year 0. No row of its part can be remodelled."
        )
    return pd.Series(pd.array(dates, dtype=pd.ArrowDtype(pa.date32())), index=rows.index)


def _stamps(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "created_date": rows["created_at"].dt.date,
        "created_time": rows["created_at"].dt.time,
        "last_updated_date": rows["last_updated"].dt.date,
        "last_updated_time": rows["last_updated"].dt.time,
    }
