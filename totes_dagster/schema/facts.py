"""The three facts, which contain every version of every row. Each column names what it is computed *from*.

The functions that compute them are in `totes_dagster/remodel/tables/`. The columns that the load fills in (record id,
`is_deleted`, `batch`) are added to every fact by `star.py`.
"""

from typing import Any

from sqlalchemy import Boolean, Column, Date, Integer, Numeric, String, Time

from totes_dagster.schema.star import column, fact

_MONEY = Numeric(10, 2)


def _stamps(source: str) -> tuple[Column[Any], ...]:
    return (
        column("created_date", Date(), "Date of creation, UTC.", f"{source}.created_at", references="dim_date.date_id"),
        column("created_time", Time(), "Time of creation, UTC, to the millisecond.", f"{source}.created_at"),
        column(
            "last_updated_date",
            Date(),
            "Date of the last update that the source stamped, UTC.",
            f"{source}.last_updated",
            references="dim_date.date_id",
        ),
        column(
            "last_updated_time",
            Time(),
            "Time of the last update that the source stamped, UTC, to the millisecond.",
            f"{source}.last_updated",
        ),
    )


fact_sales_order = fact(
    "fact_sales_order",
    "Sales orders. One row per version of a sales order that the platform has seen.",
    "sales_record_id",
    column("sales_order_id", Integer(), "Number of the sales order.", "sales_order.sales_order_id"),
    *_stamps("sales_order"),
    column(
        "sales_staff_id",
        Integer(),
        "Member of staff who made the sale.",
        "sales_order.staff_id",
        references="dim_staff.staff_id",
    ),
    column(
        "counterparty_id",
        Integer(),
        "Customer.",
        "sales_order.counterparty_id",
        references="dim_counterparty.counterparty_id",
    ),
    column("units_sold", Integer(), "Number of bags ordered.", "sales_order.units_sold"),
    column("unit_price", _MONEY, "Price of one bag, in the order's currency.", "sales_order.unit_price"),
    column(
        "currency_id",
        Integer(),
        "Currency of the order.",
        "sales_order.currency_id",
        references="dim_currency.currency_id",
    ),
    column("design_id", Integer(), "Design ordered.", "sales_order.design_id", references="dim_design.design_id"),
    column(
        "agreed_payment_date",
        Date(),
        "Date agreed for payment.",
        "sales_order.agreed_payment_date",
        references="dim_date.date_id",
    ),
    column(
        "agreed_delivery_date",
        Date(),
        "Date agreed for delivery.",
        "sales_order.agreed_delivery_date",
        references="dim_date.date_id",
    ),
    column(
        "agreed_delivery_location_id",
        Integer(),
        "Address to deliver to.",
        "sales_order.agreed_delivery_location_id",
        references="dim_location.location_id",
    ),
)

fact_purchase_order = fact(
    "fact_purchase_order",
    "Purchase orders. One row per version of a purchase order that the platform has seen.",
    "purchase_record_id",
    column("purchase_order_id", Integer(), "Number of the purchase order.", "purchase_order.purchase_order_id"),
    *_stamps("purchase_order"),
    column(
        "staff_id",
        Integer(),
        "Member of staff who placed the order.",
        "purchase_order.staff_id",
        references="dim_staff.staff_id",
    ),
    column(
        "counterparty_id",
        Integer(),
        "Supplier.",
        "purchase_order.counterparty_id",
        references="dim_counterparty.counterparty_id",
    ),
    column("item_code", String(), "Supplier's code of the item.", "purchase_order.item_code"),
    column("item_quantity", Integer(), "Number of items ordered.", "purchase_order.item_quantity"),
    column("item_unit_price", _MONEY, "Price of one item, in the order's currency.", "purchase_order.item_unit_price"),
    column(
        "currency_id",
        Integer(),
        "Currency of the order.",
        "purchase_order.currency_id",
        references="dim_currency.currency_id",
    ),
    column(
        "agreed_delivery_date",
        Date(),
        "Date agreed for delivery.",
        "purchase_order.agreed_delivery_date",
        references="dim_date.date_id",
    ),
    column(
        "agreed_payment_date",
        Date(),
        "Date agreed for payment.",
        "purchase_order.agreed_payment_date",
        references="dim_date.date_id",
    ),
    column(
        "agreed_delivery_location_id",
        Integer(),
        "Address to deliver to.",
        "purchase_order.agreed_delivery_location_id",
        references="dim_location.location_id",
    ),
)

fact_payment = fact(
    "fact_payment",
    "Payments. One row per version of a payment that the platform has seen.",
    "payment_record_id",
    column("payment_id", Integer(), "Number of the payment.", "payment.payment_id"),
    *_stamps("payment"),
    column(
        "transaction_id",
        Integer(),
        "Transaction paid for.",
        "payment.transaction_id",
        references="dim_transaction.transaction_id",
    ),
    column(
        "counterparty_id",
        Integer(),
        "Who pays or is paid.",
        "payment.counterparty_id",
        references="dim_counterparty.counterparty_id",
    ),
    column("payment_amount", _MONEY, "Amount, in the payment's currency.", "payment.payment_amount"),
    column(
        "currency_id",
        Integer(),
        "Currency of the payment.",
        "payment.currency_id",
        references="dim_currency.currency_id",
    ),
    column(
        "payment_type_id",
        Integer(),
        "Kind of payment.",
        "payment.payment_type_id",
        references="dim_payment_type.payment_type_id",
    ),
    column("paid", Boolean(), "Whether the payment has been made.", "payment.paid"),
    column(
        "payment_date",
        Date(),
        "Date the payment is due or was made.",
        "payment.payment_date",
        references="dim_date.date_id",
    ),
)
