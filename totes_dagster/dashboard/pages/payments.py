"""The page of payments: what is due, who pays late, and what exchange rates gained or lost."""

from decimal import Decimal

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
    select (select {open_receivables} from payments as settlement where {open_receivables.rows}) as to_receive,
           (select {open_payables} from payments as settlement where {open_payables.rows}) as to_pay,
           sum({money}) filter (where not paid and days_late > 0) as overdue,
           (select {open_payments} from payments as settlement where {open_payments.rows}) as open_payments,
           count(*) as payments, count(*) filter (where not paid and {money} is null) as unconverted
    from payments
    """),
    (
        Column("to_receive", "Customers owe us", Kind.MONEY, "open_receivables"),
        Column("to_pay", "We owe suppliers", Kind.MONEY, "open_payables"),
        Column(
            "overdue",
            "Overdue, both ways",
            Kind.MONEY,
            about="Open payments that were due before the newest batch's day: those of customers, those to suppliers, "
            "and refunds, all added up.",
        ),
        Column("open_payments", "Open payments", Kind.NUMBER, "open_payments"),
        Column("payments", "All payments", Kind.NUMBER, about="Number of payments, made and open."),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
)

AGEING = Question(
    "ageing",
    "How old is what is not paid yet?",
    SQL("""
    with receivable as (
        select ageing, min(days_late) as days, {open_receivables} as amount, count(*) as payments,
               {open_receivables.unconverted} as unconverted
        from payments as settlement where {open_receivables.rows} group by 1),
    payable as (
        select ageing, min(days_late) as days, {open_payables} as amount, count(*) as payments,
               {open_payables.unconverted} as unconverted
        from payments as settlement where {open_payables.rows} group by 1)
    select ageing, receivable.amount as sales, payable.amount as purchases,
           coalesce(receivable.payments, 0) as payments_for_sales,
           coalesce(payable.payments, 0) as payments_for_purchases,
           coalesce(receivable.unconverted, 0) + coalesce(payable.unconverted, 0) as unconverted
    from receivable full join payable using (ageing)
    order by least(receivable.days, payable.days)
    """),
    (
        Column("ageing", "Overdue by"),
        Column("sales", "For sales", Kind.MONEY, "open_receivables"),
        Column("purchases", "For purchases", Kind.MONEY, "open_payables"),
        Column("payments_for_sales", "Payments for sales", Kind.NUMBER),
        Column("payments_for_purchases", "Payments for purchases", Kind.NUMBER),
        Column("unconverted", "Without a rate", Kind.NUMBER),
    ),
    grouped(
        "ageing",
        {"sales": "customers owe us", "purchases": "we owe suppliers"},
        "Not paid",
    ),
    note="Counted from the day on which a payment is due to the day of the newest batch, and converted at its rates. "
    "Refunds that are still to be made are subtracted. Payments whose transaction is unknown are for neither.",
    empty="Everything is paid.",
)


def _days(number: Decimal | float) -> str:
    return f"{float(number):+,.10g} days" if number else "on the day"


LATE = Question(
    "late-payers",
    "Which customers pay late, and how late?",
    SQL("""
    with due as (
        select counterparty_id, count(*) as payments, round(100 * {share_paid_late}, 2) as late_share,
               {days_late} as days_50, {days_late_p90} as days_90
        from payments as settlement where {share_paid_late.rows}
        group by 1)
    select counterparty_id, counterparty_legal_name, payments, late_share, days_50, days_90
    from due join dim_counterparty using (counterparty_id)
    order by late_share desc, payments desc, counterparty_id
    """),
    (
        Column("counterparty_id", "Customer", Kind.IDENTIFIER),
        Column("counterparty_legal_name", "Name"),
        Column("payments", "Payments due", Kind.NUMBER),
        Column("late_share", "Late", Kind.PERCENT, "share_paid_late"),
        Column("days_50", "Median, days late", Kind.DAYS, "days_late"),
        Column("days_90", "Nine tenths at most, days late", Kind.DAYS, "days_late_p90"),
    ),
    ranked(
        "counterparty_legal_name",
        "late_share",
        "Late, %",
        label=lambda row, _: f"{row['late_share']:.0f} % · median {_days(row['days_50'])}",
        money=False,
    ),
    note="Payments that were due by the newest batch, without refunds. One that is not made yet counts with its days "
    "so far.",
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
           {cash_expected} as net, {cash_expected.unconverted} as unconverted
    from payments as settlement
    where {cash_expected.rows} and payment_date between as_of and as_of + 30
    group by 1, 2 order by 1, 2
    """),
    (
        Column("day", "Due on", Kind.DAY),
        Column("direction", "Direction"),
        Column("payments", "Payments", Kind.NUMBER),
        Column("net", "Amount", Kind.MONEY, "cash_expected"),
        Column("unconverted", "Without a rate", Kind.NUMBER),
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
           count(*) filter (where currency_code <> 'GBP') as payments, {exchange_gain} as gain,
           {exchange_gain.unconverted} as unconverted
    from payments as settlement
    where {exchange_gain.rows}
    group by 1, 2 having count(*) filter (where currency_code <> 'GBP') > 0 order by 1, 2
    """),
    (
        Column("month", "Paid in", Kind.MONTH),
        Column("payments_for", "Payments for"),
        Column("payments", "Payments in other currencies", Kind.NUMBER),
        Column("gain", "Gain or loss", Kind.MONEY, "exchange_gain"),
        Column("unconverted", "Without one of the rates", Kind.NUMBER),
    ),
    signed("month", "gain", "Gain or loss", group="payments_for", month=True),
    note="The amount at the rate of the day it was paid, less the same amount at the rate of the day of the order. "
    "Always in pounds.",
    empty="No payment in another currency was made.",
    always_gbp=True,
    without_rate="Payments that lack a rate of the day on which they were made or of that of their order, or whose "
    "order is deleted or missing, and which are in no amount",
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
