-- Committed parts of a table that Athena does not find: none, if all is well. Here sales_order.
--
-- For another one, put its name in place of sales_order everywhere. Rows: batches have passed the end of the
-- projection, beyond which nothing is seen and nothing is said (raise projected_batches), or objects of the lake are
-- missing.
--
-- It reads no column, only which objects there are, of every batch, so there is nothing to prune.
with committed as (
    select batches.batch, part.path
    from ${ingestion}.batches as batches
    cross join unnest(transform(element_at(batches.tables, 'sales_order').parts, listed -> listed.path)) as part (path)
    where element_at(batches.tables, 'sales_order').batch = batches.batch
),
seen as (
    select distinct regexp_extract(sales_order."$path", '^s3://[^/]+/(.+)$', 1) as path
    from ${ingestion}.sales_order as sales_order
)
select committed.batch, committed.path
from committed
left join seen on committed.path = seen.path
where seen.path is null
order by committed.batch
