-- An event table as the source had it, as of batch 42. Here sales_order.
--
-- For another one, put its name in place of sales_order everywhere: purchase_order, transaction, payment. For another
-- batch, put its number in place of 42, three times.
--
-- How it works is said in current_event_table. The conditions on the batch of rows and keys follow from that on the
-- manifests, and change no result. They are literals, so that Athena prunes the projection when it plans the query:
-- no folder of a later batch is looked into.
with brought as (
    select batch, element_at(tables, 'sales_order') as entry
    from ${ingestion}.batches
    where element_at(tables, 'sales_order').batch = batch and batch <= 42
),
parts as (
    select brought.batch, part.path
    from brought
    cross join unnest(transform(brought.entry.parts, listed -> listed.path)) as part (path)
),
captured as (
    select sales_order.*
    from ${ingestion}.sales_order as sales_order
    join parts
        on sales_order.batch = parts.batch
        and regexp_extract(sales_order."$path", '^s3://[^/]+/(.+)$', 1) = parts.path
    where sales_order.batch <= 42
),
newest as (
    select sales_order_id, max(batch) as batch
    from captured
    group by sales_order_id
),
last_check as (
    select max(batch) as batch, max_by(entry.live_keys, batch) as parts
    from brought
    where entry.content = 'whole' or entry.live_keys is not null
),
live as (
    select live_keys.sales_order_id
    from ${ingestion}.sales_order_live_keys as live_keys
    join last_check on live_keys.batch = last_check.batch
    where contains(
        transform(last_check.parts, part -> part.path),
        regexp_extract(live_keys."$path", '^s3://[^/]+/(.+)$', 1)
    )
    and live_keys.batch <= 42
)
select captured.*
from captured
join newest
    on captured.sales_order_id = newest.sales_order_id
    and captured.batch = newest.batch
cross join last_check
left join live on captured.sales_order_id = live.sales_order_id
where captured.batch >= last_check.batch or live.sales_order_id is not null
