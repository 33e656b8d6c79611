"""Metrics of purchases: what was ordered from suppliers."""

from psycopg.sql import SQL

from totes_dagster.metrics.dimensions import DATES
from totes_dagster.metrics.metric import COUNT, Metric, Unit, missing, total
from totes_dagster.metrics.relations import PURCHASE

_SPLITS = (*DATES, "hour", "currency", "department", "staff", "delivered_to", "supplier_of", "supplier")
_DAY = SQL("purchase.created_date")
_DAY_MEANING = "the day on which the order was placed"
_GRAIN = "purchase order"
_GBP = SQL("purchase.amount_gbp")

PURCHASES = (
    Metric(
        "spend",
        "What purchase orders are worth in pounds sterling, each converted and rounded at the rate of the day on which "
        "it was placed.",
        _GRAIN,
        Unit.GBP,
        PURCHASE,
        total(_GBP),
        _DAY,
        _DAY_MEANING,
        _SPLITS,
        unconverted=missing(_GBP),
    ),
    Metric(
        "spend_in_own_currency",
        "What purchase orders are worth in their own currency, for one currency at a time.",
        _GRAIN,
        Unit.OWN_CURRENCY,
        PURCHASE,
        total(SQL("purchase.amount")),
        _DAY,
        _DAY_MEANING,
        _SPLITS,
    ),
    Metric(
        "purchase_orders",
        "Number of purchase orders.",
        _GRAIN,
        Unit.ORDERS,
        PURCHASE,
        COUNT,
        _DAY,
        _DAY_MEANING,
        _SPLITS,
    ),
    Metric(
        "items_bought",
        "Number of items ordered from suppliers.",
        _GRAIN,
        Unit.ITEMS,
        PURCHASE,
        total(SQL("purchase.item_quantity")),
        _DAY,
        _DAY_MEANING,
        _SPLITS,
    ),
)
