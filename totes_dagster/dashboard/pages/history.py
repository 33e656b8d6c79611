"""The page of all versions of sales orders: corrections, deletions, and what was known when."""

from psycopg.sql import SQL

from totes_dagster.dashboard.charts import lines, stacked
from totes_dagster.dashboard.question import Base, Column, Kind, Page, Question

VERSIONS = Base(
    "versions",
    SQL("""
    select *
    from (
        select *, lag(sales_record_id) over version is not null as is_later,
               coalesce(lag(matches) over version, false) as matched_before,
               lag(units_sold) over version as units_before, lag(unit_price) over version as price_before,
               lag(is_deleted) over version as was_deleted, lag(agreed_delivery_date) over version as delivery_before,
               lag(agreed_delivery_location_id) over version as location_before,
               lag(sales_staff_id) over version as staff_before
        from (
            select f.sales_order_id, f.batch, f.sales_record_id, f.is_deleted, f.created_date, f.sales_staff_id,
                   f.counterparty_id, c.currency_code, f.units_sold, f.unit_price, f.agreed_delivery_date,
                   f.agreed_delivery_location_id, f.units_sold * f.unit_price as amount,
                   case when c.currency_code = 'GBP' then f.units_sold * f.unit_price
                        else round(f.units_sold * f.unit_price * r.gbp_per_eur / r.per_eur, 2) end as amount_gbp,
                   ({where}) is true as matches
            from fact_sales_order as f
            join dim_currency as c on c.currency_id = f.currency_id
            left join rate_on_day as r on r.date_id = f.created_date and r.currency_id = f.currency_id) as valued
        window version as (partition by sales_order_id order by batch, sales_record_id)) as compared
    where matches or matched_before
    """),
)

HEADLINE = Question(
    "headline",
    "History",
    SQL("""
    select count(*) as versions, count(distinct sales_order_id) as orders,
           count(*) filter (where is_later and not is_deleted) as corrections,
           count(*) filter (where is_deleted) as deletions,
           count(*) filter (where was_deleted and not is_deleted) as came_back,
           count(*) filter (where {money} is null) as unconverted
    from versions where matches
    """),
    (
        Column("versions", "Versions", Kind.NUMBER, about="Number of versions of sales orders, deletions included."),
        Column("orders", "Sales orders", Kind.NUMBER, about="Number of sales orders that have any of these versions."),
        Column(
            "corrections",
            "Corrections",
            Kind.NUMBER,
            about="Number of versions that followed another one of their order and are no deletion.",
        ),
        Column("deletions", "Deletions", Kind.NUMBER, about="Number of versions with which an order was deleted."),
        Column("came_back", "Came back", Kind.NUMBER, about="Number of versions with which a deleted order came back."),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
)

CORRECTIONS = Question(
    "corrections",
    "What is corrected after an order was placed, and how often?",
    SQL("""
    select (snapshot_at at time zone 'UTC')::date as day,
           count(*) filter (where units_before <> units_sold) as quantity,
           count(*) filter (where price_before <> unit_price) as price,
           count(*) filter (where delivery_before <> agreed_delivery_date) as delivery_date,
           count(*) filter (where location_before <> agreed_delivery_location_id) as delivery_address,
           count(*) filter (where staff_before <> sales_staff_id) as seller,
           count(*) filter (where is_deleted and not was_deleted) as deleted,
           count(*) filter (where was_deleted and not is_deleted) as came_back
    from versions join load_history using (batch)
    where is_later and matches
    group by 1 order by 1
    """),
    (
        Column("day", "Seen on", Kind.DAY),
        Column("quantity", "Quantity", Kind.NUMBER),
        Column("price", "Price", Kind.NUMBER),
        Column("delivery_date", "Delivery date", Kind.NUMBER),
        Column("delivery_address", "Delivery address", Kind.NUMBER),
        Column("seller", "Member of staff", Kind.NUMBER),
        Column("deleted", "Deleted", Kind.NUMBER),
        Column("came_back", "Came back", Kind.NUMBER),
    ),
    stacked(
        "day",
        {
            "quantity": "quantity",
            "price": "price",
            "delivery_date": "delivery date",
            "delivery_address": "delivery address",
            "seller": "member of staff",
            "deleted": "deleted",
            "came_back": "came back",
        },
        "Corrections",
    ),
    note="By the day of the batch that brought the correction. A version may correct several things at once. What is "
    "filtered are the corrected versions.",
    empty="No sales order was changed after the first batch that had it.",
)

AS_KNOWN = Question(
    "as-known",
    "What did we know then of the sales of this period?",
    SQL("""
    with valued as (
        select *, {money} as money, lag({money}) over (partition by sales_order_id order by batch, sales_record_id)
                   as money_before
        from versions),
    counted as (
        select *, matches and not is_deleted as is_known, matched_before and not was_deleted as was_known from valued),
    changes as (
        select batch, sum(is_known::int - was_known::int) as orders,
               sum(case when is_known then units_sold else 0 end - case when was_known then units_before else 0 end)
                   as units,
               sum(coalesce(money, 0)) filter (where is_known) as added,
               sum(coalesce(money_before, 0)) filter (where was_known) as removed,
               sum((is_known and money is null)::int - (was_known and money_before is null)::int) as unconverted,
               bool_or(is_known or was_known) as has_orders,
               bool_or((is_known and money is not null) or (was_known and money_before is not null)) as has_money
        from counted group by 1),
    known as (
        select batch, snapshot_at, sum(orders) over sofar as orders, sum(units) over sofar as units,
               case when sum(orders) over sofar = 0 or sum(unconverted) over sofar < sum(orders) over sofar
                    then sum(coalesce(added, 0) - coalesce(removed, 0)) over sofar end as net_sales,
               case when has_money or not has_orders then coalesce(added, 0) - coalesce(removed, 0) end as change,
               sum(unconverted) over sofar as unconverted
        from changes left join load_history using (batch)
        window sofar as (order by batch))
    select * from (select * from known order by batch desc limit 300) as newest order by batch
    """),
    (
        Column("batch", "Batch", Kind.IDENTIFIER),
        Column("snapshot_at", "As of", Kind.TIME),
        Column("orders", "Orders", Kind.NUMBER),
        Column("units", "Bags", Kind.NUMBER),
        Column("net_sales", "Net sales as known then", Kind.MONEY),
        Column("change", "Change", Kind.MONEY),
        Column("unconverted", "Orders without a rate", Kind.NUMBER),
    ),
    lines("snapshot_at", {"net_sales": "as known then"}, "Net sales", step=True),
    note="Choose a past month as the period to see how its figures were still corrected. At most the newest 300 "
    "batches that changed them; at the rates that are known now. Orders without a rate are counted, and in no amount.",
)

DELETIONS = Question(
    "deletions",
    "Which orders were deleted, and when?",
    SQL("""
    select v.sales_order_id, v.created_date, snapshot_at, v.batch, counterparty_legal_name, v.units_sold, v.amount,
           v.currency_code
    from versions as v join dim_counterparty using (counterparty_id) left join load_history using (batch)
    where v.matches and v.is_deleted and not coalesce(v.was_deleted, false)
    order by v.batch desc, v.sales_order_id
    limit 500
    """),
    (
        Column("sales_order_id", "Sales order", Kind.IDENTIFIER),
        Column("created_date", "Ordered on", Kind.DAY),
        Column("snapshot_at", "Gone as of", Kind.TIME),
        Column("batch", "Batch", Kind.IDENTIFIER),
        Column("counterparty_legal_name", "Customer"),
        Column("units_sold", "Bags", Kind.NUMBER),
        Column("amount", "Amount", Kind.DECIMAL),
        Column("currency_code", "Currency"),
    ),
    note="The last values that each order had; at most the newest 500 deletions. An order that came back later is "
    "listed too.",
    empty="No sales order was deleted.",
)

PAGE = Page(
    "history",
    "History",
    "All versions of sales orders that the platform has seen: what changed, and what was known when.",
    HEADLINE,
    (CORRECTIONS, AS_KNOWN, DELETIONS),
    base=VERSIONS,
    conditions={
        "since": SQL("f.created_date >= {value}"),
        "until": SQL("f.created_date <= {value}"),
        "currency": SQL("c.currency_code = {value}"),
        "country": SQL(
            "f.agreed_delivery_location_id in (select location_id from dim_location where country = {value})"
        ),
        "department": SQL("f.sales_staff_id in (select staff_id from dim_staff where department_name = {value})"),
    },
    labels={"since": "Ordered from", "until": "to", "country": "Delivered to"},
)
