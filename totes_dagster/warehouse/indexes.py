"""The primary keys of facts, and their indexes that find a row's newest version: dropped for a bulk load, built after.

Building an index takes half of the time that it takes to keep it while rows arrive.
"""

import logging
from dataclasses import dataclass

from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Table

from totes_dagster.postgres.lock_waits import SHORT_WAIT
from totes_dagster.schema.registry import FACTS
from totes_dagster.schema.star import (
    natural_key_of,
    newest_index_of,
    primary_key_of,
    record_id_of,
    version_order_of,
)
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.queries import newest_first

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeclaredIndex:
    """A declared index of a fact.

    Attributes:
        columns: what is indexed, as PostgreSQL writes it.
        is_primary_key: whether it belongs to the primary key.
    """

    fact: Table
    name: str
    columns: str
    is_primary_key: bool


def declared_indexes(facts: list[Table]) -> list[DeclaredIndex]:
    """The declared indexes of facts, the primary keys' included."""
    declared = []
    for fact in facts:
        newest = [natural_key_of(fact), *(f"{column} DESC" for column in version_order_of(fact))]
        declared.append(DeclaredIndex(fact, newest_index_of(fact), ", ".join(newest), is_primary_key=False))
        declared.append(DeclaredIndex(fact, primary_key_of(fact), record_id_of(fact), is_primary_key=True))
    return declared


def droppable_indexes(transaction: LoadTransaction, facts: list[Table]) -> list[DeclaredIndex]:
    """The indexes of these facts that can be dropped and built again without losing or breaking anything.

    Such an index is exactly as the platform creates it, on a plain table, and the user may create it again. Nothing
    depends on it, such as a foreign key of another table, a view that groups by the primary key, or the replication of
    the table's changes.
    """
    declared = declared_indexes(facts)
    rows = transaction.fetch_all(
        sql.SQL(
            """
            select number
            from {declared}
            join pg_class as fact_table on fact_table.oid = format('%I.%I', {schema}, fact)::regclass
            join pg_index on indrelid = fact_table.oid
            join pg_class as index on index.oid = indexrelid and index.relname = name
            left join pg_constraint as key on conindid = indexrelid and contype = 'p' and conrelid = fact_table.oid
            where pg_get_indexdef(indexrelid) = format(
                    'CREATE %sINDEX %I ON %I.%I USING btree (%s)',
                    case when is_key then 'UNIQUE ' else '' end, name, {schema}, fact, columns)
              and indisvalid and not indisclustered and not indisreplident
              and index.reltablespace = 0 and current_setting('default_tablespace') = ''
              and obj_description(indexrelid, 'pg_class') is null
              and fact_table.relkind = 'r' and not fact_table.relispartition
              and not exists (select from pg_inherits where fact_table.oid in (inhrelid, inhparent))
              and not exists (
                select from pg_depend
                where refclassid = 'pg_class'::regclass and refobjid = indexrelid
                   or classid = 'pg_class'::regclass and objid = indexrelid and deptype not in ('a', 'i', 'n'))
              and has_schema_privilege(fact_table.relnamespace, 'create')
              and indisprimary = is_key
              and (not is_key or conname = name and not condeferrable
                and obj_description(key.oid, 'pg_constraint') is null
                and not exists (
                    select from pg_depend
                    where refclassid = 'pg_constraint'::regclass and refobjid = key.oid and deptype <> 'i')
                and not exists (
                    select from pg_publication_tables where schemaname = {schema} and tablename = fact))
            order by number
            """
        ).format(declared=_unnested(declared), schema=sql.Literal(transaction.schema))
    )
    return [declared[number - 1] for (number,) in rows]


def drop_index(transaction: LoadTransaction, index: DeclaredIndex) -> None:
    """Drop an index, or the primary key that it belongs to, which locks out readers until the transaction ends."""
    if index.is_primary_key:
        statement = sql.SQL("alter table {} drop constraint {}").format(
            transaction.name_of(index.fact), sql.Identifier(index.name)
        )
    else:
        statement = sql.SQL("drop index {}").format(sql.Identifier(transaction.schema, index.name))
    transaction.execute(statement)


def build_unique_indexes(transaction: LoadTransaction, facts: list[Table]) -> None:
    """Build the indexes of the primary keys that facts lack; see `missing_indexes`.

    They are unique indexes until `make_primary_keys`.
    """
    for index in missing_indexes(transaction, [index for index in declared_indexes(facts) if index.is_primary_key]):
        build_index(transaction, index)


def missing_newest_indexes(transaction: LoadTransaction) -> list[DeclaredIndex]:
    """The indexes of newest versions that facts lack; see `missing_indexes`."""
    declared = declared_indexes([*FACTS.values()])
    return missing_indexes(transaction, [index for index in declared if not index.is_primary_key])


def missing_indexes(transaction: LoadTransaction, declared: list[DeclaredIndex]) -> list[DeclaredIndex]:
    """Those of some declared indexes that facts lack.

    An index on the same columns serves, whatever its name. A name that something else has taken is left to it.
    """
    rows = transaction.fetch_all(
        sql.SQL(
            """
            select number from {declared}
            where to_regclass(format('%I.%I', {schema}, name)) is null
              and not exists (
                select from pg_index
                where indrelid = format('%I.%I', {schema}, fact)::regclass
                  and (is_key and indisprimary or indisvalid and indpred is null
                    and indisunique = is_key
                    and substring(pg_get_indexdef(indexrelid) from ' USING btree [(]([^)]*)[)]') = columns))
            order by number
            """
        ).format(declared=_unnested(declared), schema=sql.Literal(transaction.schema))
    )
    return [declared[number - 1] for (number,) in rows]


def make_primary_keys(transaction: LoadTransaction) -> None:
    """Turn the unique indexes that were built for primary keys into these; the last step of a load.

    This locks readers out until the commit, so it does not wait long for the present ones. If they take longer, the
    index remains what it is, which keeps the rows as unique, and the next load tries again.
    """
    declared = [index for index in declared_indexes([*FACTS.values()]) if index.is_primary_key]
    rows = transaction.fetch_all(
        sql.SQL(
            """
            select number from {declared}
            join pg_index on indrelid = format('%I.%I', {schema}, fact)::regclass
            join pg_class as index on index.oid = indexrelid and index.relname = name
            where not indisprimary and pg_get_indexdef(indexrelid) = format(
                    'CREATE UNIQUE INDEX %I ON %I.%I USING btree (%s)', name, {schema}, fact, columns)
              and not exists (select from pg_index as other where other.indrelid = pg_index.indrelid and indisprimary)
            order by number
            """
        ).format(declared=_unnested(declared), schema=sql.Literal(transaction.schema))
    )
    if not rows:
        return
    try:
        with transaction.savepoint():
            transaction.wait_for_locks(SHORT_WAIT)
            for (number,) in rows:
                index = declared[number - 1]
                transaction.execute(
                    sql.SQL("alter table {} add constraint {name} primary key using index {name}").format(
                        transaction.name_of(index.fact), name=sql.Identifier(index.name)
                    )
                )
    except (LockNotAvailable, DeadlockDetected):
        logger.info("Another session is using the facts; the next load makes their unique indexes primary keys.")


def build_index(transaction: LoadTransaction, index: DeclaredIndex) -> None:
    """Build an index, without locking readers out."""
    if index.is_primary_key:
        kind, columns = sql.SQL("unique index"), sql.SQL("{}").format(sql.Identifier(record_id_of(index.fact)))
    else:
        kind = sql.SQL("index")
        columns = sql.SQL("{}, {}").format(sql.Identifier(natural_key_of(index.fact)), newest_first(index.fact))
    transaction.execute(
        sql.SQL("create {} {} on {} ({})").format(
            kind, sql.Identifier(index.name), transaction.name_of(index.fact), columns
        )
    )
    logger.info("Built the index %s.", index.name)


def _unnested(declared: list[DeclaredIndex]) -> sql.Composed:
    """The declaration as rows that a query can join."""
    return sql.SQL(
        "unnest({}::text[], {}::text[], {}::text[], {}::boolean[]) "
        "with ordinality as declared (fact, name, columns, is_key, number)"
    ).format(
        sql.Literal([index.fact.name for index in declared]),
        sql.Literal([index.name for index in declared]),
        sql.Literal([index.columns for index in declared]),
        sql.Literal([index.is_primary_key for index in declared]),
    )
