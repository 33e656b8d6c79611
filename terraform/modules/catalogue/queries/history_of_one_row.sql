-- Every version of one row of an event table that the platform has seen, deletions included. Here sales order 1.
--
-- For another one, put its number in place of 1 in the lines that end with "-- which". For another table, put its
-- name in place of sales_order everywhere, and its columns in place of those of sales_order.
--
-- A row can be captured again as it was: what equals the version before is left out. A batch that knows which keys
-- are left (in the row's range of 16,384 keys, or in all), and has not this one, ends the row, with null for its
-- values. Only parts that manifests list are taken.
--
-- A history begins with the first batch, but need not look for those that are not there yet. Put the number of the
-- newest batch in place of 42, three times, and take the dashes before each "and" away: these are literals, so that
-- Athena prunes the projection when it plans the query.
with brought as (
    select batch, element_at(tables, 'sales_order') as entry
    from ${ingestion}.batches
    where element_at(tables, 'sales_order').batch = batch
    -- and batch <= 42
),
parts as (
    select brought.batch, part.path
    from brought
    cross join unnest(transform(brought.entry.parts, listed -> listed.path)) as part (path)
),
key_parts as (
    select brought.batch, part.path
    from brought
    cross join unnest(transform(brought.entry.live_keys, listed -> listed.path)) as part (path)
),
captured as (
    select sales_order.*
    from ${ingestion}.sales_order as sales_order
    join parts
        on sales_order.batch = parts.batch
        and regexp_extract(sales_order."$path", '^s3://[^/]+/(.+)$', 1) = parts.path
    where sales_order.sales_order_id = 1 -- which
    -- and sales_order.batch <= 42
),
live as (
    select live_keys.batch
    from ${ingestion}.sales_order_live_keys as live_keys
    join key_parts
        on live_keys.batch = key_parts.batch
        and regexp_extract(live_keys."$path", '^s3://[^/]+/(.+)$', 1) = key_parts.path
    where live_keys.sales_order_id = 1 -- which
    -- and live_keys.batch <= 42
),
gone as (
    select batch
    from brought
    where (
        entry.content = 'whole'
        or (
            entry.live_keys is not null
            and (entry.live_ranges is null or contains(entry.live_ranges, cast(floor(1 / 16384e0) as bigint))) -- which
        )
    )
    and batch not in (select batch from captured)
    and batch not in (select batch from live)
),
timeline as (
    select batch, false as is_deleted from captured
    union all
    select batch, true as is_deleted from gone
),
steps as (
    select
        timeline.batch,
        timeline.is_deleted,
        lag(timeline.is_deleted) over (order by timeline.batch) as was_deleted,
        captured.created_at, captured.last_updated, captured.design_id,
        captured.staff_id, captured.counterparty_id, captured.units_sold,
        captured.unit_price, captured.currency_id, captured.agreed_delivery_date,
        captured.agreed_payment_date, captured.agreed_delivery_location_id,
        row(
            captured.created_at, captured.last_updated, captured.design_id,
            captured.staff_id, captured.counterparty_id, captured.units_sold,
            captured.unit_price, captured.currency_id, captured.agreed_delivery_date,
            captured.agreed_payment_date, captured.agreed_delivery_location_id
        ) as content,
        lag(row(
            captured.created_at, captured.last_updated, captured.design_id,
            captured.staff_id, captured.counterparty_id, captured.units_sold,
            captured.unit_price, captured.currency_id, captured.agreed_delivery_date,
            captured.agreed_payment_date, captured.agreed_delivery_location_id
        )) over (order by timeline.batch) as content_before
    from timeline
    left join captured on timeline.batch = captured.batch
)
select
    steps.batch,
    from_iso8601_timestamp(batches.snapshot.taken_at) as seen_at,
    steps.is_deleted,
    steps.created_at, steps.last_updated, steps.design_id,
    steps.staff_id, steps.counterparty_id, steps.units_sold,
    steps.unit_price, steps.currency_id, steps.agreed_delivery_date,
    steps.agreed_payment_date, steps.agreed_delivery_location_id
from steps
join ${ingestion}.batches as batches on steps.batch = batches.batch
where case
    when steps.is_deleted then not steps.was_deleted
    else coalesce(steps.was_deleted, true) or steps.content is distinct from steps.content_before
end
order by steps.batch
