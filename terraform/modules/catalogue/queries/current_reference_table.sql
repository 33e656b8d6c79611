-- A reference table as the source has it, as of the newest batch. Here staff.
--
-- For another one, put its name in place of staff everywhere: address, counterparty, currency, department, design,
-- payment_type. A batch that changes such a table holds it whole, so only one batch is read: the one that the newest
-- manifest names. Only the parts that it lists are taken: others in the folder are of attempts that were never
-- committed.
--
-- Which batch that is, Athena learns while the query runs, when it may have looked into every folder of the
-- projection. What it prunes when it plans the query are literals: reference_table_as_of_a_batch, with the number of
-- the newest batch, says the same, sooner.
with newest as (
    select max_by(element_at(tables, 'staff'), batch) as entry
    from ${ingestion}.batches
)
select staff.*
from ${ingestion}.staff as staff
join newest on staff.batch = newest.entry.batch
where contains(
    transform(newest.entry.parts, part -> part.path),
    regexp_extract(staff."$path", '^s3://[^/]+/(.+)$', 1)
)
