-- The role that Dagster keeps its storage with: runs, events, cursors. It can do nothing elsewhere.
--
-- Who runs it: whoever owns the database, which is Dagster's alone, and may create roles; it need not be a superuser. In
-- the database itself, by psql 11 or newer, as often as one likes:
--
--     psql "postgresql://owner@host/dagster" -f dagster_storage.sql -c '\password dagster'
--
-- Another name is given by `-v role=...`. The password is typed at the prompt of \password, which sends only its hash:
-- so it is neither here, nor in the shell's history, nor in the server's log. Let it have no slash, which
-- dagster-postgres does not quote.
--
-- What the role may do, and what comes of less:
--
--     connect to the database         Dagster cannot log in
--     use its schema, create in it    Dagster cannot make its tables, nor migrate them
--
-- PUBLIC loses the right to create in the schema, which it has in databases that began before PostgreSQL 15.

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

\echo The role :role may keep the storage of Dagster in :DBNAME. If it has no password yet, say '\\password' :role
