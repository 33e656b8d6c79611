"""Metrics of sales: what was sold, at which price, and what departments aim at."""

from psycopg.sql import SQL

from totes_dagster.metrics.dimensions import DATES
from totes_dagster.metrics.metric import COUNT, MEDIAN, NINE_TENTHS, Metric, Rows, Unit, missing, percentile, total
from totes_dagster.metrics.relations import SALE, SALES_TARGET

_SPLITS = (*DATES, "hour", "currency", "department", "staff", "design", "delivered_to", "customer_of", "customer")
_GBP = SQL("sale.amount_gbp")
_LEAD_TIME = SQL("sale.agreed_delivery_date - sale.created_date")

_TARGET_SPLITS = ("year", "quarter", "month", "department")

_ORDERS = Rows("sales order", SALE, SQL("sale.created_date"), "the day on which the order was placed")
_TARGETS = Rows(
    "target of a department for a month", SALES_TARGET, SQL("sales_target.month"), "the first day of the month"
)

SALES = (
    Metric(
        "net_sales",
        "What sales orders are worth in pounds sterling, each converted and rounded at the rate of the day on which it "
        "was placed.",
        Unit.GBP,
        _ORDERS,
        total(_GBP),
        _SPLITS,
        unconverted=missing(_GBP),
    ),
    Metric(
        "net_sales_in_own_currency",
        "What sales orders are worth in their own currency, for one currency at a time.",
        Unit.OWN_CURRENCY,
        _ORDERS,
        total(SQL("sale.amount")),
        _SPLITS,
    ),
    Metric(
        "orders",
        "Number of sales orders.",
        Unit.ORDERS,
        _ORDERS,
        COUNT,
        _SPLITS,
    ),
    Metric(
        "units_sold",
        "Number of bags ordered by customers.",
        Unit.BAGS,
        _ORDERS,
        total(SQL("sale.units_sold")),
        _SPLITS,
    ),
    Metric(
        "average_price_a_bag",
        "Net sales divided by the number of bags in them: bags of orders without a rate are left out of both.",
        Unit.GBP_A_BAG,
        _ORDERS,
        SQL(
            "round(sum(sale.amount_gbp) / "
            "nullif(sum(sale.units_sold) filter (where sale.amount_gbp is not null), 0), 4)"
        ),
        _SPLITS,
        unconverted=missing(_GBP),
        additive=False,
    ),
    Metric(
        "average_price_a_bag_in_own_currency",
        "What sales orders are worth in their own currency divided by the number of bags in them, for one currency at "
        "a time.",
        Unit.OWN_CURRENCY_A_BAG,
        _ORDERS,
        SQL("round(sum(sale.amount) / nullif(sum(sale.units_sold), 0), 4)"),
        _SPLITS,
        additive=False,
    ),
    Metric(
        "customers",
        "Number of customers that placed a sales order.",
        Unit.CUSTOMERS,
        _ORDERS,
        SQL("count(distinct sale.counterparty_id)"),
        _SPLITS,
        additive=False,
    ),
    Metric(
        "promised_lead_time",
        "Median of the days from the placing of a sales order to the agreed date of delivery.",
        Unit.DAYS,
        _ORDERS,
        percentile(MEDIAN, _LEAD_TIME),
        _SPLITS,
        additive=False,
    ),
    Metric(
        "promised_lead_time_p90",
        "Days from the placing of a sales order to the agreed date of delivery that nine in ten do not exceed.",
        Unit.DAYS,
        _ORDERS,
        percentile(NINE_TENTHS, _LEAD_TIME),
        _SPLITS,
        additive=False,
    ),
    Metric(
        "sales_target",
        "Net sales that departments aim at.",
        Unit.GBP,
        _TARGETS,
        total(SQL("sales_target.target_gbp")),
        _TARGET_SPLITS,
    ),
    Metric(
        "target_attainment",
        "Net sales of the departments and months that have a target, divided by these targets.",
        Unit.SHARE,
        _TARGETS,
        # The view has 0 for sales of which none has a rate.
        SQL(
            "case when sum(sales_target.orders) = 0 or sum(sales_target.unconverted) < sum(sales_target.orders) "
            "then round(sum(sales_target.sales_gbp) / nullif(sum(sales_target.target_gbp), 0), 4) end"
        ),
        _TARGET_SPLITS,
        unconverted=SQL("coalesce(sum(sales_target.unconverted), 0)::bigint"),
        additive=False,
    ),
)
