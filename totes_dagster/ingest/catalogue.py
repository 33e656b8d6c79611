"""Reading the source's catalogue: which tables exist, and everything that determines what a query of one returns.

`xmin` says which transaction wrote a row's bytes, not how a query presents them. Dropping a column and adding it again,
attaching a partition, or changing the expression of a virtual generated column all change rows without writing them.
So each table has a digest of its definition, and a table whose definition changed is captured whole.
"""

from itertools import groupby
from operator import itemgetter

import psycopg
from psycopg import sql

from totes_dagster.lake.source_catalogue import Catalogue, SourceColumn, SourceTable
from totes_dagster.schema.totesys import SOURCE_TABLES, metadata

_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
}

_OBSTACLES = {
    "right": "the platform's user may not read it",
    "policy": "row-level security may hide rows of it from the platform's user, who needs BYPASSRLS",
    "unlogged": "it is unlogged, and the source is a standby, which has no rows of it",
    "foreign": "part of it is a foreign table, whose row versions cannot be seen",
}
"""Why the platform cannot read a table, or not all of its rows."""

_TABLES = """
with recursive
    path as (select nspname, number from unnest(%(path)s::text[]) with ordinality as listed(nspname, number)),
    named as (
        -- A name that is in several schemas means the table in the first of them.
        select distinct on (relname) pg_class.oid, nspname, relname, relkind, relhassubclass
        from path join pg_namespace using (nspname) join pg_class on relnamespace = pg_namespace.oid
        where relkind in ('r', 'p', 'f', 'v', 'm') order by relname, number),
    -- The declared tables, and the undeclared ones in the same schemas.
    chosen as (
        select * from named
        where relname = any (%(declared)s)
              or %(undeclared)s and relkind in ('r', 'p') and relname <> all (%(ignored)s)
                 and oid not in (select inhrelid from pg_inherits join pg_class on pg_class.oid = inhparent
                                 where pg_class.relkind = 'p')
                 and nspname in (select nspname from named where relname = any (%(declared)s))),
    -- Each table with its partitions and the tables that inherit from it, which a query of it reads too.
    tree(root, oid, pending) as (
        select oid, oid, null from chosen
        union all
        select root, inhrelid, to_jsonb(pg_inherits) ->> 'inhdetachpending'
        from tree join pg_inherits on inhparent = oid),
    domains(oid, base, typmod) as (
        select oid, typbasetype, typtypmod from pg_type where typtype = 'd'
        union all
        select domains.oid, typbasetype, typtypmod from domains join pg_type on pg_type.oid = base and typtype = 'd'),
    definitions as (
        select root,
               hashtextextended(
                   string_agg(
                       format('%%s %%s %%s %%s %%s %%s %%L %%s %%L %%L %%L', nullif(tree.oid, root), pending, attnum,
                              attname, atttypid, atttypmod, attmissingval::text, attgenerated,
                              case when attgenerated <> '' then pg_get_expr(adbin, adrelid) end,
                              (select string_agg(quote_literal(enumlabel), ',' order by enumsortorder) from pg_enum
                               where enumtypid in (atttypid, typelem, typbasetype)),
                              -- Attributes, if the type is composite or based on a composite type; most are not.
                              case when typtype in ('c', 'd') or typelem <> 0 then
                                  (select string_agg(format('%%s %%s %%s', part.attnum, part.attname, part.atttypid),
                                                     ',' order by part.attnum)
                                   from pg_attribute as part join pg_type as whole on whole.typrelid = part.attrelid
                                   where whole.oid in (atttypid, pg_type.typelem, pg_type.typbasetype)
                                         and part.attnum > 0 and not part.attisdropped) end),
                       ';' order by tree.oid, attnum),
                   0) as digest
        from tree join pg_attribute on attrelid = tree.oid and attnum > 0 and not attisdropped
             join pg_type on pg_type.oid = atttypid
             left join pg_attrdef on adrelid = attrelid and adnum = attnum
        group by root),
    parts as (
        select root, bool_or(relkind = 'f') as foreign_parts, bool_or(relpersistence = 'u') as unlogged
        from tree join pg_class using (oid) group by root)
select relname, nspname, relkind, relhassubclass and relkind = 'r', coalesce(definitions.digest, 0),
       case when not has_table_privilege(chosen.oid, 'select') then 'right'
            when relkind in ('r', 'p') and row_security_active(chosen.oid) then 'policy'
            when unlogged and pg_is_in_recovery() then 'unlogged'
            when foreign_parts then 'foreign' end,
       array(select keyed.attname::text from pg_constraint join pg_attribute as keyed on attrelid = conrelid
             where conrelid = chosen.oid and contype = 'p' and keyed.attnum = any (conkey)),
       pg_attribute.attname, format_type(coalesce(base, atttypid), null),
       format_type(coalesce(base, atttypid), case when base is null then atttypmod else typmod end), not attnotnull,
       array(select enumlabel::text from pg_enum where enumtypid = coalesce(base, atttypid) order by enumsortorder)
from chosen join parts on parts.root = chosen.oid left join definitions on definitions.root = chosen.oid
     left join pg_attribute on attrelid = chosen.oid and attnum > 0 and not attisdropped
     left join domains on domains.oid = atttypid and base not in (select oid from pg_type where typtype = 'd')
order by relname, attnum
"""


def search_path_of(connection: psycopg.Connection) -> list[str]:
    """The schemas in the user's own search path, read in a transaction that has the platform's search path.

    The schema of temporary tables is left out: in a pooled session they may belong to another client.
    """
    connection.execute("set local search_path to default")
    ((schemas,),) = connection.execute("select pg_catalog.current_schemas(false)").fetchall()
    connection.execute("set local search_path to pg_catalog, pg_temp")
    return [name for name in schemas if not name.startswith("pg_")]


def catalogue_of(connection: psycopg.Connection, search_path: list[str], *, undeclared: bool) -> Catalogue:
    """The declared tables that exist in the source, as they are there.

    Args:
        connection: in a transaction of `postgres.transactions`.
        search_path: see `search_path_of`.
        undeclared: whether to include undeclared tables in the same schemas, except for the source application's own
            bookkeeping.
    """
    rows = connection.execute(
        _TABLES,
        {
            "path": search_path,
            "declared": list(SOURCE_TABLES),
            "ignored": [name for name in metadata.tables if name not in SOURCE_TABLES],
            "undeclared": undeclared,
        },
    ).fetchall()
    tables: dict[str, SourceTable] = {}
    for name, in_order in groupby(rows, itemgetter(0)):
        (_, namespace, kind, inherited, definition, obstacle, key, *_), *_ = columns = list(in_order)
        tables[name] = SourceTable(
            namespace=namespace,
            kind=_KINDS[kind],
            columns=tuple(
                SourceColumn(name=column, type=type_, full_type=full, nullable=nullable, labels=tuple(labels))
                for *_, column, type_, full, nullable, labels in columns
                if column is not None
            ),
            key=tuple(key),
            inherited=inherited,
            definition=str(definition),
            obstacle=_OBSTACLES.get(obstacle, ""),
        )
    return Catalogue(tables=tables)


def qualified(catalogue: Catalogue, table: str) -> sql.Identifier:
    """A table's name with its schema. Without it, the name might mean another client's temporary table."""
    return sql.Identifier(catalogue.tables[table].namespace, table)


def is_as_in_snapshot(catalogue: Catalogue, table: str) -> sql.Composed:
    """SQL that checks whether a table, once it is locked, still has the rows that a snapshot shows of it.

    A table that was rewritten after the snapshot was taken looks empty in it. Its file node then differs from the one
    in the snapshot's catalogue.
    """
    return sql.SQL(
        """
        with recursive tree(oid) as (
            select {}::regclass::oid union all select inhrelid from tree join pg_inherits on inhparent = oid)
        select coalesce(bool_and(pg_relation_filenode(oid) is not distinct from nullif(relfilenode, 0)), false)
        from tree join pg_class using (oid)
        """
    ).format(sql.Literal(qualified(catalogue, table).as_string(None)))


def as_text(column: SourceColumn) -> sql.Composed:
    """A value as PostgreSQL writes it.

    A type that is not built in may have a cast to text that its owner defined, which could run any code as the
    platform's user. Such a cast is not used.
    """
    name = sql.Identifier(column.name)
    if "." in column.type:  # format_type gives the schema of types that are not built in
        return sql.SQL("case when num_nulls({0}) = 0 then format('%s', {0}) end").format(name)
    return sql.SQL("{}::text").format(name)
