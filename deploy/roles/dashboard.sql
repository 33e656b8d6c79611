-- The role with which the dashboard reads the warehouse. It sees what the pages show, and can do nothing else.
--
-- Run this after warehouse_loader.sql and `totes migrate`, as the same user as the former, with psql 11 or newer. Run it
-- again after each migration: it grants nothing on what does not exist yet, and a view that a migration replaces has
-- lost its grants. Running it again is safe:
--
--     psql "postgresql://owner@host/warehouse" -f dashboard.sql -c '\password dashboard'
--
-- `-v role=... -v loader=... -v schema=...` gives other names. Type the password at the prompt of \password, which
-- sends only its hash, so that it is neither here, nor in the shell's history, nor in the server's log.
--
-- What the role may do, and what happens without it:
--
--     connect to the database         the dashboard cannot log in
--     use the schema                  it finds none of the tables
--     select from what pages read     a page says that the warehouse cannot be read
--
-- For other tools, and for people, use warehouse_reader.sql: its roles may read every table and column, and may read
-- what a migration adds. This one cannot read the names and e-mail addresses of members of staff, who are shown by number,
-- nor addresses and telephone numbers.
--
-- The role may do whatever PUBLIC may. So PUBLIC loses the right to create temporary tables here. The loader is granted
-- it; grant it to other roles that need it. One thing that PostgreSQL lets every role do cannot be revoked: to create
-- large objects.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?role}
\else
  \set role dashboard
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
-- A dashboard takes three connections, and two dashboards run while a new one is deployed.
alter role :"role" login connection limit 10;
alter role :"role" set default_transaction_read_only = on;
alter role :"role" set statement_timeout = '5min';
alter role :"role" set lock_timeout = '1min';
alter role :"role" set idle_in_transaction_session_timeout = '10min';
alter role :"role" in database :"DBNAME" set search_path = :"schema";

-- Revoke earlier rights on the warehouse, so that only these are left.
revoke all on database :"DBNAME" from :"role";
revoke all on schema :"schema" from :"role";
select format('revoke all on %I.%I from %I', :'schema', relname, :'role')
from pg_class
where relnamespace = quote_ident(:'schema')::regnamespace and pg_get_userbyid(relowner) = :'loader'
  and (exists (select from aclexplode(relacl) where pg_get_userbyid(grantee) = :'role')
       or exists (select from pg_attribute cross join aclexplode(attacl)
                  where attrelid = pg_class.oid and pg_get_userbyid(grantee) = :'role')) \gexec

grant connect on database :"DBNAME" to :"role";
grant usage on schema :"schema" to :"role";
select format('grant select%s on %I.%I to %I', ' (' || columns || ')', :'schema', relname, :'role')
from (values
    ('as_of', null),
    ('delivery', null),
    ('dim_counterparty', 'counterparty_id, counterparty_legal_name, counterparty_legal_country'),
    ('dim_currency', null),
    ('dim_design', null),
    ('dim_location', 'location_id, country'),
    ('dim_staff', 'staff_id, department_name, location'),
    ('dim_transaction', null),
    ('fact_exchange_rate', null),
    ('fact_sales_order', null),
    ('feed_file', null),
    ('feed_history', null),
    ('feed_quarantine', null),
    ('load_history', null),
    ('purchase', null),
    ('quarantine', null),
    ('rate_on_day', null),
    ('sale', null),
    ('sales_target', null),
    ('settlement', null),
    ('unconverted', null)
) as readable (name, columns)
join pg_class on relname = name and relnamespace = quote_ident(:'schema')::regnamespace
where pg_get_userbyid(relowner) = :'loader' \gexec

revoke temporary on database :"DBNAME" from public;

\ir ordinary_role.sql
\ir only_reads.sql

commit;

\echo The role :role may read what the dashboard shows of the schema :schema of :DBNAME. If it has no password yet, run '\\password' :role
