"""The declared foreign keys of facts: which are there, and which may be dropped and added again.

PostgreSQL checks a foreign key row by row as rows arrive, but in one query when the constraint is added. For a million
rows with nine references, that is half a minute against one second.
"""

import logging
from dataclasses import dataclass

from psycopg import sql
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import ForeignKey, Table

from totes_dagster.schema.registry import FACTS, driving_table_of
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of
from totes_dagster.warehouse.load_transaction import LoadTransaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeclaredForeignKey:
    """A declared foreign key that a fact has, from this column to the key of its dimension.

    Attributes:
        is_as_declared: whether it is exactly what the platform would create, its name included.
    """

    fact: Table
    name: str
    column: str
    dimension: Table
    is_as_declared: bool


def declared_foreign_keys(transaction: LoadTransaction) -> list[DeclaredForeignKey]:
    """The declared foreign keys that the facts have, found by their columns; not those that users added."""
    declared = [(fact, key) for fact in FACTS.values() for key in _declared(fact)]
    rows = transaction.fetch_all(
        sql.SQL(
            """
            select number, conname::text,
                   conname = fact || '_' || name || '_fkey' and convalidated
                   and pg_get_constraintdef(pg_constraint.oid) = format(
                       'FOREIGN KEY (%I) REFERENCES %I.%I(%I)', name, {schema}, dimension, key)
                   and obj_description(pg_constraint.oid, 'pg_constraint') is null
            from unnest({facts}::text[], {columns}::text[], {dimensions}::text[], {keys}::text[])
                with ordinality as declared (fact, name, dimension, key, number)
            join pg_attribute as referring
                on referring.attrelid = format('%I.%I', {schema}, fact)::regclass and referring.attname = name
            join pg_attribute as referred
                on referred.attrelid = format('%I.%I', {schema}, dimension)::regclass and referred.attname = key
            join pg_constraint on contype = 'f' and conrelid = referring.attrelid and conkey = array[referring.attnum]
                and confrelid = referred.attrelid and confkey = array[referred.attnum]
            order by number
            """
        ).format(
            schema=sql.Literal(transaction.schema),
            facts=sql.Literal([fact.name for fact, _ in declared]),
            columns=sql.Literal([key.parent.name for _, key in declared]),
            dimensions=sql.Literal([key.column.table.name for _, key in declared]),
            keys=sql.Literal([key.column.name for _, key in declared]),
        )
    )
    found = []
    for number, name, is_as_declared in rows:
        fact, key = declared[number - 1]
        found.append(DeclaredForeignKey(fact, name, key.parent.name, key.column.table, is_as_declared))
    return found


def droppable_foreign_keys(transaction: LoadTransaction, facts: list[Table]) -> list[DeclaredForeignKey]:
    """The foreign keys of these facts that are exactly as declared, so that adding them again loses nothing.

    Those that users added, and those to which they gave another name, property or comment, stay, and are checked row by
    row.
    """
    droppable = []
    for key in declared_foreign_keys(transaction):
        if key.fact not in facts:
            continue
        if key.is_as_declared:
            droppable.append(key)
        else:
            logger.info("The foreign key %s of %s was altered; it stays.", key.name, key.fact.name)
    return droppable


def drop_foreign_key(transaction: LoadTransaction, key: DeclaredForeignKey) -> None:
    """Drop a foreign key, which locks out readers of both tables until the transaction ends."""
    transaction.execute(
        sql.SQL("alter table {} drop constraint {}").format(transaction.name_of(key.fact), sql.Identifier(key.name))
    )


def add_missing_foreign_keys(transaction: LoadTransaction) -> None:
    """Add every declared foreign key that a fact lacks. Readers are not locked out.

    Raises:
        psycopg.errors.ForeignKeyViolation: a row refers to a member that does not exist.
    """
    present = {(key.fact.name, key.column) for key in declared_foreign_keys(transaction)}
    missing = [key for fact in FACTS.values() for key in _declared(fact) if (fact.name, key.parent.name) not in present]
    for key in missing:
        _add(transaction, key)


def add_foreign_keys_if_valid(transaction: LoadTransaction, fact: Table) -> bool:
    """Add the foreign keys of a fact that has none, unless a row refers to a member that does not exist.

    Returns:
        Whether they were added: all of them, or none.
    """
    try:
        with transaction.savepoint():
            for key in _declared(fact):
                _add(transaction, key)
    except ForeignKeyViolation:
        return False
    return True


def has_foreign_keys(transaction: LoadTransaction, fact: Table) -> bool:
    """Whether a fact has any foreign key, declared or not."""
    (exists,) = transaction.fetch(
        sql.SQL("select exists (select from pg_constraint where contype = 'f' and conrelid = {}::regclass)").format(
            sql.Literal(transaction.name_of(fact).as_string(None))
        )
    )
    return bool(exists)


def _add(transaction: LoadTransaction, key: ForeignKey) -> None:
    # PostgreSQL refuses to alter a table that has deferred checks pending.
    transaction.execute("set constraints all immediate")
    # Members that are as many as the rows are found in half the time by their index, in order, as by a hash table.
    driving = driving_table_of(key.column.table.name)
    are_many = driving is not None and capture_of(SOURCE_TABLES[driving]) is Capture.CHANGES
    if are_many:
        transaction.execute("set local enable_hashjoin to off")
    # Unnamed, it gets the declared name from PostgreSQL, or another one if that is taken.
    transaction.execute(
        sql.SQL("alter table {} add foreign key ({}) references {} ({})").format(
            transaction.name_of(key.parent.table),
            sql.Identifier(key.parent.name),
            transaction.name_of(key.column.table),
            sql.Identifier(key.column.name),
        )
    )
    if are_many:
        transaction.execute("set local enable_hashjoin to default")


def _declared(fact: Table) -> list[ForeignKey]:
    """The declared foreign keys, in the order of their columns."""
    return [element for column in fact.columns for element in column.foreign_keys]
