"""The page of payments: what is due, who pays late, and what exchange rates gained or lost."""

from psycopg.sql import SQL

from totes_dagster.dashboard.bar_charts import grouped, ranked
from totes_dagster.dashboard.charts import signed
from totes_dagster.dashboard.question import Base, Column, Kind, Page, Question

SETTLEMENTS = Base(
    "payments",
    SQL("""
    select y.payment_id, y.transaction_type, y.sales_order_id, y.purchase_order_id, y.payment_type_name,
           y.counterparty_id, y.currency_id, y.currency_code, y.payment_amount, y.closing_gbp, y.cash_gbp, y.paid,
           y.payment_date, y.paid_on, y.as_of, y.days_late, y.ageing, y.sign, y.exchange_gain_gbp
    from settlement as y
    where {where}
    """),
)

HEADLINE = Question(
    "headline",
    "Payments",
    SQL("""
    select sum(sign * {money}) filter (where not paid and transaction_type = 'SALE') as to_receive,
           sum(-sign * {money}) filter (where not paid and transaction_type = 'PURCHASE') as to_pay,
           sum({money}) filter (where not paid and days_late > 0) as overdue,
           count(*) filter (where not paid) as open_payments, count(*) as payments,
           count(*) filter (where not paid and {money} is null) as unconverted
    from payments
    """),
    (
        Column("to_receive", "Customers owe us", Kind.MONEY, "open_receivables"),
        Column("to_pay", "We owe suppliers", Kind.MONEY, "open_payables"),
        Column("overdue", "Overdue, both ways", Kind.MONEY),
        Column("open_payments", "Open payments", Kind.NUMBER, "open_payments"),
        Column("payments", "All payments", Kind.NUMBER),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
)

AGEING = Question(
    "ageing",
    "How old is what is not paid yet?",
    SQL("""
    select ageing, sum(sign * {money}) filter (where transaction_type = 'SALE') as sales,
           sum(-sign * {money}) filter (where transaction_type = 'PURCHASE') as purchases,
           count(*) filter (where transaction_type = 'SALE') as payments_for_sales,
           count(*) filter (where transaction_type = 'PURCHASE') as payments_for_purchases
    from payments where not paid
    group by 1 order by min(days_late)
    """),
    (
        Column("ageing", "Overdue by"),
        Column("sales", "For sales", Kind.MONEY),
        Column("purchases", "For purchases", Kind.MONEY),
        Column("payments_for_sales", "Payments for sales", Kind.NUMBER),
        Column("payments_for_purchases", "Payments for purchases", Kind.NUMBER),
    ),
    grouped(
        "ageing",
        {"sales": "customers owe us", "purchases": "we owe suppliers"},
        "Not paid",
    ),
    note="Counted from the day on which a payment is due to the day of the newest batch, and converted at its rates. "
    "Refunds that are still to be made are subtracted.",
    empty="Everything is paid.",
)


def _days(number: int) -> str:
    return f"{number:+,} days" if number else "on the day"


LATE = Question(
    "late-payers",
    "Which customers pay late, and how late?",
    SQL("""
    with due as (
        select counterparty_id, count(*) as payments, percentile_disc(0.5) within group (order by days_late) as days_50,
               percentile_disc(0.9) within group (order by days_late) as days_90,
               round(100 * avg((days_late > 0)::int), 1) as late_share
        from payments where transaction_type = 'SALE' and payment_date <= as_of
        group by 1)
    select counterparty_id, counterparty_legal_name, payments, late_share, days_50, days_90
    from due join dim_counterparty using (counterparty_id)
    order by late_share desc, payments desc, counterparty_id
    """),
    (
        Column("counterparty_id", "Customer", Kind.IDENTIFIER),
        Column("counterparty_legal_name", "Name"),
        Column("payments", "Payments due", Kind.NUMBER),
        Column("late_share", "Late", Kind.PERCENT),
        Column("days_50", "Median, days late", Kind.NUMBER),
        Column("days_90", "Nine tenths at most, days late", Kind.NUMBER),
    ),
    ranked(
        "counterparty_legal_name",
        "late_share",
        "Late, %",
        label=lambda row, _: f"{row['late_share']:.0f} % · median {_days(row['days_50'])}",
        money=False,
    ),
    note="Payments that were due by the newest batch. One that is not made yet counts with its days so far.",
    empty="No payment for a sale is due yet.",
)

NEXT_AND_LAST = Question(
    "next-and-last",
    "Which payments come next, and which came last?",
    SQL("""
    (select 'comes next' as payment, payment_id, transaction_type, payment_type_name, payment_date as day,
            payment_amount, currency_code
     from payments where not paid and payment_date >= as_of order by payment_date, payment_id limit 5)
    union all
    (select 'came last', payment_id, transaction_type, payment_type_name, paid_on, payment_amount, currency_code
     from payments where paid and paid_on is not null order by paid_on desc, payment_id desc limit 5)
    """),
    (
        Column("payment", "Payment"),
        Column("payment_id", "Number", Kind.IDENTIFIER),
        Column("transaction_type", "For a"),
        Column("payment_type_name", "Kind"),
        Column("day", "Due or paid on", Kind.DAY),
        Column("payment_amount", "Amount", Kind.DECIMAL),
        Column("currency_code", "Currency"),
    ),
)

TO_COME = Question(
    "to-come",
    "How much money comes in and goes out in the next 30 days?",
    SQL("""
    select payment_date as day, case when sign > 0 then 'in' else 'out' end as direction, count(*) as payments,
           sum(sign * {money}) as net
    from payments
    where not paid and payment_date between as_of and as_of + 30 and sign is not null
    group by 1, 2 order by 1, 2
    """),
    (
        Column("day", "Due on", Kind.DAY),
        Column("direction", "Direction"),
        Column("payments", "Payments", Kind.NUMBER),
        Column("net", "Amount", Kind.MONEY),
    ),
    signed("day", "net", "In and out", group="direction"),
    note="Payments that are due from the day of the newest batch on. Those that are overdue are not among them.",
    empty="No payment is due in the next 30 days.",
)

DISAGREEMENTS = Question(
    "disagreements",
    "Which payments do not agree with their order?",
    SQL("""
    with compared as (
        select p.payment_id, 'a sale' as kind, s.sales_order_id is null as is_alone,
               p.payment_amount <> s.amount as differs, p.currency_id <> s.currency_id as other_currency
        from payments as p left join sale as s on s.sales_order_id = p.sales_order_id
        where p.transaction_type = 'SALE'
        union all
        select p.payment_id, 'a purchase', b.purchase_order_id is null,
               p.payment_amount <> b.amount, p.currency_id <> b.currency_id
        from payments as p left join purchase as b on b.purchase_order_id = p.purchase_order_id
        where p.transaction_type = 'PURCHASE'),
    counted as (
        select kind, array_agg(payment_id) filter (where is_alone) as alone,
               array_agg(payment_id) filter (where differs) as different,
               array_agg(payment_id) filter (where other_currency) as of_other_currency
        from compared group by 1)
    select kind, reason, coalesce(cardinality(found), 0) as payments,
           coalesce((select string_agg(payment_id::text, ', ' order by payment_id)
                     from (select payment_id from unnest(found) as payment_id order by 1 limit 5) as first), '')
               as examples
    from counted cross join lateral (values
        ('its order is deleted or missing', alone), ('the amount differs', different),
        ('the currency differs', of_other_currency)) as checked (reason, found)
    order by 1 desc, 2
    """),
    (
        Column("kind", "Payment for"),
        Column("reason", "Reason"),
        Column("payments", "Payments", Kind.NUMBER),
        Column("examples", "The first of them, by number"),
    ),
    note="Compared with the order in its newest version.",
)

EXCHANGE = Question(
    "exchange",
    "What did exchange rates gain or lose us until we were paid?",
    SQL("""
    select date_trunc('month', paid_on)::date as month,
           case transaction_type when 'SALE' then 'sales' else 'purchases' end as payments_for,
           count(*) as payments, sum(exchange_gain_gbp) as gain
    from payments
    where paid and currency_code <> 'GBP' and exchange_gain_gbp is not null and paid_on is not null
    group by 1, 2 order by 1, 2
    """),
    (
        Column("month", "Paid in", Kind.MONTH),
        Column("payments_for", "Payments for"),
        Column("payments", "Payments", Kind.NUMBER),
        Column("gain", "Gain or loss", Kind.MONEY),
    ),
    signed("month", "gain", "Gain or loss", group="payments_for", month=True),
    note="The amount at the rate of the day it was paid, less the same amount at the rate of the day of the order. "
    "Always in pounds.",
    empty="No payment in another currency was made, or there are no rates for it.",
    always_gbp=True,
)

PAGE = Page(
    "payments",
    "Payments",
    "Payments as they are now. Open amounts are converted at the rates of the newest batch's day.",
    HEADLINE,
    (AGEING, LATE, NEXT_AND_LAST, TO_COME, DISAGREEMENTS, EXCHANGE),
    base=SETTLEMENTS,
    conditions={
        "since": SQL("y.payment_date >= {value}"),
        "until": SQL("y.payment_date <= {value}"),
        "currency": SQL("y.currency_code = {value}"),
        "country": SQL(
            "y.counterparty_id in "
            "(select counterparty_id from dim_counterparty where counterparty_legal_country = {value})"
        ),
    },
    labels={"since": "Due from", "until": "to", "country": "Customer or supplier in"},
    own_money=SQL("payment_amount"),
    gbp_money=SQL("closing_gbp"),
)
