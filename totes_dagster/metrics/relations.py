"""What metrics are computed from: the views of the warehouse, and how dimensions join them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.sql import SQL


@dataclass(frozen=True)
class Relation:
    """A view of the warehouse, and the tables that its rows can be joined to.

    Attributes:
        view: its name.
        joins: for each table, the condition of its join. At most one row of the table fulfils it, so that no row of the
            view is counted twice.
        time: the time of day that belongs to a row's day; None if rows have none.
        own: SQL of the dimensions that the view has as columns, where others get them from a table, by name.
    """

    view: str
    joins: Mapping[str, sql.SQL] = field(default_factory=dict)
    time: sql.SQL | None = None
    own: Mapping[str, sql.SQL] = field(default_factory=dict)


SALE = Relation(
    "sale",
    {
        "dim_staff": SQL("dim_staff.staff_id = sale.sales_staff_id"),
        "dim_design": SQL("dim_design.design_id = sale.design_id"),
        "dim_location": SQL("dim_location.location_id = sale.agreed_delivery_location_id"),
        "dim_counterparty": SQL("dim_counterparty.counterparty_id = sale.counterparty_id"),
    },
    time=SQL("sale.created_time"),
)

PURCHASE = Relation(
    "purchase",
    {
        "dim_staff": SQL("dim_staff.staff_id = purchase.staff_id"),
        "dim_location": SQL("dim_location.location_id = purchase.agreed_delivery_location_id"),
        "dim_counterparty": SQL("dim_counterparty.counterparty_id = purchase.counterparty_id"),
    },
    time=SQL("purchase.created_time"),
)

SETTLEMENT = Relation(
    "settlement",
    {"dim_counterparty": SQL("dim_counterparty.counterparty_id = settlement.counterparty_id")},
)

DELIVERY = Relation(
    "delivery",
    {
        "dim_staff": SQL("dim_staff.staff_id = delivery.sales_staff_id"),
        "dim_design": SQL("dim_design.design_id = delivery.design_id"),
        "dim_location": SQL("dim_location.location_id = delivery.agreed_delivery_location_id"),
        "dim_counterparty": SQL("dim_counterparty.counterparty_id = delivery.counterparty_id"),
    },
)

SALES_TARGET = Relation("sales_target", own={"department": SQL("sales_target.department_name")})

UNCONVERTED = Relation("unconverted")
