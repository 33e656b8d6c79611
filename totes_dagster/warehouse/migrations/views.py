"""Drops the views that read a column before its type changes, and re-creates them after it.

PostgreSQL refuses to change the type of a column that a view uses. So the views on it, and the views on those, are
dropped and re-created in the same transaction, each with its owner, privileges, comments, options and indexes. A view
that cannot be re-created as it was is reported before any view is dropped.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.errors import DatabaseError, DiskFullError, WarehouseSchemaError
from totes_dagster.postgres.named_errors import reason_of

_IN_ORDER = """
    with recursive dependent (oid, depth) as (
        select ev_class, 1
        from unnest(%(tables)s::oid[], %(columns)s::smallint[]) as altered (class, number)
        join pg_depend on refclassid = 'pg_class'::regclass and refobjid = class and refobjsubid = number
        join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid and ev_class <> class
        union
        select ev_class, depth + 1
        from dependent join pg_depend on refclassid = 'pg_class'::regclass and refobjid = dependent.oid
        join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid and ev_class <> dependent.oid)
    select oid from dependent group by oid order by max(depth)
"""
"""The relations whose rules read given columns, each after those that it reads."""

_DEFINITION = """
    select format('%%I.%%I', nspname, pg_class.relname), pg_class.relkind, pg_get_userbyid(pg_class.relowner),
           pg_get_viewdef(pg_class.oid),
           coalesce(pg_class.reloptions, '{}'), pg_class.relispopulated, amname, spcname,
           (select coalesce(array_agg(pg_get_indexdef(indexrelid) order by indexrelid), '{}')
            from pg_index where indrelid = pg_class.oid),
           (select coalesce(array_agg(format('alter materialized view %%I.%%I cluster on %%I', nspname,
                                             pg_class.relname, clustered.relname)), '{}')
            from pg_index join pg_class as clustered on clustered.oid = indexrelid
            where indrelid = pg_class.oid and indisclustered)
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    left join pg_am on pg_am.oid = relam left join pg_tablespace on pg_tablespace.oid = reltablespace
    where pg_class.oid = %s
"""

_COMMENTS = """
    select format('comment on %%s %%s is %%L',
                  case when relkind = 'm' and objsubid = 0 then 'materialized view'
                       when objsubid = 0 then 'view' else 'column' end,
                  case when objsubid = 0 then format('%%I.%%I', nspname, relname)
                       else format('%%I.%%I.%%I', nspname, relname, attname) end,
                  description)
    from pg_description join pg_class on pg_class.oid = objoid join pg_namespace on pg_namespace.oid = relnamespace
    left join pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0
    where classoid = 'pg_class'::regclass and objoid = %(view)s
    union all
    select format('comment on index %%I.%%I is %%L', nspname, relname, description)
    from pg_description join pg_class on pg_class.oid = objoid join pg_namespace on pg_namespace.oid = relnamespace
    join pg_index on indexrelid = objoid
    where classoid = 'pg_class'::regclass and indrelid = %(view)s
"""

_RIGHTS = """
    select format(
               case when is_grantable then 'grant %%s%%s on %%I.%%I to %%s with grant option'
                    else 'grant %%s%%s on %%I.%%I to %%s' end,
               privilege_type, of_column, nspname, relname,
               case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end)
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace,
    lateral (
        select grantee, privilege_type, is_grantable, '' as of_column
        from aclexplode(coalesce(relacl, acldefault('r', relowner)))
        union
        select grantee, privilege_type, is_grantable, format(' (%%I)', attname)
        from pg_attribute, aclexplode(attacl) where attrelid = pg_class.oid and not attisdropped) as granted
    where pg_class.oid = %s
"""
"""Every privilege on a view, as the statement that grants it."""

_NOT_RECREATED = """
    select pg_describe_object(classid, objid, objsubid) from pg_depend
    where refclassid = 'pg_class'::regclass and refobjid = any (%(views)s) and deptype = 'a'
      and not exists (select from pg_index where classid = 'pg_class'::regclass and indexrelid = objid)
    union all
    select 'the security label of ' || pg_describe_object(classoid, objoid, objsubid) from pg_seclabels
    where classoid = 'pg_class'::regclass and objoid = any (%(views)s)
    union all
    select 'the settings of column ' || attname || ' of ' || pg_describe_object('pg_class'::regclass, attrelid, 0)
    from pg_attribute where attrelid = any (%(views)s) and attnum > 0
      and (attoptions is not null or attstattarget >= 0)
    union all
    select pg_describe_object('pg_class'::regclass, oid, 0) from pg_class
    where oid = any (%(views)s) and relkind not in ('v', 'm')
"""
"""What depends on given views, is dropped with them, and would not be re-created."""


_SET_ROLE_SINCE = 160000
"""The first version in which a member of a role may lack the privilege to `set role` to it."""


@dataclass(frozen=True)
class _View:
    """A view or materialized view, and the statements that re-create it."""

    name: str
    kind: str
    owner: str
    create: str
    populate: tuple[str, ...]
    comments: tuple[str, ...]
    rights: frozenset[str]

    @property
    def drop(self) -> str:
        return f"drop {self.kind} {self.name}"


@contextmanager
def recreated_views(connection: psycopg.Connection[Any], columns: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Drop the views that read these columns, and re-create them after the block, in the caller's transaction.

    Args:
        connection: a connection whose search path is the warehouse's schema.
        columns: the columns, each as the name of its table and its own.

    Raises:
        WarehouseSchemaError: a view cannot be re-created as it was.
    """
    oids = _dependent_views(connection, list(columns))
    views = [_view(connection, oid) for oid in oids]
    _refuse_losses(connection, oids, views)
    for view in reversed(views):
        connection.execute(_text(view.drop))
    yield
    for view in views:
        _restore(connection, view)


def _dependent_views(connection: psycopg.Connection[Any], columns: list[tuple[str, str]]) -> list[int]:
    altered = connection.execute(
        """
        select attrelid, attnum from unnest(%s::text[], %s::text[]) as altered (relation, name)
        join pg_attribute on attrelid = to_regclass(quote_ident(relation)) and attname = name
        """,
        [[table for table, _ in columns], [column for _, column in columns]],
    ).fetchall()
    found = connection.execute(
        _IN_ORDER, {"tables": [oid for oid, _ in altered], "columns": [number for _, number in altered]}
    )
    return [oid for (oid,) in found]


def _view(connection: psycopg.Connection[Any], oid: int) -> _View:
    ((name, kind, owner, definition, options, populated, method, tablespace, indexes, clustered),) = connection.execute(
        _DEFINITION, [oid]
    ).fetchall()
    is_materialized = kind == "m"
    create = f"create {'materialized ' if is_materialized else ''}view {name}"
    if is_materialized:
        create += f" using {_quoted(method)}"
    if options:
        pairs = (option.partition("=") for option in options)
        create += f" with ({', '.join(f'{_quoted(key)} = {_literal(value)}' for key, _, value in pairs)})"
    if tablespace:
        create += f" tablespace {_quoted(tablespace)}"
    create += f" as {definition.rstrip().removesuffix(';')}"
    # Filled only when it belongs to its owner again, so that its functions run as the owner and not as the platform.
    fill = (f"refresh materialized view {name}",) if is_materialized and populated else ()
    return _View(
        name=name,
        kind="materialized view" if is_materialized else "view",
        owner=owner,
        create=f"{create} with no data" if is_materialized else create,
        populate=(*fill, *indexes, *clustered),
        comments=tuple(line for (line,) in connection.execute(_COMMENTS, {"view": oid})),
        rights=_rights(connection, oid),
    )


def _refuse_losses(connection: psycopg.Connection[Any], oids: list[int], views: Sequence[_View]) -> None:
    lost = [what for (what,) in connection.execute(_NOT_RECREATED, {"views": oids})]
    if lost:
        raise WarehouseSchemaError(
            f"The migration changes the type of a column that views read, and cannot re-create what depends on them: "
            f"{', '.join(sorted(lost))}. Drop it, migrate, and create it again."
        )
    # Only a role that can act as the owner can make it the owner of a view.
    right = "set" if connection.info.server_version >= _SET_ROLE_SINCE else "member"
    foreign = [
        view.name
        for view in views
        if not connection.execute("select pg_has_role(%s, %s)", [view.owner, right]).fetchall()[0][0]
    ]
    if foreign:
        raise WarehouseSchemaError(
            f"The migration changes the type of a column that these views read: {', '.join(foreign)}. The platform's "
            "user may not re-create them for their owners. Run totes migrate once with the login of a superuser or of "
            "a member of the owners' roles in WAREHOUSE_URL; or drop the views, migrate, and create them again."
        )


def _restore(connection: psycopg.Connection[Any], view: _View) -> None:
    try:
        connection.execute(_text(view.create))
        connection.execute(_text(f"alter {view.kind} {view.name} owner to {_quoted(view.owner)}"))
        for statement in (*view.populate, *view.comments):
            connection.execute(_text(statement))
        _restore_rights(connection, view)
    except DatabaseError as error:
        cause = error.__cause__
        if error.transient or isinstance(error, DiskFullError) or not isinstance(cause, psycopg.Error):
            raise
        raise WarehouseSchemaError(
            f"The {view.kind} {view.name} cannot be re-created with the new type of a column that it reads: "
            f"{reason_of(cause)} Nothing was changed. Drop it, migrate, and create it again."
        ) from cause


def _restore_rights(connection: psycopg.Connection[Any], view: _View) -> None:
    ((oid,),) = connection.execute("select to_regclass(%s)::oid", [view.name]).fetchall()
    given = _rights(connection, oid)
    for grant in sorted(given - view.rights):
        revoke = grant.removesuffix(" with grant option").replace("grant ", "revoke ", 1)
        head, _, grantee = revoke.rpartition(" to ")
        connection.execute(_text(f"{head} from {grantee}"))
    for grant in sorted(view.rights - given):
        connection.execute(_text(grant))


def _rights(connection: psycopg.Connection[Any], oid: int) -> frozenset[str]:
    return frozenset(grant for (grant,) in connection.execute(_RIGHTS, [oid]))


def _text(statement: str) -> sql.SQL:
    return sql.SQL(statement)  # PostgreSQL itself has quoted all names in it


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _literal(value: str) -> str:
    return sql.Literal(value).as_string(None)
