"""Metrics of deliveries to customers: whether the promised day was kept."""

from psycopg.sql import SQL

from totes_dagster.metrics.dimensions import DATES
from totes_dagster.metrics.metric import COUNT, MEDIAN, Metric, Rows, Unit, percentile, share
from totes_dagster.metrics.relations import DELIVERY

_SPLITS = (*DATES, "department", "staff", "design", "delivered_to", "customer_of", "customer")

_DELIVERIES = Rows("sales order", DELIVERY, SQL("delivery.agreed_delivery_date"), "the agreed date of delivery")

DELIVERIES = (
    Metric(
        "deliveries_kept",
        "Number of sales orders whose bags were all delivered by the agreed date.",
        Unit.ORDERS,
        _DELIVERIES,
        COUNT,
        _SPLITS,
        condition=SQL("delivery.promise = 'kept'"),
    ),
    Metric(
        "deliveries_missed",
        "Number of sales orders whose bags were not all delivered by the agreed date.",
        Unit.ORDERS,
        _DELIVERIES,
        COUNT,
        _SPLITS,
        condition=SQL("delivery.promise = 'missed'"),
    ),
    Metric(
        "delivered_on_time",
        "Share of sales orders whose bags were all delivered by the agreed date, of those of which that is known.",
        Unit.SHARE,
        _DELIVERIES,
        share(SQL("delivery.promise = 'kept'")),
        _SPLITS,
        condition=SQL("delivery.promise in ('kept', 'missed')"),
        additive=False,
    ),
    Metric(
        "delivery_days_late",
        "Median of the days from the agreed date to the day by which all bags of a sales order had been delivered, "
        "negative if that is earlier.",
        Unit.DAYS,
        _DELIVERIES,
        percentile(MEDIAN, SQL("delivery.days_late")),
        _SPLITS,
        condition=SQL("delivery.promise in ('kept', 'missed') and delivery.complete_date is not null"),
        additive=False,
    ),
)
