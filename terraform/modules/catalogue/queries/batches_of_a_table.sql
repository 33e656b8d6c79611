-- The batches that changed a table of the source, newest first. Here sales_order.
--
-- For another one, put its name in place of sales_order. `content` is whole or changes. `rows_captured` counts what
-- the batch holds of the table, `rows_in_source` what the table had when the snapshot was taken.
--
-- Manifests are not partitioned, so no condition on a batch saves reading. Together they are small.
with brought as (
    select batch, snapshot.taken_at as taken_at, element_at(tables, 'sales_order') as entry
    from ${ingestion}.batches
    where element_at(tables, 'sales_order').batch = batch
),
parts as (
    select brought.batch, part.row_count
    from brought
    cross join unnest(transform(brought.entry.parts, listed -> listed.rows)) as part (row_count)
),
counts as (
    select batch, sum(row_count) as row_count
    from parts
    group by batch
)
select
    brought.batch,
    from_iso8601_timestamp(brought.taken_at) as seen_at,
    brought.entry.content as content,
    coalesce(counts.row_count, 0) as rows_captured,
    brought.entry.census.rows as rows_in_source
from brought
left join counts on brought.batch = counts.batch
order by brought.batch desc
