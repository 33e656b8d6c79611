"""The views that metrics are computed from: what each shows, and what its columns mean.

The SQL of a view is in the migration that creates it. What is written here becomes the comments of the view and of its
columns in the warehouse.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from totes_dagster.schema.facts import fact_payment, fact_purchase_order, fact_sales_order


@dataclass(frozen=True)
class View:
    """A view of the warehouse.

    Attributes:
        name: its name.
        comment: what a row is, in a sentence or two.
        columns: what each column means, by its name, in the view's order.
    """

    name: str
    comment: str
    columns: Mapping[str, str]


_LOADED_BY_BATCH = {"batch": "Batch that brought the newest version."}

_FROM_FACTS = {
    column.name: str(column.comment)
    for fact in (fact_payment, fact_purchase_order, fact_sales_order)
    for column in fact.columns
}


def _of_facts(*names: str) -> dict[str, str]:
    return {name: _FROM_FACTS[name] for name in names} | _LOADED_BY_BATCH


_STAMPS = ("created_date", "created_time", "last_updated_date", "last_updated_time")

_OF_ORDERS = {
    "currency_code": "ISO 4217 code of the currency.",
    "amount": "What the order is worth, in its own currency: quantity times price.",
    "amount_gbp": "The amount in pounds sterling, rounded to pence, at the rate of the day on which the order was "
    "placed; null if there is no rate for that day.",
    "rate_date": "Day for which the rate was published; null if none is needed, or there is none.",
}

_ALL = (
    View(
        "as_of",
        "The moment that the warehouse shows. One row; its columns are null before the first batch.",
        {
            "moment": "When the snapshot of the newest batch was taken.",
            "day": "The day of that moment, UTC: what counts as today for all that is open or overdue.",
            "batch": "Number of the newest batch.",
        },
    ),
    View(
        "sale",
        "Sales orders with their worth in pounds sterling. One row per sales order; those that were deleted are left "
        "out.",
        {
            **_of_facts(
                "sales_order_id",
                *_STAMPS,
                "sales_staff_id",
                "counterparty_id",
                "units_sold",
                "unit_price",
                "currency_id",
                "design_id",
                "agreed_payment_date",
                "agreed_delivery_date",
                "agreed_delivery_location_id",
            ),
            "counterparty_id": "Customer.",
            **_OF_ORDERS,
        },
    ),
    View(
        "purchase",
        "Purchase orders with their worth in pounds sterling. One row per purchase order; those that were deleted are "
        "left out.",
        {
            **_of_facts(
                "purchase_order_id",
                *_STAMPS,
                "staff_id",
                "counterparty_id",
                "item_code",
                "item_quantity",
                "item_unit_price",
                "currency_id",
                "agreed_delivery_date",
                "agreed_payment_date",
                "agreed_delivery_location_id",
            ),
            "counterparty_id": "Supplier.",
            **_OF_ORDERS,
        },
    ),
    View(
        "settlement",
        "Payments, made or open, with what they are for and their worth in pounds sterling. One row per payment; those "
        "that were deleted are left out.",
        {
            **_of_facts(
                "payment_id",
                *_STAMPS,
                "transaction_id",
                "counterparty_id",
                "payment_amount",
                "currency_id",
                "payment_type_id",
                "paid",
                "payment_date",
            ),
            "counterparty_id": "Customer of a sale, or supplier of a purchase.",
            "payment_date": "Date the payment is due.",
            "transaction_type": "SALE or PURCHASE.",
            "sales_order_id": "The sales order, for a sale.",
            "purchase_order_id": "The purchase order, for a purchase.",
            "payment_type_name": "Kind of payment.",
            "currency_code": "ISO 4217 code of the currency.",
            "sign": "1 if the payment brings money in, -1 if it takes money out: a refund has the sign opposite to "
            "that of other payments of its transaction; null if the transaction is not known.",
            "paid_on": "Day on which it was made: the source's stamp of the first version that is paid, after the last "
            "one that is not; null if it is open.",
            "as_of": "The day that the warehouse shows, as in the view as_of.",
            "days_late": "Days from the due date to the day on which it was made, or to the day that the warehouse "
            "shows if it is open; negative if that is before the due date.",
            "ageing": "How long an open payment is overdue: not due, 1 to 7 days, 8 to 30 days, over 30 days; null if "
            "it was made.",
            "cash_gbp": "Amount of a payment that was made, in pounds sterling, rounded to pence, at the rate of the "
            "day on which it was made; null if there is no rate for that day, or it is open.",
            "closing_gbp": "Amount of an open payment, in pounds sterling, rounded to pence, at the rate of the day "
            "that the warehouse shows; null if there is no rate for that day, or it was made.",
            "ordered_on": "Day on which the order that it is for was placed; null if the warehouse does not show it.",
            "booked_gbp": "The amount in pounds sterling, rounded to pence, at the rate of the day on which the order "
            "was placed; null if there is no rate for that day, or no order and the amount is not in pounds.",
            "exchange_gain_gbp": "What a change of the rate between order and payment gained, in pounds sterling, "
            "negative for a loss; null if it is open or either rate is missing.",
        },
    ),
    View(
        "delivery",
        "Sales orders, and whether the promised day of delivery was kept. One row per sales order; those that were "
        "deleted are left out.",
        {
            **_of_facts(
                "sales_order_id",
                "created_date",
                "sales_staff_id",
                "counterparty_id",
                "design_id",
                "agreed_delivery_location_id",
                "units_sold",
                "agreed_delivery_date",
            ),
            "counterparty_id": "Customer.",
            "shipments": "Number of deliveries.",
            "units_delivered": "Number of bags in them.",
            "first_delivered_date": "Day of the first delivery, UTC; null if there was none.",
            "complete_date": "Day by which all bags ordered had been delivered, UTC; null if they have not been.",
            "days_late": "Days from the agreed date to the day by which all bags had been delivered, negative if that "
            "is before it; null if they have not been.",
            "promise": "kept if all bags were delivered by the agreed date; missed if not; open if that date is not "
            "before the newest known delivery; not known if it is before the oldest one, or none is known.",
        },
    ),
    View(
        "sales_target",
        "Targets of departments, with what was sold. One row per month and department that has a target.",
        {
            "month": "First day of the month.",
            "department_name": "Department, as in dim_staff.",
            "target_gbp": "Net sales aimed at, in pounds sterling.",
            "decided_on": "Day on which the target was decided; null if the file does not say.",
            "sales_gbp": "Net sales of the department's staff in the month, in pounds sterling.",
            "orders": "Number of their sales orders.",
            "unconverted": "Number of these that are not in sales_gbp because there is no rate for their day.",
        },
    ),
    View(
        "unconverted",
        "Orders and payments without an amount in pounds sterling. One row for each, and day whose rate is missing.",
        {
            "kind": "sales order, purchase order, payment made, or open payment.",
            "id": "Number of the order or payment.",
            "day": "Day whose rate is missing.",
            "currency_id": "Currency of the order or payment.",
            "currency_code": "ISO 4217 code of the currency.",
            "amount": "Amount in that currency.",
        },
    ),
)

VIEWS: dict[str, View] = {view.name: view for view in _ALL}
"""The views by name, in an order in which they can be created."""
