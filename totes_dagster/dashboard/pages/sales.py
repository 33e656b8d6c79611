"""The page of sales orders: what was sold, where, by whom, to whom and when."""

from psycopg.sql import SQL

from totes_dagster.dashboard.bar_charts import grouped, podium, ranges, ranked
from totes_dagster.dashboard.charts import heatmap, lines, months
from totes_dagster.dashboard.formats import short_money
from totes_dagster.dashboard.question import Base, Column, Kind, Page, Question

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

ORDERS = Base(
    "orders",
    SQL("""
    select s.sales_order_id, s.created_date, date_trunc('month', s.created_date)::date as month, s.created_time,
           s.currency_code, s.currency_id, s.amount, s.amount_gbp, s.units_sold,
           s.agreed_delivery_date - s.created_date as promised_days,
           s.agreed_delivery_location_id as location_id, s.counterparty_id, s.design_id, s.sales_staff_id as staff_id
    from sale as s
    where {where}
    """),
)

HEADLINE = Question(
    "headline",
    "Sales",
    SQL("""
    select sum({money}) as net_sales, count(*) as orders, sum(units_sold) as units,
           round(sum({money}) / nullif(sum(units_sold) filter (where {money} is not null), 0), 4) as a_bag,
           count(distinct counterparty_id) as customers, count(*) filter (where {money} is null) as unconverted
    from orders
    """),
    (
        Column("net_sales", "Net sales", Kind.MONEY, "net_sales"),
        Column("orders", "Orders", Kind.NUMBER, "orders"),
        Column("units", "Bags", Kind.NUMBER, "units_sold"),
        Column("a_bag", "For a bag", Kind.MONEY, "average_price_a_bag"),
        Column("customers", "Customers", Kind.NUMBER, "customers"),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
)

BY_MONTH = Question(
    "by-month",
    "How much do we sell each month, and in which currency?",
    SQL("""
    select month, currency_code as currency, count(*) as orders, sum(units_sold) as units,
           sum(amount) as in_own_currency, sum({money}) as net_sales,
           count(*) filter (where {money} is null) as unconverted
    from orders group by 1, 2 order by 1, 2
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("currency", "Currency"),
        Column("orders", "Orders", Kind.NUMBER),
        Column("units", "Bags", Kind.NUMBER),
        Column("in_own_currency", "In that currency", Kind.DECIMAL),
        Column("net_sales", "Net sales", Kind.MONEY),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
    months("month", "net_sales", "currency", "Net sales"),
    note="Each order is converted at the rate of the day on which it was placed.",
)

CONSTANT_RATES = Question(
    "constant-rates",
    "How much of the change is due to exchange rates?",
    SQL("""
    select month, sum(amount_gbp) as booked,
           sum(case when o.currency_code = 'GBP' then amount
                    else round(amount * r.gbp_per_eur / r.per_eur, 2) end) as constant
    from orders as o cross join as_of
    left join rate_on_day as r on r.date_id = as_of.day and r.currency_id = o.currency_id
    group by 1 order by 1
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("booked", "At the day's rates", Kind.MONEY),
        Column("constant", "At today's rates", Kind.MONEY),
    ),
    lines(
        "month",
        {"booked": "at the rates of the day of the order", "constant": "at the newest rates"},
        "Net sales",
    ),
    note="Where the lines part, exchange rates have moved, and not what was sold. Always in pounds.",
    always_gbp=True,
)

COUNTRIES = Question(
    "countries",
    "Where do the bags go, and where are our customers?",
    SQL("""
    with sums as (
        select location.country as delivered_to, customer.counterparty_legal_country as customer_of,
               count(*) as orders, sum(units_sold) as units, sum({money}) as money
        from orders
        join dim_location as location using (location_id)
        join dim_counterparty as customer using (counterparty_id)
        group by 1, 2)
    select meant.country, sum(money) filter (where meant.is_delivery) as delivered,
           sum(money) filter (where not meant.is_delivery) as customers,
           sum(units) filter (where meant.is_delivery) as units_delivered,
           sum(orders) filter (where meant.is_delivery) as orders_delivered
    from sums cross join lateral (values (delivered_to, true), (customer_of, false)) as meant (country, is_delivery)
    group by 1 order by coalesce(sum(money) filter (where meant.is_delivery), 0) desc, 1
    """),
    (
        Column("country", "Country"),
        Column("delivered", "Delivered there", Kind.MONEY),
        Column("customers", "Customers from there", Kind.MONEY),
        Column("units_delivered", "Bags delivered there", Kind.NUMBER),
        Column("orders_delivered", "Orders delivered there", Kind.NUMBER),
    ),
    grouped(
        "country",
        {"delivered": "delivered there", "customers": "customers from there"},
        "Net sales",
    ),
    note="An order counts once for the country it is delivered to, and once for the country of the customer's legal "
    "address. The two add up to the same total.",
)

DESIGNS = Question(
    "designs",
    "Which designs sell best in each country?",
    SQL("""
    with sold as (
        select location.country, design_id, sum(units_sold) as units, sum({money}) as money,
               sum(units_sold) filter (where {money} is not null) as units_with_money
        from orders join dim_location as location using (location_id)
        group by 1, 2),
    placed as (
        select *, rank() over (partition by country order by money desc nulls last, design_id) as place,
               sum(money) over (partition by country) as of_country
        from sold)
    select country, place, design_id, design_name, units, money as net_sales,
           round(money / nullif(units_with_money, 0), 2) as a_bag
    from placed join dim_design using (design_id)
    where place <= 3
    order by of_country desc nulls last, country, place
    """),
    (
        Column("country", "Delivered to"),
        Column("place", "Place", Kind.NUMBER),
        Column("design_id", "Design", Kind.IDENTIFIER),
        Column("design_name", "Name"),
        Column("units", "Bags", Kind.NUMBER),
        Column("net_sales", "Net sales", Kind.MONEY),
        Column("a_bag", "For a bag", Kind.MONEY),
    ),
    podium("country", "place", "design_name", "net_sales", "Net sales"),
    note="The best three of each country that bags are delivered to; the chart shows the largest countries. Several "
    "designs may have the same name, so they are told apart by their number.",
)

DEPARTMENTS = Question(
    "departments",
    "What does each department sell, and each person in it?",
    SQL("""
    with sold as (select staff_id, count(*) as orders, sum({money}) as money from orders group by 1)
    select department_name, location, count(*) as people, sum(orders) as orders, sum(money) as net_sales,
           round(100 * sum(money) / nullif(sum(sum(money)) over (), 0), 1) as share,
           round(sum(money) / count(*), 2) as each
    from sold join dim_staff using (staff_id)
    group by 1, 2 order by sum(money) desc nulls last, 1, 2
    """),
    (
        Column("department_name", "Department"),
        Column("location", "Works in"),
        Column("people", "People who sold", Kind.NUMBER),
        Column("orders", "Orders", Kind.NUMBER),
        Column("net_sales", "Net sales", Kind.MONEY),
        Column("share", "Share", Kind.PERCENT),
        Column("each", "For each person", Kind.MONEY),
    ),
    ranked(
        "department_name",
        "net_sales",
        "Net sales",
        label=lambda row, unit: f"{row['share']:.0f} % · {short_money(row['each'], unit)} each",
    ),
)

CUSTOMERS = Question(
    "customers",
    "How much depends on the largest customers, and since when do they buy?",
    SQL("""
    with bought as (
        select counterparty_id, count(*) as orders, sum({money}) as money, min(created_date) as first_order
        from orders group by 1)
    select counterparty_id, counterparty_legal_name, orders, money as net_sales,
           round(100 * money / nullif(sum(money) over (), 0), 1) as share,
           round(100 * sum(money) over (order by money desc nulls last, counterparty_id)
                 / nullif(sum(money) over (), 0), 1) as cumulative_share, first_order
    from bought join dim_counterparty using (counterparty_id)
    order by money desc nulls last, counterparty_id
    """),
    (
        Column("counterparty_id", "Customer", Kind.IDENTIFIER),
        Column("counterparty_legal_name", "Name"),
        Column("orders", "Orders", Kind.NUMBER),
        Column("net_sales", "Net sales", Kind.MONEY),
        Column("share", "Share", Kind.PERCENT),
        Column("cumulative_share", "With all above", Kind.PERCENT),
        Column("first_order", "First order", Kind.DAY),
    ),
    ranked(
        "counterparty_legal_name",
        "net_sales",
        "Net sales",
        label=lambda row, _: f"{row['share']:.1f} % · Σ {row['cumulative_share']:.0f} %",
    ),
    note="Σ is the share of a customer together with all larger ones.",
)

HOURS = Question(
    "hours",
    "On which days and at which hours do orders come in?",
    SQL("""
    select extract(isodow from created_date)::int as day_of_week,
           (array['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])
               [extract(isodow from created_date)::int] as day,
           extract(hour from created_time)::int as hour, count(*) as orders, sum({money}) as net_sales
    from orders group by 1, 2, 3 order by 1, 3
    """),
    (
        Column("day_of_week", "Day of week", Kind.IDENTIFIER),
        Column("day", "Day"),
        Column("hour", "Hour, UTC", Kind.IDENTIFIER),
        Column("orders", "Orders", Kind.NUMBER),
        Column("net_sales", "Net sales", Kind.MONEY),
    ),
    heatmap("hour", "day", "orders", "Orders", WEEKDAYS),
)

LEAD_TIMES = Question(
    "lead-times",
    "How many days do we promise to take, from order to delivery?",
    SQL("""
    select country, count(*) as orders, percentile_disc(0.1) within group (order by promised_days) as days_10,
           percentile_disc(0.5) within group (order by promised_days) as days_50,
           percentile_disc(0.9) within group (order by promised_days) as days_90
    from orders join dim_location using (location_id)
    group by 1 order by 4, 1
    """),
    (
        Column("country", "Delivered to"),
        Column("orders", "Orders", Kind.NUMBER),
        Column("days_10", "A tenth at most, days", Kind.NUMBER),
        Column("days_50", "Half at most, days", Kind.NUMBER),
        Column("days_90", "Nine tenths at most, days", Kind.NUMBER),
    ),
    ranges("country", "days_10", "days_50", "days_90", "Days"),
    note="The line is from the shortest tenth to the longest tenth, the point is the median.",
)

DELIVERIES = Question(
    "deliveries",
    "Do the bags arrive by the day that we promised?",
    SQL("""
    select date_trunc('month', agreed_delivery_date)::date as month,
           count(*) filter (where promise = 'kept') as kept, count(*) filter (where promise = 'missed') as missed,
           round(100.0 * count(*) filter (where promise = 'kept') / count(*), 1) as on_time
    from orders join delivery using (sales_order_id) where promise in ('kept', 'missed')
    group by 1 order by 1
    """),
    (
        Column("month", "Month of the agreed day", Kind.MONTH),
        Column("kept", "Kept", Kind.NUMBER),
        Column("missed", "Missed", Kind.NUMBER),
        Column("on_time", "Kept, %", Kind.PERCENT),
    ),
    lines("month", {"on_time": "kept"}, "Promises kept, %", money=False),
    note="An order is delivered when all its bags are. Deliveries come as files of the feed shipment; orders that were "
    "due before the first of them are left out.",
    empty="No deliveries are known of these orders.",
)

TARGETS = Question(
    "targets",
    "Do the departments reach their targets?",
    SQL("""
    select month, sum(target_gbp) as target, sum(sales_gbp) as sold,
           round(100 * sum(sales_gbp) / nullif(sum(target_gbp), 0), 1) as reached
    from sales_target group by 1 order by 1
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("target", "Target", Kind.MONEY),
        Column("sold", "Net sales", Kind.MONEY),
        Column("reached", "Reached, %", Kind.PERCENT),
    ),
    lines("month", {"sold": "net sales", "target": "target"}, "Net sales"),
    note="Of all departments and months that have a target, whatever is filtered. Always in pounds. Targets come as "
    "files of the feed sales_target.",
    empty="There are no targets.",
    always_gbp=True,
)

PAGE = Page(
    "sales",
    "Sales",
    "Sales orders as they are now: changed ones in their newest version, deleted ones left out.",
    HEADLINE,
    (BY_MONTH, CONSTANT_RATES, COUNTRIES, DESIGNS, DEPARTMENTS, CUSTOMERS, HOURS, LEAD_TIMES, DELIVERIES, TARGETS),
    base=ORDERS,
    conditions={
        "since": SQL("s.created_date >= {value}"),
        "until": SQL("s.created_date <= {value}"),
        "currency": SQL("s.currency_code = {value}"),
        "country": SQL(
            "s.agreed_delivery_location_id in (select location_id from dim_location where country = {value})"
        ),
        "department": SQL("s.sales_staff_id in (select staff_id from dim_staff where department_name = {value})"),
    },
    labels={"since": "Ordered from", "until": "to", "country": "Delivered to"},
)
