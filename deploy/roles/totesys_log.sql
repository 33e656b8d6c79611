-- What reading the write-ahead log of totesys needs besides totesys_reader.sql; see docs/log.md.
--
-- Run this after totesys_reader.sql, as the owner of the tables, or as a member of the owning roles, who may create
-- publications in the database and give roles the right to replicate: a superuser; since PostgreSQL 16 also a role with
-- createrole and replication; on Amazon RDS, the master user. Running it again is safe:
--
--     psql "postgresql://owner@host/totesys" -f totesys_log.sql
--
-- `-v role=... -v schema=...` gives other names. totesys_reader.sql refuses a role that may replicate: before running it
-- again, take the right back (alter role ... noreplication), and run this one afterwards.
--
-- What the role may do then, and what happens without it:
--
--     replicate                       it cannot create, read and advance its replication slot, and counts instead
--     read the publication totes      the log does not tell it what changed in the tables, and it counts instead
--
-- The right to replicate is a strong one: with a replication connection, which pg_hba.conf must allow as well, the role
-- could copy the whole cluster. The platform makes no such connection.
--
-- Before, set in the server's configuration: wal_level = logical (on Amazon RDS, rds.logical_replication = 1), which
-- takes a restart, and max_slot_wal_keep_size, which bounds what the slot can make the server keep.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?role}
\else
  \set role totesys_reader
\endif
\if :{?schema}
\else
  \set schema public
\endif

begin;

select format(
    case when exists (select from pg_roles where rolname = 'rds_replication')
         then 'grant rds_replication to %I' else 'alter role %I replication' end, :'role') \gexec

-- Updates and deletes of a table without a primary key would fail as soon as it is published.
select format('do $$ begin raise exception ''%I has no primary key, and is not published''; end $$', relname)
from pg_class
where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p') and relname in (
    'address', 'counterparty', 'currency', 'department', 'design', 'payment', 'payment_type', 'purchase_order',
    'sales_order', 'staff', 'transaction')
  and not exists (select from pg_index where indrelid = pg_class.oid and indisprimary) \gexec

select 'create publication totes' where not exists (select from pg_publication where pubname = 'totes') \gexec
alter publication totes set (publish = 'insert, update, delete, truncate');
select format('alter publication totes set table %s', string_agg(oid::regclass::text, ', ' order by relname))
from pg_class
where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p') and relname in (
    'address', 'counterparty', 'currency', 'department', 'design', 'payment', 'payment_type', 'purchase_order',
    'sales_order', 'staff', 'transaction') \gexec

commit;

\echo The role :role may read the log of :DBNAME: set TOTES_CAPTURE=log. To undo that, see docs/log.md.
