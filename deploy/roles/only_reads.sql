-- Checks that an ordinary role can change nothing in this database, whatever it was granted before and whatever PUBLIC
-- may do. The scripts of the reading roles end with it, after ordinary_role.sql; if it fails, they change nothing.

do $$
declare
    reader constant name := current_setting('totes.role');
    found text;
begin
    select string_agg(distinct what, ', ' order by what) into found from (
        select 'own something'
        from pg_shdepend
        where deptype = 'o' and refclassid = 'pg_authid'::regclass and pg_get_userbyid(refobjid) = reader
        union all
        select format('%s in the database', privilege)
        from unnest(array['create', 'temporary']) as privilege
        where has_database_privilege(reader, current_database(), privilege)
        union all
        select format('create in the schema %I', nspname)
        from pg_namespace
        where has_schema_privilege(reader, oid, 'create')
        union all
        select format('change %s', oid::regclass)
        from pg_class
        where relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
          and case when relkind = 'S' then has_sequence_privilege(reader, oid, 'usage, update')
                   when relkind in ('r', 'p', 'v', 'm', 'f') then
                       has_table_privilege(reader, oid, 'insert, update, delete, truncate, references, trigger')
                       or has_any_column_privilege(reader, oid, 'insert, update, references')
              end
    ) as more (what);
    if found is not null then
        raise exception 'the role % may also %', reader, found
            using hint = 'Take that from it or from PUBLIC, and run this again.';
    end if;
end $$;
