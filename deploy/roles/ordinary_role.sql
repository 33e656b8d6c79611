-- Checks that a role is an ordinary one, which may only do what it is granted. All role scripts end with it; if it
-- fails, they change nothing. It needs the variable `role`.

select set_config('totes.role', :'role', true) as checked \gset

do $$
declare
    checked constant name := current_setting('totes.role');
    found text;
begin
    select string_agg(distinct what, ', ' order by what) into found from (
        select 'do what only a superuser or an administrator may'
        from pg_roles
        where rolname = checked and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)
        union all
        select format('act as %I', pg_get_userbyid(roleid))
        from pg_auth_members
        where pg_get_userbyid(member) = checked
    ) as more (what);
    if found is not null then
        raise exception 'the role % may also %', checked, found
            using hint = 'Take that from it, or choose another name for the role, and run this again.';
    end if;
end $$;
