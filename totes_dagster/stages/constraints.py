"""The foreign keys of the facts, out of the way of a bulk load and back.

PostgreSQL checks a foreign key row by row as rows come in, but set by set when the constraint is added: for a million
rows with nine references that is half a minute against one second.
"""

import logging
from enum import Enum

from adbc_driver_manager import dbapi as adbc_errors
from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import Table
from sqlalchemy.schema import AddConstraint

from totes_dagster.schema import warehouse
from totes_dagster.schema.sql import ddl
from totes_dagster.stages.warehouse import LoadTransaction

logger = logging.getLogger(__name__)

_LOCK_TIMEOUT = "200ms"

_MANY_ROWS = 10_000
_ROW_CHECK_COST = 32
"""What one row-wise check costs, in rows of a set-wise check."""


def pays_off(incoming: int, present: int) -> bool:
    """Whether checking the references set by set is cheaper for this many incoming rows."""
    return incoming >= _MANY_ROWS and incoming * _ROW_CHECK_COST > present


class Dropped(Enum):
    """What came of an attempt to drop foreign keys."""

    NONE = "none, for it does not pay"
    SOME = "some; commit now"
    BUSY = "none, for readers were in the way; roll back"


def drop_foreign_keys_where_it_pays(transaction: LoadTransaction, incoming: dict[str, int]) -> Dropped:
    """Drop the foreign keys of facts into which so many rows come that adding them back is cheaper.

    Dropping waits for those who are reading the tables, and whoever comes after waits behind it. So it gives up soon.

    Args:
        transaction: one in which nothing was done yet.
        incoming: rows to come, by fact.
    """
    dropped = Dropped.NONE
    transaction.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
    for name, rows in incoming.items():
        fact = warehouse.FACTS[name]
        if not pays_off(rows, transaction.estimated_rows(fact)):
            continue
        for constraint in foreign_keys_of(transaction, fact):
            try:
                transaction.execute(
                    sql.SQL("alter table {} drop constraint {}").format(
                        sql.Identifier(name), sql.Identifier(constraint)
                    )
                )
            except adbc_errors.Error as error:
                if error.sqlstate != LockNotAvailable.sqlstate:
                    raise
                logger.info("Readers keep %s busy; its foreign keys stay, and are checked row by row.", name)
                return Dropped.BUSY
            dropped = Dropped.SOME
    transaction.execute("set local lock_timeout = default")
    return dropped


def add_missing_foreign_keys(transaction: LoadTransaction) -> None:
    """Add every declared foreign key of a fact that is not there. Readers are not locked out by it."""
    for fact in warehouse.FACTS.values():
        present = set(foreign_keys_of(transaction, fact).values())
        for constraint in fact.foreign_key_constraints:
            if constraint.column_keys[0] not in present:
                transaction.execute(ddl(AddConstraint(constraint, isolate_from_table=False)))


def foreign_keys_of(transaction: LoadTransaction, fact: Table) -> dict[str, str]:
    """Names of a fact's foreign keys, each with the column that it is on."""
    names, columns = transaction.fetch(
        sql.SQL(
            """
            select coalesce(array_agg(conname::text), '{{}}'), coalesce(array_agg(attname::text), '{{}}')
            from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
            where conrelid = {fact}::regclass and contype = 'f'
            """
        ).format(fact=sql.Literal(f'"{fact.name}"'))
    )
    return dict(zip(names, columns, strict=True))
