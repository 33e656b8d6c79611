-- A role for whoever asks the warehouse: an analyst, or a tool for dashboards. It can do nothing else there.
--
-- Who runs it: who ran warehouse_loader.sql, and after that; the tables need not be there yet. Once for each analyst
-- or tool, by psql 11 or newer, and again as often as one likes:
--
--     psql "postgresql://owner@host/warehouse" -v role=anna -f warehouse_reader.sql -c '\password anna'
--
-- Other names are given by `-v role=... -v loader=... -v schema=...`. The password is typed at the prompt of \password,
-- which sends only its hash: so it is neither here, nor in the shell's history, nor in the server's log.
--
-- What the role may do, and what comes of less:
--
--     connect to the database         it cannot log in
--     use the schema                  it finds none of the tables
--     select from all that the loader has made there: the star tables, the views current_*, load_history, quarantine
--     select from all that the loader will make there: a migration would shut it out from what is new
--
-- Rights on anything else, such as views that a team has put on these tables, are left as they are.
--
-- What PUBLIC may do, the role may too. So PUBLIC loses the right to make temporary tables here. The loader has it by
-- name; grant it to other roles that need it. What PostgreSQL lets every role do, and no grant takes away, is to make
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

-- Whatever rights on the warehouse it had before, it has these afterwards.
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
    'load_history', 'quarantine', 'totes_warehouse_version') \gexec
alter default privileges for role :"loader" in schema :"schema" grant select on tables to :"role";

revoke temporary on database :"DBNAME" from public;

\ir ordinary_role.sql
\ir only_reads.sql

commit;

\echo The role :role may ask the schema :schema of :DBNAME. If it has no password yet, say '\\password' :role
