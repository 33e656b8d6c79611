-- The role that totes_dagster keeps the warehouse with. It owns the warehouse's tables, and can do nothing elsewhere.
--
-- Who runs it: whoever owns the database, and the warehouse's tables if there are any, or is a member of their owners,
-- and may create roles; it need not be a superuser. In the database itself, by psql 11 or newer, as often as one likes:
--
--     psql "postgresql://owner@host/warehouse" -f warehouse_loader.sql -c '\password warehouse_loader'
--
-- Other names than these are given by `-v role=... -v schema=...`; the schema is what WAREHOUSE_SCHEMA says. The
-- password is typed at the prompt of \password, which sends only its hash: so it is neither here, nor in the shell's
-- history, nor in the server's log.
--
-- What the role may do, and what comes of less:
--
--     connect to the database         the platform cannot log in
--     make temporary tables in it     it cannot stage the rows of a batch
--     use the schema, create in it    it cannot make the warehouse's tables, nor find them
--     all in these tables, as owner   it cannot migrate them, nor drop and add their foreign keys around a bulk load:
--                                     for that PostgreSQL has no grant, only ownership
--
-- It does not own the schema: the owner of a schema may drop whatever is in it, also what is not the warehouse's.
-- Tables of the warehouse that are there already, somebody else's, become the role's; who could read them still can.
-- What else is in the schema is left alone, and so is every other schema.
--
-- PUBLIC loses the right to create in the schema, which it has in `public` of databases that began before PostgreSQL
-- 15: whoever could plant a function there might have the loader call it.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?role}
\else
  \set role warehouse_loader
\endif
\if :{?schema}
\else
  \set schema public
\endif

begin;

select format('create role %I', :'role') where not exists (select from pg_roles where rolname = :'role') \gexec
alter role :"role" login;
-- Only a member of a role can give something to it. Superusers are of all, others not even of those that they made.
select format('grant %I to current_user', :'role') where not pg_has_role(:'role', 'usage') \gexec

grant connect on database :"DBNAME" to :"role";
grant temporary on database :"DBNAME" to :"role";

select format('create schema %I', :'schema') where not exists (select from pg_namespace where nspname = :'schema') \gexec
grant usage on schema :"schema" to :"role";
grant create on schema :"schema" to :"role";
revoke create on schema :"schema" from public;
select format('alter table %I.%I owner to %I', :'schema', relname, :'role')
from pg_class
where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p', 'v') and relname in (
    'dim_counterparty', 'dim_currency', 'dim_date', 'dim_design', 'dim_location', 'dim_payment_type', 'dim_staff',
    'dim_transaction', 'fact_payment', 'fact_purchase_order', 'fact_sales_order',
    'current_payment', 'current_purchase_order', 'current_sales_order',
    'load_history', 'quarantine', 'totes_warehouse_version') \gexec

\ir ordinary_role.sql

commit;

\echo The role :role may keep the warehouse in the schema :schema of :DBNAME. If it has no password yet, say '\\password' :role
