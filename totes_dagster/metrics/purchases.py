"""Metrics of purchases: what was ordered from suppliers."""

from psycopg.sql import SQL

from totes_dagster.metrics.dimensions import DATES
from totes_dagster.metrics.metric import COUNT, Metric, Rows, Unit, missing, total
from totes_dagster.metrics.relations import PURCHASE

_SPLITS = (*DATES, "hour", "currency", "department", "staff", "delivered_to", "supplier_of", "supplier")
_GBP = SQL("purchase.amount_gbp")

_ORDERS = Rows("purchase order", PURCHASE, SQL("purchase.created_date"), "the day on which the order was placed")

PURCHASES = (
    Metric(
        "spend",
        "What purchase orders are worth in pounds sterling, each converted and rounded at the rate of the day on which "
        "it was placed.",
        Unit.GBP,
        _ORDERS,
        total(_GBP),
        _SPLITS,
        unconverted=missing(_GBP),
    ),
    Metric(
        "spend_in_own_currency",
        "What purchase orders are worth in their own currency, for one currency at a time.",
        Unit.OWN_CURRENCY,
        _ORDERS,
        total(SQL("purchase.amount")),
        _SPLITS,
    ),
    Metric(
        "purchase_orders",
        "Number of purchase orders.",
        Unit.ORDERS,
        _ORDERS,
        COUNT,
        _SPLITS,
    ),
    Metric(
        "items_bought",
        "Number of items ordered from suppliers.",
        Unit.ITEMS,
        _ORDERS,
        total(SQL("purchase.item_quantity")),
        _SPLITS,
    ),
)
