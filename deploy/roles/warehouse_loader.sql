-- The role with which totes_dagster keeps the warehouse. It owns the warehouse's tables, and can do nothing elsewhere.
--
-- Run this as the owner of the database, and of the warehouse's tables if there are any, or as a member of the owning
-- roles, with the right to create roles; superuser rights are not needed. Run it in the database itself, with psql 11
-- or newer. Running it again is safe:
--
--     psql "postgresql://owner@host/warehouse" -f warehouse_loader.sql -c '\password warehouse_loader'
--
-- `-v role=... -v schema=...` gives other names; the schema must be that of WAREHOUSE_SCHEMA. Type the password at the
-- prompt of \password, which sends only its hash, so that it is neither here, nor in the shell's history, nor in the
-- server's log.
--
-- What the role may do, and what happens without it:
--
--     connect to the database         the platform cannot log in
--     create temporary tables         it cannot stage the rows of a batch
--     use the schema, create in it    it cannot create the warehouse's tables, nor find them
--     own the warehouse's tables      it cannot migrate them, nor drop and add their foreign keys around a bulk load,
--                                     for which PostgreSQL requires ownership
--
-- It does not own the schema: the owner of a schema may drop everything in it, including what is not the warehouse's.
-- Existing tables of the warehouse become the role's; roles that could read them still can. Everything else in the
-- schema, and every other schema, stays as it is.
--
-- PUBLIC loses the right to create in the schema, which it has in `public` of databases created before PostgreSQL 15: a
-- role that can create a function there could make the loader call it.

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
-- Only a member of a role can make it an owner. Superusers count as members of all roles; others are not members even
-- of the roles that they created.
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
    'fact_exchange_rate', 'fact_sales_target', 'fact_shipment', 'rate_on_day',
    'current_exchange_rate', 'current_sales_target', 'current_shipment',
    'as_of', 'delivery', 'purchase', 'sale', 'sales_target', 'settlement', 'unconverted',
    'load_history', 'commit_time', 'quarantine', 'feed_file', 'feed_history', 'feed_quarantine',
    'totes_warehouse_version') \gexec

\ir ordinary_role.sql

commit;

\echo The role :role may keep the warehouse in the schema :schema of :DBNAME. If it has no password yet, run '\\password' :role
