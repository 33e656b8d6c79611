"""Drops foreign keys of facts before a bulk load, and adds them back after it.

PostgreSQL checks a foreign key row by row as rows arrive, but in one query when the constraint is added. For a million
rows with nine references, that is half a minute against one second.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from adbc_driver_manager import dbapi as adbc_errors
from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import ForeignKey, Table

from totes_dagster.postgres.lock_waits import (
    LONG_WAIT,
    SHORT_WAIT,
    WAIT_UNTIL_AUTOVACUUM_GIVES_WAY,
    lock_against_vacuum,
)
from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse.load_transaction import LoadTransaction

logger = logging.getLogger(__name__)

MANY_ROWS = 10_000
_ROW_CHECK_COST = 32
"""The cost of checking one arriving row, in rows checked when the constraint is added."""


def pays_off(incoming: int, present: int) -> bool:
    """Whether dropping and adding the foreign keys is cheaper for this many incoming rows, into this many present."""
    return incoming >= MANY_ROWS and incoming * _ROW_CHECK_COST > present


class Dropped(Enum):
    """The outcome of an attempt to drop foreign keys."""

    NONE = "none, because it does not pay"
    SOME = "some; commit now"
    BUSY = "none, because another session holds a lock; roll back"


def drop_foreign_keys_where_it_pays(transaction: LoadTransaction, incoming: dict[str, int]) -> Dropped:
    """Drop the foreign keys of facts that receive so many rows that dropping and adding them is cheaper.

    Only foreign keys that are exactly as the platform creates them are dropped, so that re-creating them loses nothing.
    Those that users added, and those to which they gave another name, property or comment, stay, and are checked row by
    row.

    The drop waits for the tables' current readers, and new readers queue behind it. So it gives up soon. Before that,
    it waits, in nobody's way, until autovacuum has left the tables.

    Args:
        transaction: one in which nothing has been done yet.
        incoming: the number of rows that each fact will receive, by fact.
    """
    facts = [FACTS[name] for name, rows in incoming.items() if pays_off(rows, transaction.estimated_rows(FACTS[name]))]
    drop = [(fact, foreign_key) for fact in facts for foreign_key in _droppable(transaction, fact)]
    if not drop:
        return Dropped.NONE
    tables = {table.name: transaction.name_of(table) for fact, key in drop for table in (fact, key.dimension)}
    patiently: sql.SQL = WAIT_UNTIL_AUTOVACUUM_GIVES_WAY
    lock: sql.Composed = lock_against_vacuum(tables[name] for name in sorted(tables))
    try:
        transaction.fetch(patiently)
        transaction.execute(lock)
        transaction.wait_for_locks(SHORT_WAIT)
        for fact, foreign_key in drop:
            transaction.execute(
                sql.SQL("alter table {} drop constraint {}").format(
                    transaction.name_of(fact), sql.Identifier(foreign_key.name)
                )
            )
    except adbc_errors.Error as error:
        if error.sqlstate != LockNotAvailable.sqlstate:
            raise
        logger.info("Another session is using the facts; their foreign keys stay, and are checked row by row.")
        return Dropped.BUSY
    transaction.wait_for_locks(LONG_WAIT)
    return Dropped.SOME


def add_missing_foreign_keys(transaction: LoadTransaction) -> None:
    """Add every declared foreign key that a fact lacks. Readers are not locked out."""
    for fact in FACTS.values():
        present = {foreign_key.column for foreign_key in declared_foreign_keys(transaction, fact)}
        for element in _declared(fact):
            if element.parent.name in present:
                continue
            # PostgreSQL refuses to alter a table that has deferred checks pending.
            transaction.execute("set constraints all immediate")
            # Unnamed, it gets the declared name from PostgreSQL, or another one if that is taken.
            transaction.execute(
                sql.SQL("alter table {} add foreign key ({}) references {} ({})").format(
                    transaction.name_of(fact),
                    sql.Identifier(element.parent.name),
                    transaction.name_of(element.column.table),
                    sql.Identifier(element.column.name),
                )
            )


@dataclass(frozen=True)
class DeclaredForeignKey:
    """A declared foreign key that a fact has, from this column to the key of its dimension.

    Attributes:
        is_as_declared: whether it is exactly what the platform would create, its name included.
    """

    name: str
    column: str
    dimension: Table
    is_as_declared: bool


def declared_foreign_keys(transaction: LoadTransaction, fact: Table) -> list[DeclaredForeignKey]:
    """The declared foreign keys that a fact has, found by their columns; not those that users added."""
    # Sorted: they are a set, and the statement should be the same in every process.
    declared = sorted((key.parent.name, key.column.table.name, key.column.name) for key in fact.foreign_keys)
    columns, dimensions, keys = (list(names) for names in zip(*declared, strict=True))
    found = transaction.fetch(
        sql.SQL(
            """
            select coalesce(array_agg(conname::text), '{{}}'), coalesce(array_agg(declared.name), '{{}}'),
                   coalesce(array_agg(
                       conname = {fact} || '_' || declared.name || '_fkey' and convalidated
                       and pg_get_constraintdef(pg_constraint.oid) = format(
                           'FOREIGN KEY (%I) REFERENCES %I.%I(%I)', declared.name, {schema}, dimension, key)
                       and obj_description(pg_constraint.oid, 'pg_constraint') is null), '{{}}')
            from unnest({columns}::text[], {dimensions}::text[], {keys}::text[]) as declared (name, dimension, key)
            join pg_attribute as referring on referring.attrelid = {quoted}::regclass and referring.attname = name
            join pg_attribute as referred
                on referred.attrelid = format('%I.%I', {schema}, dimension)::regclass and referred.attname = key
            join pg_constraint on contype = 'f' and conrelid = referring.attrelid and conkey = array[referring.attnum]
                and confrelid = referred.attrelid and confkey = array[referred.attnum]
            """
        ).format(
            fact=sql.Literal(fact.name),
            quoted=sql.Literal(transaction.name_of(fact).as_string(None)),
            schema=sql.Literal(transaction.schema),
            columns=sql.Literal(columns),
            dimensions=sql.Literal(dimensions),
            keys=sql.Literal(keys),
        )
    )
    dimension_of = {key.parent.name: key.column.table for key in fact.foreign_keys}
    return [
        DeclaredForeignKey(name, column, dimension_of[column], is_as_declared)
        for name, column, is_as_declared in zip(*found, strict=True)
    ]


def _droppable(transaction: LoadTransaction, fact: Table) -> Iterator[DeclaredForeignKey]:
    """The foreign keys of a fact that are exactly as declared."""
    for foreign_key in declared_foreign_keys(transaction, fact):
        if foreign_key.is_as_declared:
            yield foreign_key
        else:
            logger.info("The foreign key %s of %s was altered; it stays.", foreign_key.name, fact.name)


def has_foreign_keys(transaction: LoadTransaction, fact: Table) -> bool:
    """Whether a fact has any foreign key, declared or not."""
    (exists,) = transaction.fetch(
        "select exists (select from pg_constraint where contype = 'f' and conrelid = $1::text::regclass)",
        transaction.name_of(fact).as_string(None),
    )
    return bool(exists)


def _declared(fact: Table) -> list[ForeignKey]:
    """The declared foreign keys, in the order of their columns."""
    return [element for column in fact.columns for element in column.foreign_keys]
