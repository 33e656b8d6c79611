"""The facts that feeds bring, and what the load derives from them: the rate of every day and currency.

Feeds bring what does not come from totesys. Their rows may speak of orders or days that the warehouse does not have
yet, so they refer to no dimension: a feed never holds up totesys' rows, nor they a feed's.
"""

from sqlalchemy import Column, Date, Integer, Numeric, String, Table
from sqlalchemy.dialects.postgresql import TIMESTAMP

from totes_dagster.schema.star import column, feed_fact, metadata

RATE = Numeric(18, 8)
"""A rate has at most ten digits before the decimal point, and eight after it."""

fact_exchange_rate = feed_fact(
    "fact_exchange_rate",
    "Euro reference rates of the European Central Bank. One row per version of a currency's rate on a day.",
    "exchange_rate_record_id",
    (
        column("quote_code", String(), "ISO 4217 code of the currency."),
        column("rate_date", Date(), "Day for which the rate was published."),
    ),
    column("rate", RATE, "Units of the currency for one euro."),
)

fact_shipment = feed_fact(
    "fact_shipment",
    "Deliveries to customers. One row per version of what was delivered for a sales order at a moment.",
    "shipment_record_id",
    (
        column("sales_order_id", Integer(), "Number of the sales order."),
        column("delivered_at", TIMESTAMP(), "When it was delivered, UTC."),
    ),
    column("delivered_date", Date(), "Day on which it was delivered, UTC."),
    column("units", Integer(), "Number of bags delivered."),
)

fact_sales_target = feed_fact(
    "fact_sales_target",
    "Sales that departments aim at. One row per version of a department's target for a month.",
    "sales_target_record_id",
    (
        column("month", Date(), "First day of the month."),
        column("department_name", String(), "Department, as in dim_staff."),
    ),
    column("amount_gbp", Numeric(14, 2), "Net sales aimed at, in pounds sterling."),
    column("decided_on", Date(), "Day on which the target was decided; null if the file does not say.", nullable=True),
    own_time="decided_on",
)

rate_on_day = Table(
    "rate_on_day",
    metadata,
    Column("date_id", Date(), primary_key=True, comment="Day of the calendar."),
    Column("currency_id", Integer(), primary_key=True, autoincrement=False, comment="Currency, as in dim_currency."),
    Column("currency_code", String(), nullable=False, comment="ISO 4217 code of the currency."),
    Column("per_eur", RATE, comment="Units of the currency for one euro; null if no rate is at most 7 days old."),
    Column("gbp_per_eur", RATE, comment="Pounds sterling for one euro; null if no rate is at most 7 days old."),
    Column(
        "rate_date",
        Date(),
        comment="Day for which the older of the two rates was published; null where either is missing.",
    ),
    comment="The exchange rate that holds on each day, for each currency: the newest one that is at most 7 days old. "
    "An amount in pounds is amount * gbp_per_eur / per_eur. The days are those of the calendar from the first rate to "
    "7 days after the last.",
)
