"""The publication, and the definitions of the tables: what they must be so that the log has every change."""

from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.ingest.catalogue import qualified
from totes_dagster.lake.source_catalogue import Catalogue
from totes_dagster.schema.totesys import PUBLICATION

_FILTERS_SINCE = 150000
"""The version that lets a publication filter rows, and name whole schemas."""


def unpublished(connection: psycopg.Connection[Any], catalogue: Catalogue, tables: list[str]) -> str:
    """Why the publication does not tell every change of these tables; empty if it does."""
    unfit = connection.execute(
        sql.SQL(
            """
            select relname::text from pg_class as c
            where c.oid = any ({}::regclass[])
              and not (relkind = 'r' and relreplident in ('d', 'f')
                       and exists (select from pg_index where indrelid = c.oid and indisprimary and indimmediate))
            order by relname
            """
        ).format(sql.Literal([qualified(catalogue, name).as_string(None) for name in tables]))
    ).fetchall()
    if unfit:
        names = ", ".join(name for (name,) in unfit)
        return (
            f"Changes of {names} cannot be told by a primary key: it needs one, and replica identity default or full."
        )
    filters = sql.SQL("rowfilter is null" if connection.info.server_version >= _FILTERS_SINCE else "true")
    found = connection.execute(
        sql.SQL(
            "select pubinsert and pubupdate and pubdelete and pubtruncate from pg_publication where pubname = {}"
        ).format(sql.Literal(PUBLICATION))
    ).fetchall()
    if not found:
        return f"There is no publication {PUBLICATION} in the source."
    if found != [(True,)]:
        return f"The publication {PUBLICATION} does not publish inserts, updates, deletes and truncates."
    if (
        connection.info.server_version >= _FILTERS_SINCE
        and connection.execute(
            sql.SQL(
                "select from pg_publication_namespace join pg_publication as p on p.oid = pnpubid where pubname = {}"
            ).format(sql.Literal(PUBLICATION))
        ).fetchall()
    ):
        return f"The publication {PUBLICATION} names whole schemas, and not the tables."
    whole = {
        (namespace, name)
        for namespace, name in connection.execute(
            sql.SQL("select schemaname, tablename from pg_publication_tables where pubname = {} and {}").format(
                sql.Literal(PUBLICATION), filters
            )
        )
    }
    missing = [name for name in tables if (catalogue.tables[name].namespace, name) not in whole]
    if missing:
        return f"The publication {PUBLICATION} lacks {', '.join(missing)}, or some of its rows."
    return ""


def definitions_statement(catalogue: Catalogue, tables: list[str]) -> sql.Composed:
    """SQL for a digest of what would change how the log reads, were it changed in between, and changed back.

    Of each table: its OID, its files, which a rewrite replaces, its columns with their numbers and types, and its
    replica identity; of the publication, the version of its catalogue row, and its tables, which are listed anew when
    they change.
    """
    return sql.SQL(
        """
        select md5(concat_ws(';',
            (select string_agg(concat_ws(',', c.oid, pg_relation_filenode(c.oid), c.relreplident,
                    (select string_agg(concat_ws(':', attnum, attname, atttypid, atttypmod, attisdropped), ' '
                                       order by attnum)
                     from pg_attribute where attrelid = c.oid and attnum > 0)), ';' order by c.oid)
             from pg_class as c where c.oid = any ({tables}::regclass[])),
            (select concat_ws(',', oid, xmin) from pg_publication where pubname = {name}),
            (select string_agg(r.oid::text, ';' order by r.oid)
             from pg_publication_rel as r join pg_publication as p on p.oid = r.prpubid where p.pubname = {name})))
        """
    ).format(
        tables=sql.Literal([qualified(catalogue, name).as_string(None) for name in tables]),
        name=sql.Literal(PUBLICATION),
    )
