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
last_check_of_all as (
    select max(batch) as batch
    from brought
    where entry.content = 'whole' or (entry.live_keys is not null and entry.live_ranges is null)
),
key_parts as (
    select brought.batch, part.path
    from brought
    join last_check_of_all on brought.batch >= last_check_of_all.batch
    cross join unnest(transform(brought.entry.live_keys, listed -> listed.path)) as part (path)
),
live as (
    select live_keys.batch, live_keys.sales_order_id
    from ${ingestion}.sales_order_live_keys as live_keys
    join key_parts
        on live_keys.batch = key_parts.batch
        and regexp_extract(live_keys."$path", '^s3://[^/]+/(.+)$', 1) = key_parts.path
    where live_keys.batch <= 42
),
checks_of_ranges as (
    select brought.batch, checked.number
    from brought
    join last_check_of_all on brought.batch > last_check_of_all.batch
    cross join unnest(brought.entry.live_ranges) as checked (number)
),
gone as (
    select newest.sales_order_id
    from newest
    join last_check_of_all on newest.batch < last_check_of_all.batch
    left join live
        on newest.sales_order_id = live.sales_order_id
        and last_check_of_all.batch = live.batch
    where live.sales_order_id is null
    union
    select newest.sales_order_id
    from newest
    join checks_of_ranges
        on floor(newest.sales_order_id / 16384e0) = checks_of_ranges.number
        and newest.batch < checks_of_ranges.batch
    left join live
        on newest.sales_order_id = live.sales_order_id
        and checks_of_ranges.batch = live.batch
    where live.sales_order_id is null
)
select captured.*
from captured
join newest
    on captured.sales_order_id = newest.sales_order_id
    and captured.batch = newest.batch
left join gone on captured.sales_order_id = gone.sales_order_id
where gone.sales_order_id is null
