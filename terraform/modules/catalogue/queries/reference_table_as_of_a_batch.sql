-- A reference table as the source had it, as of batch 42. Here staff.
--
-- For another one, put its name in place of staff everywhere, for another batch, its number in place of 42, twice.
-- Every manifest says of every table where its newest content lies, whichever batch brought it, so one manifest is
-- enough.
--
-- The condition on staff.batch changes no result. It is a literal, so that Athena prunes the projection when it plans
-- the query: no folder of a later batch is looked into.
with stated as (
    select element_at(tables, 'staff') as entry
    from ${ingestion}.batches
    where batch = 42
)
select staff.*
from ${ingestion}.staff as staff
join stated on staff.batch = stated.entry.batch
where staff.batch <= 42
and contains(
    transform(stated.entry.parts, part -> part.path),
    regexp_extract(staff."$path", '^s3://[^/]+/(.+)$', 1)
)
