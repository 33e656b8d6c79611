"""The page of sales orders: what was sold, where, by whom, to whom and when."""

from psycopg.sql import SQL

from totes_dagster.dashboard.bar_charts import grouped, podium, ranges, ranked
from totes_dagster.dashboard.charts import heatmap, lines, months
from totes_dagster.dashboard.formats import percent, short_money
from totes_dagster.dashboard.question import Base, Column, Kind, Page, Question

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

ORDERS = Base(
    "orders",
    SQL("""
    select s.sales_order_id, s.created_date, date_trunc('month', s.created_date)::date as month, s.created_time,
           s.currency_code, s.amount, s.amount_gbp, s.units_sold, s.agreed_delivery_date,
           s.agreed_delivery_location_id as location_id, s.counterparty_id, s.design_id, s.sales_staff_id as staff_id
    from sale as s
    where {where}
    """),
)

HEADLINE = Question(
    "headline",
    "Sales",
    SQL("""
    select {net_sales} as net_sales, {orders} as orders, {units_sold} as units, {average_price_a_bag} as a_bag,
           {customers} as customers, {net_sales.unconverted} as unconverted
    from orders as sale
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
    select month, currency_code as currency, {orders} as orders, {units_sold} as units,
           {net_sales_in_own_currency} as in_own_currency, {net_sales} as net_sales,
           {net_sales.unconverted} as unconverted
    from orders as sale group by 1, 2 order by 1, 2
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("currency", "Currency"),
        Column("orders", "Orders", Kind.NUMBER, "orders"),
        Column("units", "Bags", Kind.NUMBER, "units_sold"),
        Column("in_own_currency", "In that currency", Kind.DECIMAL, "net_sales_in_own_currency"),
        Column("net_sales", "Net sales", Kind.MONEY, "net_sales"),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
    months("month", "net_sales", "currency", "Net sales"),
    note="Each order is converted at the rate of the day on which it was placed.",
)

CONSTANT_RATES = Question(
    "constant-rates",
    "How much of the change is due to exchange rates?",
    SQL("""
    with closing as (
        select distinct on (quote_code) quote_code, rate
        from (select distinct on (quote_code, rate_date) quote_code, rate_date, rate, is_deleted
              from fact_exchange_rate
              where rate_date between (select day - 7 from as_of) and (select day from as_of)
              order by quote_code, rate_date, batch desc, exchange_rate_record_id desc) as newest
        where not is_deleted order by quote_code, rate_date desc),
    valued as (
        select month, amount_gbp,
               case currency_code when 'GBP' then amount
                   when 'EUR' then round(amount * (select rate from closing where quote_code = 'GBP'), 2)
                   else round(amount * (select rate from closing where quote_code = 'GBP') / closing.rate, 2) end
                   as constant_gbp
        from orders left join closing on quote_code = currency_code)
    select month, count(*) as orders, sum(amount_gbp) filter (where constant_gbp is not null) as booked,
           sum(constant_gbp) filter (where amount_gbp is not null) as constant,
           count(*) filter (where amount_gbp is null or constant_gbp is null) as unconverted
    from valued group by 1 order by 1
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("orders", "Orders", Kind.NUMBER),
        Column("booked", "At the day's rates", Kind.MONEY),
        Column("constant", "At the newest rates", Kind.MONEY),
        Column("unconverted", "Without one of the rates", Kind.NUMBER),
    ),
    lines(
        "month",
        {"booked": "at the rates of the day of the order", "constant": "at the newest rates"},
        "Net sales",
    ),
    note="Where the lines part, exchange rates have moved, and not what was sold. Both are of the same orders: those "
    "that have a rate of their day and one of the newest batch's day. Always in pounds.",
    always_gbp=True,
    without_rate="Orders that lack a rate of their day or of the newest batch's day, and are in neither line",
)

COUNTRIES = Question(
    "countries",
    "Where do the bags go, and where are our customers?",
    SQL("""
    with sums as (
        select location.country as delivered_to, customer.counterparty_legal_country as customer_of,
               {orders} as orders, {units_sold} as units, {net_sales} as money
        from orders as sale
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
        Column("delivered", "Delivered there", Kind.MONEY, "net_sales"),
        Column("customers", "Customers from there", Kind.MONEY, "net_sales"),
        Column("units_delivered", "Bags delivered there", Kind.NUMBER, "units_sold"),
        Column("orders_delivered", "Orders delivered there", Kind.NUMBER, "orders"),
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
        select location.country, design_id, {units_sold} as units, {net_sales} as money,
               {average_price_a_bag} as a_bag
        from orders as sale join dim_location as location using (location_id)
        group by 1, 2),
    placed as (
        select *, rank() over (partition by country order by money desc nulls last, design_id) as place,
               sum(money) over (partition by country) as of_country
        from sold)
    select country, place, design_id, design_name, units, money as net_sales, a_bag
    from placed join dim_design using (design_id)
    where place <= 3
    order by of_country desc nulls last, country, place
    """),
    (
        Column("country", "Delivered to"),
        Column("place", "Place", Kind.NUMBER),
        Column("design_id", "Design", Kind.IDENTIFIER),
        Column("design_name", "Name"),
        Column("units", "Bags", Kind.NUMBER, "units_sold"),
        Column("net_sales", "Net sales", Kind.MONEY, "net_sales"),
        Column("a_bag", "For a bag", Kind.MONEY, "average_price_a_bag"),
    ),
    podium("country", "place", "design_name", "net_sales", "Net sales"),
    note="The best three of each country that bags are delivered to; the chart shows the largest countries. Several "
    "designs may have the same name, so they are told apart by their number.",
)

DEPARTMENTS = Question(
    "departments",
    "What does each department sell, and each person in it?",
    SQL("""
    with sold as (select staff_id, {orders} as orders, {net_sales} as money from orders as sale group by 1)
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
        Column("orders", "Orders", Kind.NUMBER, "orders"),
        Column("net_sales", "Net sales", Kind.MONEY, "net_sales"),
        Column("share", "Share", Kind.PERCENT),
        Column("each", "For each person", Kind.MONEY),
    ),
    ranked(
        "department_name",
        "net_sales",
        "Net sales",
        label=lambda row, unit: f"{percent(row['share'])} · {short_money(row['each'], unit)} each",
    ),
)

CUSTOMERS = Question(
    "customers",
    "How much depends on the largest customers, and since when do they buy?",
    SQL("""
    with bought as (
        select counterparty_id, {orders} as orders, {net_sales} as money, min(created_date) as first_order
        from orders as sale group by 1)
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
        Column("orders", "Orders", Kind.NUMBER, "orders"),
        Column("net_sales", "Net sales", Kind.MONEY, "net_sales"),
        Column("share", "Share", Kind.PERCENT),
        Column("cumulative_share", "With all above", Kind.PERCENT),
        Column("first_order", "First order", Kind.DAY),
    ),
    ranked(
        "counterparty_legal_name",
        "net_sales",
        "Net sales",
        label=lambda row, _: f"{percent(row['share'], 1)} · Σ {percent(row['cumulative_share'])}",
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
           extract(hour from created_time)::int as hour, {orders} as orders, {net_sales} as net_sales
    from orders as sale group by 1, 2, 3 order by 1, 3
    """),
    (
        Column("day_of_week", "Day of week", Kind.IDENTIFIER),
        Column("day", "Day"),
        Column("hour", "Hour, UTC", Kind.IDENTIFIER),
        Column("orders", "Orders", Kind.NUMBER, "orders"),
        Column("net_sales", "Net sales", Kind.MONEY, "net_sales"),
    ),
    heatmap("hour", "day", "orders", "Orders", WEEKDAYS),
)

LEAD_TIMES = Question(
    "lead-times",
    "How many days do we promise to take, from order to delivery?",
    SQL("""
    select country, {orders} as orders,
           round((percentile_cont(0.1) within group (order by agreed_delivery_date - created_date))::numeric, 1)
               as days_10,
           {promised_lead_time} as days_50, {promised_lead_time_p90} as days_90
    from orders as sale join dim_location using (location_id)
    group by 1 order by 4, 1
    """),
    (
        Column("country", "Delivered to"),
        Column("orders", "Orders", Kind.NUMBER, "orders"),
        Column("days_10", "A tenth at most, days", Kind.DAYS),
        Column("days_50", "Half at most, days", Kind.DAYS, "promised_lead_time"),
        Column("days_90", "Nine tenths at most, days", Kind.DAYS, "promised_lead_time_p90"),
    ),
    ranges("country", "days_10", "days_50", "days_90", "Days"),
    note="The line is from the shortest tenth to the longest tenth, the point is the median.",
)

DELIVERIES = Question(
    "deliveries",
    "Do the bags arrive by the day that we promised?",
    SQL("""
    select date_trunc('month', delivery.agreed_delivery_date)::date as month,
           count(*) filter (where {deliveries_kept.rows}) as kept,
           count(*) filter (where {deliveries_missed.rows}) as missed,
           round(100 * {delivered_on_time}, 2) as on_time
    from orders join delivery using (sales_order_id) where {delivered_on_time.rows}
    group by 1 order by 1
    """),
    (
        Column("month", "Month of the agreed day", Kind.MONTH),
        Column("kept", "Kept", Kind.NUMBER, "deliveries_kept"),
        Column("missed", "Missed", Kind.NUMBER, "deliveries_missed"),
        Column("on_time", "Kept, %", Kind.PERCENT, "delivered_on_time"),
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
    select month, {sales_target} as target,
           case when sum(orders) = 0 or sum(unconverted) < sum(orders) then sum(sales_gbp) end as sold,
           round(100 * {target_attainment}, 2) as reached, {target_attainment.unconverted} as unconverted
    from sales_target where {where} group by 1 order by 1
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("target", "Target", Kind.MONEY, "sales_target"),
        Column("sold", "Net sales", Kind.MONEY),
        Column("reached", "Reached, %", Kind.PERCENT, "target_attainment"),
        Column("unconverted", "Orders without a rate", Kind.NUMBER),
    ),
    lines("month", {"sold": "net sales", "target": "target"}, "Net sales"),
    note="Of the departments and months that have a target. A month belongs to the period if its first day does. "
    "Always in pounds. Targets come as files of the feed sales_target.",
    empty="There are no targets.",
    always_gbp=True,
    conditions={
        "since": SQL("month >= {value}"),
        "until": SQL("month <= {value}"),
        "department": SQL("department_name = {value}"),
    },
    without_rate="Orders of these departments and months that have no exchange rate, and are in no amount",
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
