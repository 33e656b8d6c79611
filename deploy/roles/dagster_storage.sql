-- The role with which Dagster keeps its storage: runs, events, cursors. It can do nothing elsewhere.
--
-- Run this as the owner of the database, which is Dagster's alone, with the right to create roles; superuser rights are
-- not needed. Run it in the database itself, with psql 11 or newer. Running it again is safe:
--
--     psql "postgresql://owner@host/dagster" -f dagster_storage.sql -c '\password dagster'
--
-- `-v role=...` gives the role another name. Type the password at the prompt of \password, which sends only its hash,
-- so that it is neither here, nor in the shell's history, nor in the server's log. It must not contain a slash, which
-- dagster-postgres does not quote.
--
-- What the role may do, and what happens without it:
--
--     connect to the database         Dagster cannot log in
--     use its schema, create in it    Dagster cannot create its tables, nor migrate them
--
-- PUBLIC loses the right to create in the schema, which it has in databases created before PostgreSQL 15.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?role}
\else
  \set role dagster
\endif

begin;

select format('create role %I', :'role') where not exists (select from pg_roles where rolname = :'role') \gexec
alter role :"role" login;

grant connect on database :"DBNAME" to :"role";
grant usage, create on schema public to :"role";
revoke create on schema public from public;

\ir ordinary_role.sql

commit;

\echo The role :role may keep the storage of Dagster in :DBNAME. If it has no password yet, run '\\password' :role
