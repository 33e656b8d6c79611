"""What the notebook of the company should answer, in SQL that knows nothing of the views that metrics are made of."""

from decimal import Decimal
from typing import Any

import psycopg

TODAY = "(select max(snapshot_at) at time zone 'UTC' from load_history)::date"
THIS_MONTH = f"date_trunc('month', {TODAY})"
LAST_MONTH = f"({THIS_MONTH} - interval '1 month')"

SOLD = """
    with sold as (
        select o.*, case r.currency_code when 'GBP' then units_sold * unit_price
               else round(units_sold * unit_price * gbp_per_eur / per_eur, 2) end as gbp
        from current_sales_order as o
        join rate_on_day as r on r.date_id = o.created_date and r.currency_id = o.currency_id
    )
"""

PAYMENTS = """
    current_payment as p
    join dim_transaction as t using (transaction_id)
    join dim_payment_type as y using (payment_type_id)
"""


class PlainSql:
    """Answers by question."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._orders, self._bags, self._worth = self._one(
            f"{SOLD} select count(*), sum(units_sold), sum(gbp) from sold"
        )
        self.answers = {
            "How current and how complete are these numbers?": self._currency(),
            "What was sold?": self._sales(),
            "Who buys?": self._customers(),
            "Which countries do bags go to, and which do customers come from?": self._countries(),
            "Which designs sell?": self._designs(),
            "Do departments meet their targets?": self._targets(),
            "Are bags delivered by the agreed date?": self._deliveries(),
            "What is bought, and from whom?": self._purchases(),
            "What is owed?": f"Customers owe {self._owed('SALE')}. Suppliers are owed {self._owed('PURCHASE')}.",
            "How late are payments?": self._late("SALE", "customers' payments")
            + " "
            + self._late("PURCHASE", "payments to suppliers"),
            "What did changes of exchange rates gain or lose?": self._gains(),
        }

    def _one(self, query: str) -> tuple[Any, ...]:
        (row,) = self._connection.execute(query.encode()).fetchall()
        assert isinstance(row, tuple)
        return row

    def _currency(self) -> str:
        (moment,) = self._one("select max(snapshot_at) at time zone 'UTC' from load_history")
        return (
            f"They show the source as it was on {moment:%Y-%m-%d at %H:%M:%S} UTC, in batch 4. "
            "Every order and payment has an amount in pounds."
        )

    def _sales(self) -> str:
        month, newest, before = self._one(f"""
            {SOLD} select {LAST_MONTH},
                sum(gbp) filter (where date_trunc('month', created_date) = {LAST_MONTH}),
                sum(gbp) filter (where date_trunc('month', created_date) = {LAST_MONTH} - interval '1 month')
            from sold
        """)
        change = newest / before - 1
        return (
            f"{self._orders} orders for {self._bags:,} bags, worth £{self._worth:,.0f}. In {month:%B %Y}, the last "
            f"complete month, sales were £{newest:,.0f}, {abs(change):.1%} {'more' if change >= 0 else 'less'} than in "
            "the month before."
        )

    def _largest(self, name: str, join: str, key: str) -> tuple[Any, ...]:
        return self._one(f"""
            {SOLD}, ranks as (
                select {name} as name, sum(gbp) as gbp, row_number() over (order by sum(gbp) desc) as rank
                from sold join {join} group by {key}
            )
            select count(*), min(name) filter (where rank = 1), max(gbp), sum(gbp) filter (where rank <= 10) from ranks
        """)

    def _customers(self) -> str:
        customers, name, largest, ten = self._largest(
            "min(counterparty_legal_name)", "dim_counterparty using (counterparty_id)", "counterparty_id"
        )
        return (
            f"The largest of {customers} customers is {name}, with £{largest:,.0f}, {largest / self._worth:.1%} of net "
            f"sales. The 10 largest have {ten / self._worth:.1%}."
        )

    def _countries(self) -> str:
        destinations, destination, to, _ = self._largest(
            "country", "dim_location on location_id = agreed_delivery_location_id", "country"
        )
        homes, home, of, _ = self._largest(
            "counterparty_legal_country", "dim_counterparty using (counterparty_id)", "counterparty_legal_country"
        )
        return (
            f"By address of delivery, {destination} comes first of {destinations}, with {to / self._worth:.1%} of net "
            f"sales. By legal address of the customer, {home} comes first of {homes}, with {of / self._worth:.1%}."
        )

    def _designs(self) -> str:
        designs, design, bags = self._one("""
            select count(*), (array_agg(name order by units desc))[1], max(units)
            from (
                select case when count(*) over (partition by design_name) > 1
                            then format('%s (%s)', design_name, design_id) else design_name end as name,
                       sum(units_sold) as units
                from current_sales_order join dim_design using (design_id) group by design_id, design_name
            ) as sold
        """)
        share = Decimal(bags) / self._bags
        return f"The design that sells most, of {designs}, is {design}, with {bags:,} bags, {share:.1%} of all."

    def _targets(self) -> str:
        whole, best, highest, worst, lowest = self._one(f"""
            {SOLD}, by_month as (
                select date_trunc('month', created_date)::date as month, department_name, sum(gbp) as gbp
                from sold join dim_staff on staff_id = sales_staff_id group by 1, 2
            ), departments as (
                select department_name, sum(amount_gbp) as target, sum(coalesce(gbp, 0)) as gbp
                from current_sales_target left join by_month using (month, department_name)
                where month < {THIS_MONTH} group by 1
            )
            select round(sum(gbp) / sum(target), 4),
                (array_agg(department_name order by gbp / target desc))[1], round(max(gbp / target), 4),
                (array_agg(department_name order by gbp / target))[1], round(min(gbp / target), 4)
            from departments
        """)
        return (
            f"In the months that are complete, net sales were {whole:.1%} of the targets. {best} did best, with "
            f"{highest:.1%}, and {worst} least well, with {lowest:.1%}."
        )

    def _deliveries(self) -> str:
        kept, known = self._one("""
            with orders as (
                select agreed_delivery_date as agreed, units_sold <= coalesce(sum(units), 0) as is_complete,
                    units_sold <= coalesce(sum(units) filter (where delivered_date <= agreed_delivery_date), 0)
                        as is_kept
                from current_sales_order as o left join current_shipment as s on s.sales_order_id = o.sales_order_id
                group by o.sales_order_id, agreed_delivery_date, units_sold
            ), reports as (select min(delivered_date) as first, max(delivered_date) as last from current_shipment)
            select count(*) filter (where is_kept), count(*) filter (where is_complete or agreed < last)
            from orders, reports where agreed >= first
        """)
        share = round(Decimal(kept) / known, 4)
        return f"{share:.1%} of {known} orders were: {kept} on time, {known - kept} late."

    def _purchases(self) -> str:
        orders, items, suppliers, worth, name, largest = self._one("""
            with bought as (
                select counterparty_id, item_quantity,
                       case r.currency_code when 'GBP' then item_quantity * item_unit_price
                       else round(item_quantity * item_unit_price * gbp_per_eur / per_eur, 2) end as gbp
                from current_purchase_order as o
                join rate_on_day as r on r.date_id = o.created_date and r.currency_id = o.currency_id
            ), suppliers as (
                select min(counterparty_legal_name) as name, count(*) as orders,
                       sum(item_quantity) as items, sum(gbp) as gbp
                from bought join dim_counterparty using (counterparty_id) group by counterparty_id
            )
            select sum(orders), sum(items), count(*), sum(gbp), (array_agg(name order by gbp desc))[1], max(gbp)
            from suppliers
        """)
        return (
            f"{orders} orders for {items:,} items, worth £{worth:,.0f}. The largest of {suppliers} suppliers is "
            f"{name}, with {largest / worth:.1%}."
        )

    def _owed(self, transaction_type: str) -> str:
        amount, overdue = self._one(f"""
            select sum(gbp), sum(gbp) filter (where payment_date < {TODAY})
            from (
                select payment_date, case when payment_type_name like '%REFUND' then -1 else 1 end
                    * case r.currency_code when 'GBP' then payment_amount
                      else round(payment_amount * gbp_per_eur / per_eur, 2) end as gbp
                from {PAYMENTS} join rate_on_day as r on r.date_id = {TODAY} and r.currency_id = p.currency_id
                where not paid and transaction_type = '{transaction_type}'
            ) as due
        """)
        return f"£{amount:,.0f}, of which £{overdue:,.0f} is overdue"

    def _late(self, transaction_type: str, payments: str) -> str:
        # No payment was changed after it was made.
        share, median = self._one(f"""
            select round(avg((days > 0)::integer), 4),
                round(percentile_cont(0.5) within group (order by days)::numeric, 1)
            from (
                select case when paid then last_updated_date else {TODAY} end - payment_date as days
                from {PAYMENTS}
                where payment_type_name not like '%REFUND' and payment_date <= {TODAY}
                and transaction_type = '{transaction_type}'
            ) as due
        """)
        return f"{share:.1%} of {payments} that are due were made late, or are overdue; the median is {median} days."

    def _gains(self) -> str:
        total, on_sales, on_purchases = self._one(f"""
            select sum(gain), sum(gain) filter (where transaction_type = 'SALE'),
                sum(gain) filter (where transaction_type = 'PURCHASE')
            from (
                select transaction_type, case when p.currency_id = pound.currency_id then 0 else
                    case transaction_type when 'SALE' then 1 else -1 end
                    * case when payment_type_name like '%REFUND' then -1 else 1 end
                    * (round(payment_amount * made.gbp_per_eur / made.per_eur, 2)
                       - round(payment_amount * booked.gbp_per_eur / booked.per_eur, 2)) end as gain
                from {PAYMENTS}
                join dim_currency as pound on pound.currency_code = 'GBP'
                left join current_sales_order as s on s.sales_order_id = t.sales_order_id
                left join current_purchase_order as b on b.purchase_order_id = t.purchase_order_id
                join rate_on_day as made on made.date_id = p.last_updated_date and made.currency_id = p.currency_id
                join rate_on_day as booked on booked.date_id = coalesce(s.created_date, b.created_date)
                    and booked.currency_id = p.currency_id
                where paid
            ) as gains
        """)
        return (
            f"Between order and payment, the company {_gained(total)}: it {_gained(on_sales)} on sales and "
            f"{_gained(on_purchases)} on purchases."
        )


def _gained(amount: Decimal) -> str:
    return f"{'gained' if amount >= 0 else 'lost'} £{abs(amount):,.0f}"
