-- A role that queries the warehouse, for an analyst or a dashboard tool. It can do nothing else there.
--
-- Run this after warehouse_loader.sql, as the same user; the tables need not exist yet. Run it once for each analyst or
-- tool, with psql 11 or newer. Running it again is safe:
--
--     psql "postgresql://owner@host/warehouse" -v role=anna -f warehouse_reader.sql -c '\password anna'
--
-- `-v role=... -v loader=... -v schema=...` gives other names. Type the password at the prompt of \password, which
-- sends only its hash, so that it is neither here, nor in the shell's history, nor in the server's log.
--
-- What the role may do, and what happens without it:
--
--     connect to the database         it cannot log in
--     use the schema                  it finds none of the tables
--     select from the loader's tables it cannot query the star tables, current_*, load_history and quarantine
--     select from its future tables   it cannot query what a migration adds
--
-- Rights on anything else, such as a team's views on these tables, stay as they are.
--
-- The role may do whatever PUBLIC may. So PUBLIC loses the right to create temporary tables here. The loader is granted
-- it; grant it to other roles that need it. One thing that PostgreSQL lets every role do cannot be revoked: to create
-- large objects.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?role}
\else
  \set role warehouse_reader
\endif
\if :{?loader}
\else
  \set loader warehouse_loader
\endif
\if :{?schema}
\else
  \set schema public
\endif

begin;

select format('create role %I', :'role') where not exists (select from pg_roles where rolname = :'role') \gexec
alter role :"role" login;
alter role :"role" set default_transaction_read_only = on;
alter role :"role" in database :"DBNAME" set search_path = :"schema";

-- Revoke earlier rights on the warehouse, so that only these are left.
revoke all on database :"DBNAME" from :"role";
revoke all on schema :"schema" from :"role";
grant connect on database :"DBNAME" to :"role";
grant usage on schema :"schema" to :"role";
select case when exists (select from aclexplode(relacl) where pg_get_userbyid(grantee) = :'role')
            then format('revoke all on %I.%I from %I', :'schema', relname, :'role') end,
       case when pg_get_userbyid(relowner) = :'loader'
            then format('grant select on %I.%I to %I', :'schema', relname, :'role') end
from pg_class
where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p', 'v') and relname in (
    'dim_counterparty', 'dim_currency', 'dim_date', 'dim_design', 'dim_location', 'dim_payment_type', 'dim_staff',
    'dim_transaction', 'fact_payment', 'fact_purchase_order', 'fact_sales_order',
    'current_payment', 'current_purchase_order', 'current_sales_order',
    'fact_exchange_rate', 'fact_sales_target', 'fact_shipment', 'rate_on_day',
    'current_exchange_rate', 'current_sales_target', 'current_shipment',
    'as_of', 'delivery', 'purchase', 'sale', 'sales_target', 'settlement', 'unconverted',
    'load_history', 'commit_time', 'quarantine', 'feed_file', 'feed_history', 'feed_quarantine',
    'totes_warehouse_version') \gexec
alter default privileges for role :"loader" in schema :"schema" grant select on tables to :"role";

revoke temporary on database :"DBNAME" from public;

\ir ordinary_role.sql
\ir only_reads.sql

commit;

\echo The role :role may query the schema :schema of :DBNAME. If it has no password yet, run '\\password' :role
