"""The page of purchase orders: what was bought, from whom, by whom, and at what price."""

from psycopg.sql import SQL

from totes_dagster.dashboard.bar_charts import ranges, ranked
from totes_dagster.dashboard.charts import months
from totes_dagster.dashboard.formats import percent, short_money
from totes_dagster.dashboard.question import Base, Column, Kind, Page, Question

PURCHASES = Base(
    "orders",
    SQL("""
    select p.created_date, date_trunc('month', p.created_date)::date as month, p.currency_code, p.amount, p.amount_gbp,
           p.item_code, p.item_quantity, p.counterparty_id, p.staff_id
    from purchase as p
    where {where}
    """),
)

HEADLINE = Question(
    "headline",
    "Purchases",
    SQL("""
    select {spend} as spend, {purchase_orders} as orders, {items_bought} as items,
           count(distinct counterparty_id) as suppliers, {spend.unconverted} as unconverted
    from orders as purchase
    """),
    (
        Column("spend", "Spend", Kind.MONEY, "spend"),
        Column("orders", "Orders", Kind.NUMBER, "purchase_orders"),
        Column("items", "Items", Kind.NUMBER, "items_bought"),
        Column(
            "suppliers", "Suppliers", Kind.NUMBER, about="Number of suppliers with whom a purchase order was placed."
        ),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
)

SPEND = Question(
    "spend",
    "What do we spend each month, and with whom?",
    SQL("""
    with ranked as (
        select counterparty_id, rank() over (order by {spend} desc nulls last, counterparty_id) as place
        from orders as purchase group by 1)
    select month, case when place <= 4 then counterparty_legal_name else 'All others' end as supplier,
           {purchase_orders} as orders, {spend} as spend, {spend.unconverted} as unconverted
    from orders as purchase join ranked using (counterparty_id) join dim_counterparty using (counterparty_id)
    group by 1, 2 order by 1, {spend} desc nulls last, 2
    """),
    (
        Column("month", "Month", Kind.MONTH),
        Column("supplier", "Supplier"),
        Column("orders", "Orders", Kind.NUMBER, "purchase_orders"),
        Column("spend", "Spend", Kind.MONEY, "spend"),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
    months("month", "spend", "supplier", "Spend"),
    note="The four largest suppliers of the period have their names. Orders are converted at the rate of their day.",
)

SUPPLIERS = Question(
    "suppliers",
    "Whom do we buy most from?",
    SQL("""
    with bought as (
        select counterparty_id, {purchase_orders} as orders, {spend} as money from orders as purchase group by 1)
    select counterparty_id, counterparty_legal_name, counterparty_legal_country as country, orders,
           money as spend, round(100 * money / nullif(sum(money) over (), 0), 1) as share
    from bought join dim_counterparty using (counterparty_id)
    order by money desc nulls last, counterparty_id
    """),
    (
        Column("counterparty_id", "Supplier", Kind.IDENTIFIER),
        Column("counterparty_legal_name", "Name"),
        Column("country", "Country"),
        Column("orders", "Orders", Kind.NUMBER, "purchase_orders"),
        Column("spend", "Spend", Kind.MONEY, "spend"),
        Column("share", "Share", Kind.PERCENT),
    ),
    ranked(
        "counterparty_legal_name",
        "spend",
        "Spend",
        label=lambda row, unit: f"{short_money(row['spend'], unit)} · {percent(row['share'], 1)}",
    ),
)

PRICES = Question(
    "prices",
    "Which items do we buy at very different prices?",
    SQL("""
    select item_code, count(*) as orders, round(min({money} / item_quantity), 2) as lowest,
           round((percentile_cont(0.5) within group (order by {money} / item_quantity))::numeric, 2) as median,
           round(max({money} / item_quantity), 2) as highest,
           round(max({money} / item_quantity) / nullif(min({money} / item_quantity), 0), 2) as times
    from orders
    where item_quantity > 0 and {money} is not null
    group by 1 having count(*) >= 3
    order by times desc nulls last, 1
    limit 200
    """),
    (
        Column("item_code", "Item"),
        Column("orders", "Orders", Kind.NUMBER),
        Column("lowest", "Lowest price", Kind.MONEY),
        Column("median", "Median", Kind.MONEY),
        Column("highest", "Highest price", Kind.MONEY),
        Column("times", "Highest to lowest", Kind.DECIMAL),
    ),
    ranges("item_code", "lowest", "median", "highest", "Price of one item", money=True),
    note="Items that were ordered at least three times, those with the widest range first; the table has at most 200.",
    empty="No item was ordered three times.",
)

BUYERS = Question(
    "buyers",
    "Who places the orders?",
    SQL("""
    with bought as (
        select staff_id, {purchase_orders} as orders, {spend} as money from orders as purchase group by 1)
    select staff_id, department_name, location, orders, money as spend,
           'No. ' || staff_id || ', ' || department_name as buyer
    from bought join dim_staff using (staff_id)
    order by money desc nulls last, staff_id
    """),
    (
        Column("staff_id", "Member of staff", Kind.IDENTIFIER),
        Column("department_name", "Department"),
        Column("location", "Works in"),
        Column("orders", "Orders", Kind.NUMBER, "purchase_orders"),
        Column("spend", "Spend", Kind.MONEY, "spend"),
        Column("buyer", "In the chart"),
    ),
    ranked(
        "buyer",
        "spend",
        "Spend",
        label=lambda row, unit: f"{short_money(row['spend'], unit)} · {row['orders']:,} orders",
    ),
    note="Members of staff are shown by their number: names are personal, and exports are passed on.",
)

PAGE = Page(
    "purchases",
    "Purchases",
    "Purchase orders as they are now: changed ones in their newest version, deleted ones left out.",
    HEADLINE,
    (SPEND, SUPPLIERS, PRICES, BUYERS),
    base=PURCHASES,
    conditions={
        "since": SQL("p.created_date >= {value}"),
        "until": SQL("p.created_date <= {value}"),
        "currency": SQL("p.currency_code = {value}"),
        "country": SQL(
            "p.counterparty_id in "
            "(select counterparty_id from dim_counterparty where counterparty_legal_country = {value})"
        ),
        "department": SQL("p.staff_id in (select staff_id from dim_staff where department_name = {value})"),
    },
    labels={"since": "Ordered from", "until": "to", "country": "Supplier in"},
)
