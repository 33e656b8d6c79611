-- The role that totes_dagster reads totesys with. It can do nothing else there.
--
-- Who runs it: whoever owns the database and its tables, or is a member of their owners, and may create roles; it need
-- not be a superuser. In the database itself, by psql 11 or newer, as often as one likes:
--
--     psql "postgresql://owner@host/totesys" -f totesys_reader.sql -c '\password totesys_reader'
--
-- Other names than these are given by `-v role=... -v schema=...`. The password is typed at the prompt of \password,
-- which sends only its hash: so it is neither here, nor in the shell's history, nor in the server's log.
--
-- What the role may do, and what comes of less:
--
--     connect to the database         the platform cannot log in
--     use the schema                  it finds none of the tables, and says that the source is not as declared
--     select from every table         it stops, and names one that it may not read. Whole rows are read, for the lake
--                                     keeps also what the warehouse has no use for
--     select from tables to come      the lake does without new tables; a check warns of them
--
-- For its snapshots it needs no right: every role may ask where the server stands (pg_control_system(),
-- pg_control_checkpoint(), pg_control_recovery(), pg_current_snapshot(), the positions in the write-ahead log), export
-- what it sees (pg_export_snapshot()), and lock what it may select from against changes of its definition (lock table ...
-- in access share mode).
--
-- What PUBLIC may do, the role may too. So PUBLIC loses two rights here: to make temporary tables, and to create in the
-- schema, as it may in databases that began before PostgreSQL 15. Owners of tables of the schema get them by name, so
-- that the application goes on as before; grant them to other roles that need them. What PostgreSQL lets every role do,
-- and no grant takes away, is to make large objects.

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

select format('create role %I', :'role') where not exists (select from pg_roles where rolname = :'role') \gexec
alter role :"role" login;
alter role :"role" set default_transaction_read_only = on;
-- A row that a policy hides would count as deleted; with this, reading such a table is an error.
alter role :"role" set row_security = off;
-- The source must not suffer from a reader that hangs: those who change a table's definition would wait for it, and
-- nothing that was deleted meanwhile could be cleaned up. The platform has limits of its own in each of its transactions;
-- these are for all that is done by this role besides.
alter role :"role" set lock_timeout = '10s';
alter role :"role" set statement_timeout = '1h';
alter role :"role" set idle_in_transaction_session_timeout = '4h';
alter role :"role" in database :"DBNAME" set search_path = :"schema";

-- Whatever it had before, it has this afterwards.
revoke all on database :"DBNAME" from :"role";
revoke all on schema :"schema" from :"role";
select format('revoke all on %s from %I', oid::regclass, :'role')
from pg_class
where exists (select from aclexplode(relacl) where pg_get_userbyid(grantee) = :'role') \gexec

grant connect on database :"DBNAME" to :"role";
grant usage on schema :"schema" to :"role";
-- Not from the application's own bookkeeping, which is none of the platform's business; and partitions are read as the
-- table that they are part of.
select format('grant select on %I.%I to %I', :'schema', relname, :'role')
from pg_class
where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p') and not relispartition
  and relname <> '_prisma_migrations' \gexec
select format('alter default privileges for role %I in schema %I grant select on tables to %I', owner, :'schema', :'role')
from (select pg_get_userbyid(relowner) as owner from pg_class
      where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p')
      union select current_user) as owners \gexec

select format('grant temporary on database %I to %I', current_database(), owner)
from (select distinct pg_get_userbyid(relowner) as owner from pg_class
      where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p')) as owners
where has_database_privilege('public', current_database(), 'temporary') \gexec
select format('grant create on schema %I to %I', :'schema', owner)
from (select distinct pg_get_userbyid(relowner) as owner from pg_class
      where relnamespace = quote_ident(:'schema')::regnamespace and relkind in ('r', 'p')) as owners
where has_schema_privilege('public', quote_ident(:'schema'), 'create') \gexec
revoke temporary on database :"DBNAME" from public;
revoke create on schema :"schema" from public;

\ir ordinary_role.sql
\ir only_reads.sql

commit;

\echo The role :role may read the tables of :DBNAME, and do nothing else. If it has no password yet, say '\\password' :role
