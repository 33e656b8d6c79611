-- An event table as the source has it, as of the newest batch. Here sales_order.
--
-- For another one, put its name in place of sales_order everywhere: purchase_order, transaction, payment.
--
-- A batch holds the rows that may have changed, so each row's newest version counts. Rows that are gone are in no
-- part: where some may be, the batch lists the keys that are left, or holds the table whole. After the last batch
-- that did, nothing is gone: a row that such a list lacks has gone, unless a later batch brought it. Only the parts
-- that manifests list are taken: others in the folders are of attempts that were never committed.
--
-- With no literal to prune by, Athena looks into every folder of the projection, also those that are not there yet.
-- event_table_as_of_a_batch, with the number of the newest batch, says the same, sooner.
with brought as (
    select batch, element_at(tables, 'sales_order') as entry
    from ${ingestion}.batches
    where element_at(tables, 'sales_order').batch = batch
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
)
select captured.*
from captured
join newest
    on captured.sales_order_id = newest.sales_order_id
    and captured.batch = newest.batch
cross join last_check
left join live on captured.sales_order_id = live.sales_order_id
where captured.batch >= last_check.batch or live.sales_order_id is not null
