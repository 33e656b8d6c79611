"""Sets aside what makes a bulk load slow, and restores it: foreign keys, and primary keys and indexes of empty facts.

What others altered stays. So does everything that others put on the tables.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.postgres.lock_waits import (
    LONG_WAIT,
    SHORT_WAIT,
    WAIT_UNTIL_AUTOVACUUM_GIVES_WAY,
    lock_against_vacuum,
)
from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse.foreign_keys import add_missing_foreign_keys, drop_foreign_key, droppable_foreign_keys
from totes_dagster.warehouse.indexes import (
    build_index,
    build_unique_indexes,
    drop_index,
    droppable_indexes,
    make_primary_keys,
    missing_newest_indexes,
)
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

    Only what is exactly as the platform creates it is dropped, so that restoring it loses nothing.

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


def restore_constraints(transaction: LoadTransaction, *, filled: list[Table]) -> None:
    """Add every declared foreign key, and the primary keys, that facts lack: the last step of a load.

    Readers are locked out for the last moment, and only if a primary key was set aside.

    Args:
        transaction: the load.
        filled: the facts that were empty before. Others are not given a primary key that they lack: rows that no load
            has brought may break it.
    """
    build_unique_indexes(transaction, filled)
    add_missing_foreign_keys(transaction)
    make_primary_keys(transaction)


def complete(transaction: LoadTransaction, *, filled: list[Table], beside: Warehouse | None = None) -> bool:
    """Build the indexes of newest versions that facts lack, and update the statistics of those that were filled.

    Nothing depends on either but the speed of queries. So it comes after the commit of a load, unless more is loaded
    before. If it is not reached, the next load builds the indexes.

    Args:
        transaction: it holds the load lock, so that no other load does the same.
        filled: the facts that were empty before.
        beside: the warehouse, to do a part on another connection at the same time, once the rows are committed.

    Returns:
        Whether there is anything to commit.
    """
    missing = {index.fact.name: index for index in missing_newest_indexes(transaction)}
    facts = [fact for fact in FACTS.values() if fact.name in missing or fact in filled]
    if not facts:
        return False

    def complete_each(on: LoadTransaction, those: list[Table]) -> None:
        for fact in those:
            if fact.name in missing:
                build_index(on, missing[fact.name])
            if fact in filled:
                on.analyze(fact)

    def complete_beside(warehouse: Warehouse, those: list[Table]) -> None:
        with warehouse.database.transaction() as connection:
            other = LoadTransaction(connection, warehouse.schema)
            other.wait_for_locks(LONG_WAIT)
            complete_each(other, those)

    if beside is None or len(facts) == 1:
        complete_each(transaction, facts)
        return True
    largest, *others = sorted(facts, key=lambda fact: -transaction.size_of(fact))
    with ThreadPoolExecutor(1) as pool:
        the_others = pool.submit(complete_beside, beside, others)
        complete_each(transaction, [largest])
        the_others.result()
    return True
