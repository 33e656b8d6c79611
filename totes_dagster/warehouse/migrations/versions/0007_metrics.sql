-- Every column is listed, so that the views are the same in a warehouse whose tables have their columns in another
-- order. An amount in pounds needs no rate, so it is the same whether or not there are any. Joins to dimensions are left
-- joins although every reference has its row: PostgreSQL knows no statistics of the newest versions, would take it that
-- an inner join leaves a hundredth of them, and choose nested loops.

create view as_of as
select max(snapshot_at) as moment, (max(snapshot_at) at time zone 'UTC')::date as day, max(batch) as batch
from (select batch, snapshot_at from load_history order by batch desc limit 1) as newest;

create view sale as
select o.sales_order_id, o.created_date, o.created_time, o.last_updated_date, o.last_updated_time, o.sales_staff_id,
       o.counterparty_id, o.units_sold, o.unit_price, o.currency_id, o.design_id, o.agreed_payment_date,
       o.agreed_delivery_date, o.agreed_delivery_location_id, o.batch, c.currency_code,
       o.units_sold * o.unit_price as amount,
       case when c.currency_code = 'GBP' then o.units_sold * o.unit_price
            else round(o.units_sold * o.unit_price * r.gbp_per_eur / r.per_eur, 2) end as amount_gbp,
       case when c.currency_code <> 'GBP' then r.rate_date end as rate_date
from current_sales_order as o
left join dim_currency as c on c.currency_id = o.currency_id
left join rate_on_day as r on r.date_id = o.created_date and r.currency_id = o.currency_id;

create view purchase as
select o.purchase_order_id, o.created_date, o.created_time, o.last_updated_date, o.last_updated_time, o.staff_id,
       o.counterparty_id, o.item_code, o.item_quantity, o.item_unit_price, o.currency_id, o.agreed_delivery_date,
       o.agreed_payment_date, o.agreed_delivery_location_id, o.batch, c.currency_code,
       o.item_quantity * o.item_unit_price as amount,
       case when c.currency_code = 'GBP' then o.item_quantity * o.item_unit_price
            else round(o.item_quantity * o.item_unit_price * r.gbp_per_eur / r.per_eur, 2) end as amount_gbp,
       case when c.currency_code <> 'GBP' then r.rate_date end as rate_date
from current_purchase_order as o
left join dim_currency as c on c.currency_id = o.currency_id
left join rate_on_day as r on r.date_id = o.created_date and r.currency_id = o.currency_id;

create view settlement as
with since as (
    -- The first of the newest versions that are all paid, where that is not the newest one, which few payments have.
    select distinct on (payment_id) payment_id, last_updated_date as paid_on
    from (select payment_id, batch, payment_record_id, last_updated_date, bool_and(paid) over versions as is_paid,
                 row_number() over versions as number
          from fact_payment
          window versions as (partition by payment_id order by batch desc, payment_record_id desc)) as numbered
    where is_paid and number > 1 order by payment_id, batch, payment_record_id),
dated as (
    select p.payment_id, p.created_date, p.created_time, p.last_updated_date, p.last_updated_time, p.transaction_id,
           p.counterparty_id, p.payment_amount, p.currency_id, p.payment_type_id, p.paid, p.payment_date, p.batch,
           t.transaction_type, t.sales_order_id, t.purchase_order_id, y.payment_type_name, c.currency_code,
           case t.transaction_type when 'SALE' then 1 when 'PURCHASE' then -1 end
               * case when right(y.payment_type_name, 6) = 'REFUND' then -1 else 1 end as sign,
           case when p.paid then coalesce(since.paid_on, p.last_updated_date) end as paid_on, a.day as as_of,
           case when p.paid then coalesce(since.paid_on, p.last_updated_date) else a.day end - p.payment_date
               as days_late,
           coalesce(s.created_date, b.created_date) as ordered_on
    from current_payment as p
    left join dim_transaction as t on t.transaction_id = p.transaction_id
    left join dim_payment_type as y on y.payment_type_id = p.payment_type_id
    left join dim_currency as c on c.currency_id = p.currency_id
    cross join as_of as a
    left join since on since.payment_id = p.payment_id
    left join current_sales_order as s on s.sales_order_id = t.sales_order_id
    left join current_purchase_order as b on b.purchase_order_id = t.purchase_order_id),
closing as (
    -- Not from rate_on_day: the calendar may end before the day that the warehouse shows.
    select distinct on (quote_code) quote_code, rate from current_exchange_rate
    where rate_date between (select day - 7 from as_of) and (select day from as_of)
    order by quote_code, rate_date desc),
converted as (
    select d.*,
           case when d.paid then case when d.currency_code = 'GBP' then d.payment_amount
               else round(d.payment_amount * made.gbp_per_eur / made.per_eur, 2) end end as cash_gbp,
           case when not d.paid then case d.currency_code when 'GBP' then d.payment_amount
               when 'EUR' then round(d.payment_amount * pound.rate, 2)
               else round(d.payment_amount * pound.rate / own.rate, 2) end end as closing_gbp,
           case when d.currency_code = 'GBP' then d.payment_amount
               else round(d.payment_amount * booked.gbp_per_eur / booked.per_eur, 2) end as booked_gbp
    from dated as d
    left join rate_on_day as made on made.date_id = d.paid_on and made.currency_id = d.currency_id
    left join closing as own on own.quote_code = d.currency_code
    left join closing as pound on pound.quote_code = 'GBP'
    left join rate_on_day as booked on booked.date_id = d.ordered_on and booked.currency_id = d.currency_id)
select payment_id, created_date, created_time, last_updated_date, last_updated_time, transaction_id, counterparty_id,
       payment_amount, currency_id, payment_type_id, paid, payment_date, batch, transaction_type, sales_order_id,
       purchase_order_id, payment_type_name, currency_code, sign, paid_on, as_of, days_late,
       case when not paid then case when days_late <= 0 then 'not due' when days_late <= 7 then '1 to 7 days'
           when days_late <= 30 then '8 to 30 days' when days_late > 30 then 'over 30 days' end end as ageing,
       cash_gbp, closing_gbp, ordered_on, booked_gbp, sign * (cash_gbp - booked_gbp) as exchange_gain_gbp
from converted;

create view delivery as
with shipment as (
    select sales_order_id, delivered_date, units,
           sum(units) over (partition by sales_order_id order by delivered_at) as units_so_far
    from current_shipment),
known as (select min(delivered_date) as first_day, max(delivered_date) as last_day from shipment),
shipped as (
    select o.sales_order_id, o.created_date, o.sales_staff_id, o.counterparty_id, o.design_id,
           o.agreed_delivery_location_id, o.units_sold, o.agreed_delivery_date, o.batch,
           count(h.sales_order_id) as shipments, coalesce(sum(h.units), 0) as units_delivered,
           min(h.delivered_date) as first_delivered_date,
           min(h.delivered_date) filter (where h.units_so_far >= o.units_sold) as complete_date
    from current_sales_order as o left join shipment as h on h.sales_order_id = o.sales_order_id
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9)
select s.*, s.complete_date - s.agreed_delivery_date as days_late,
       case when s.agreed_delivery_date < first_day then 'not known'
            when s.complete_date <= s.agreed_delivery_date then 'kept'
            when s.complete_date > s.agreed_delivery_date or s.agreed_delivery_date < last_day then 'missed'
            when last_day is null then 'not known'
            else 'open' end as promise
from shipped as s cross join known;

create view sales_target as
with sold as (
    select date_trunc('month', s.created_date)::date as month, e.department_name, sum(s.amount_gbp) as sales_gbp,
           count(*) as orders, count(*) filter (where s.amount_gbp is null) as unconverted
    from sale as s left join dim_staff as e on e.staff_id = s.sales_staff_id
    group by 1, 2)
select t.month, t.department_name, t.amount_gbp as target_gbp, t.decided_on, coalesce(s.sales_gbp, 0) as sales_gbp,
       coalesce(s.orders, 0) as orders, coalesce(s.unconverted, 0) as unconverted
from current_sales_target as t
left join sold as s on s.month = t.month and s.department_name = t.department_name;

create view unconverted as
select 'sales order' as kind, sales_order_id as id, created_date as day, currency_id, currency_code, amount
from sale where amount_gbp is null
union all
select 'purchase order', purchase_order_id, created_date, currency_id, currency_code, amount
from purchase where amount_gbp is null
union all
select case when paid then 'payment made' else 'open payment' end, payment_id,
       case when paid then paid_on else as_of end, currency_id, currency_code, payment_amount
from settlement where cash_gbp is null and closing_gbp is null;
