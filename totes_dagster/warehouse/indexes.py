"""The index of each fact that finds the newest version of a row: dropped before a bulk load, and built after it.

Building it takes half of the time that it takes to keep it while rows arrive. Primary keys stay: others may rely on
them, and only a lock that keeps readers out can bring one back.
"""

import logging

from psycopg import sql
from sqlalchemy import Table

from totes_dagster.schema.registry import FACTS
from totes_dagster.schema.star import natural_key_of, newest_index_of, version_order_of
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.queries import newest_first

logger = logging.getLogger(__name__)


def droppable_indexes(transaction: LoadTransaction, facts: list[Table]) -> list[Table]:
    """The facts among these whose index can be dropped and built again without losing anything of anybody's.

    The index is exactly as the platform creates it, on a plain table, nothing depends on it, and the user may create it
    again.
    """
    rows = transaction.fetch_all(
        sql.SQL(
            """
            select number
            from unnest({facts}::text[], {names}::text[], {columns}::text[])
                with ordinality as declared (fact, name, columns, number)
            join pg_class as fact_table on fact_table.oid = format('%I.%I', {schema}, fact)::regclass
            join pg_index on indrelid = fact_table.oid
            join pg_class as index on index.oid = indexrelid and index.relname = name
            where pg_get_indexdef(indexrelid) = format(
                    'CREATE INDEX %I ON %I.%I USING btree (%s)', name, {schema}, fact, columns)
              and indisvalid and not indisclustered and not indisreplident
              and index.reltablespace = 0 and current_setting('default_tablespace') = ''
              and obj_description(indexrelid, 'pg_class') is null
              and fact_table.relkind = 'r' and not fact_table.relispartition
              and not exists (select from pg_inherits where fact_table.oid in (inhrelid, inhparent))
              and not exists (
                select from pg_depend
                where refclassid = 'pg_class'::regclass and refobjid = indexrelid
                   or classid = 'pg_class'::regclass and objid = indexrelid and deptype not in ('a', 'n'))
              and has_schema_privilege(fact_table.relnamespace, 'create')
            """
        ).format(schema=sql.Literal(transaction.schema), **_literals(facts))
    )
    return [facts[number - 1] for (number,) in rows]


def drop_index(transaction: LoadTransaction, fact: Table) -> None:
    """Drop the index of a fact, which locks out readers until the transaction ends."""
    transaction.execute(sql.SQL("drop index {}").format(sql.Identifier(transaction.schema, newest_index_of(fact))))


def build_missing_indexes(transaction: LoadTransaction) -> None:
    """Build the index of every fact that lacks it. Readers are not locked out.

    An index on the same columns serves, whatever its name. A name that something else has taken is left to it.
    """
    facts = list(FACTS.values())
    rows = transaction.fetch_all(
        sql.SQL(
            """
            select number
            from unnest({facts}::text[], {names}::text[], {columns}::text[])
                with ordinality as declared (fact, name, columns, number)
            where to_regclass(format('%I.%I', {schema}, name)) is null
              and not exists (
                select from pg_index
                where indrelid = format('%I.%I', {schema}, fact)::regclass and indisvalid and indpred is null
                  and substring(pg_get_indexdef(indexrelid) from ' USING btree [(]([^)]*)[)]') = columns)
            order by number
            """
        ).format(schema=sql.Literal(transaction.schema), **_literals(facts))
    )
    for (number,) in rows:
        fact = facts[number - 1]
        transaction.execute(
            sql.SQL("create index {} on {} ({}, {})").format(
                sql.Identifier(newest_index_of(fact)),
                transaction.name_of(fact),
                sql.Identifier(natural_key_of(fact)),
                newest_first(fact),
            )
        )
        logger.info("Built the index %s.", newest_index_of(fact))


def _literals(facts: list[Table]) -> dict[str, sql.Literal]:
    """For each fact: its name, and that of its index, and the index's columns as PostgreSQL writes them."""
    descending = {fact: [f"{column} DESC" for column in version_order_of(fact)] for fact in facts}
    return {
        "facts": sql.Literal([fact.name for fact in facts]),
        "names": sql.Literal([newest_index_of(fact) for fact in facts]),
        "columns": sql.Literal([", ".join([natural_key_of(fact), *descending[fact]]) for fact in facts]),
    }
