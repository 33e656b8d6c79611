-- The role with which totes_dagster reads totesys. It can do nothing else there.
--
-- Run this as the owner of the database and its tables, or as a member of the owning roles, with the right to create
-- roles; superuser rights are not needed. Run it in the database itself, with psql 11 or newer. Running it again is
-- safe:
--
--     psql "postgresql://owner@host/totesys" -f totesys_reader.sql -c '\password totesys_reader'
--
-- `-v role=... -v schema=...` gives other names. Type the password at the prompt of \password, which sends only its
-- hash, so that it is neither here, nor in the shell's history, nor in the server's log.
--
-- What the role may do, and what happens without it:
--
--     connect to the database         the platform cannot log in
--     use the schema                  it finds none of the tables, and reports that the source is not as declared
--     select from every table         it stops, and names one that it may not read. It reads whole rows, because the
--                                     lake also keeps what the warehouse does not use
--     select from future tables       the lake lacks new tables; a check warns of them
--
-- Its snapshots need no further right: every role may read the server's state (pg_control_system(),
-- pg_control_checkpoint(), pg_control_recovery(), pg_current_snapshot(), the positions in the write-ahead log), export
-- its snapshot (pg_export_snapshot()), and lock the tables that it may select from against changes of their definition
-- (lock table ... in access share mode).
--
-- The role may do whatever PUBLIC may. So PUBLIC loses two rights here: to create temporary tables, and to create in
-- the schema, which it has in databases created before PostgreSQL 15. The owners of tables in the schema are granted
-- both, so that the application works as before; grant them to other roles that need them. One thing that PostgreSQL
-- lets every role do cannot be revoked: to create large objects.

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
-- A reader that hangs must not harm the source: it would block changes of table definitions, and keep vacuum from
-- removing dead rows. The platform sets its own limits in each transaction; these are for all other use of the role.
alter role :"role" set lock_timeout = '10s';
alter role :"role" set statement_timeout = '1h';
alter role :"role" set idle_in_transaction_session_timeout = '4h';
alter role :"role" in database :"DBNAME" set search_path = :"schema";

-- Revoke earlier rights, so that only these are left.
revoke all on database :"DBNAME" from :"role";
revoke all on schema :"schema" from :"role";
select format('revoke all on %s from %I', oid::regclass, :'role')
from pg_class
where exists (select from aclexplode(relacl) where pg_get_userbyid(grantee) = :'role') \gexec

grant connect on database :"DBNAME" to :"role";
grant usage on schema :"schema" to :"role";
-- Not on the application's own bookkeeping, which the platform does not read, nor on partitions, which are read through
-- their partitioned table.
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

\echo The role :role may read the tables of :DBNAME, and do nothing else. If it has no password yet, run '\\password' :role
