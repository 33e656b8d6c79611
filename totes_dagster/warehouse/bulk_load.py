"""Sets aside what makes a bulk load slow, and restores it: foreign keys, and primary keys and indexes of empty facts.

What others altered stays. So does everything that others put on the tables.
"""

import logging
from enum import Enum

from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import Table

from totes_dagster.postgres.lock_waits import (
    LONG_WAIT,
    SHORT_WAIT,
    WAIT_UNTIL_AUTOVACUUM_GIVES_WAY,
    lock_against_vacuum,
)
from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse.foreign_keys import add_missing_foreign_keys, drop_foreign_key, droppable_foreign_keys
from totes_dagster.warehouse.indexes import build_missing_indexes, drop_index, droppable_indexes, make_primary_keys
from totes_dagster.warehouse.load_transaction import LoadTransaction

logger = logging.getLogger(__name__)

MANY_ROWS = 10_000
_ROW_CHECK_COST = 32
"""The cost of checking one arriving row, in rows checked when a foreign key is added."""


def pays_off(incoming: int, present: int) -> bool:
    """Whether dropping and adding the foreign keys is cheaper for this many incoming rows, into this many present."""
    return incoming >= MANY_ROWS and incoming * _ROW_CHECK_COST > present


class SetAside(Enum):
    """The outcome of an attempt to set something aside."""

    NOTHING = "nothing, because it does not pay"
    SOMETHING = "something; commit now"
    BUSY = "nothing, because another session holds a lock; roll back"


def set_aside_where_it_pays(transaction: LoadTransaction, incoming: dict[str, int]) -> SetAside:
    """Drop the foreign keys of facts that receive so many rows that it is cheaper, and the indexes of the empty ones.

    Only what is exactly as the platform creates it is dropped, so that `restore` loses nothing.

    The drop waits for the tables' current readers, and new readers queue behind it. So it gives up soon. Before that,
    it waits, in nobody's way, until autovacuum has left the tables.

    Args:
        transaction: one in which nothing has been done yet.
        incoming: the number of rows that each fact will receive, by fact.
    """
    facts = [FACTS[name] for name, rows in incoming.items() if pays_off(rows, transaction.estimated_rows(FACTS[name]))]
    if not facts:
        return SetAside.NOTHING
    foreign_keys = droppable_foreign_keys(transaction, facts)
    indexes = droppable_indexes(transaction, [fact for fact in facts if transaction.is_empty(fact)])
    if not foreign_keys and not indexes:
        return SetAside.NOTHING
    tables = {table.name: table for key in foreign_keys for table in (key.fact, key.dimension)}
    tables |= {index.fact.name: index.fact for index in indexes}
    patiently: sql.SQL = WAIT_UNTIL_AUTOVACUUM_GIVES_WAY
    lock: sql.Composed = lock_against_vacuum(transaction.name_of(tables[name]) for name in sorted(tables))
    try:
        transaction.fetch(patiently)
        transaction.execute(lock)
        transaction.wait_for_locks(SHORT_WAIT)
        for key in foreign_keys:
            drop_foreign_key(transaction, key)
        for index in indexes:
            drop_index(transaction, index)
    except LockNotAvailable:
        logger.info("Another session is using the facts; their foreign keys and indexes stay, which takes longer.")
        return SetAside.BUSY
    transaction.wait_for_locks(LONG_WAIT)
    return SetAside.SOMETHING


def restore(transaction: LoadTransaction, *, filled: list[Table]) -> None:
    """Build every declared index, and add every declared foreign key, that a fact lacks: the last step of a load.

    Readers are locked out for the last moment, and only if a primary key was set aside.

    Args:
        transaction: the load.
        filled: the facts that were empty before; others are not given a primary key that they lack.
    """
    build_missing_indexes(transaction, keyed=filled)
    add_missing_foreign_keys(transaction)
    make_primary_keys(transaction)
