"""Rebuilds the warehouse from the lake, in place.

All batches are loaded again in one transaction. Until it commits, readers see the warehouse as it was. The tables are
not re-created, so they keep the views, privileges and comments that users have added.
"""

import logging
from collections import Counter

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import ForeignLakeError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.warehouse.batch_load import load_in_order
from totes_dagster.warehouse.bulk_load import SetAside, complete, restore_constraints, set_aside_where_it_pays
from totes_dagster.warehouse.load import filled_by, is_in_lake, rows_of_facts
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.loaded import LoadedBatch
from totes_dagster.warehouse.shared_staging import Sharing

logger = logging.getLogger(__name__)


def reload_all(sharing: Sharing, head: int, *, from_another_lake: bool = False) -> list[LoadedBatch]:
    """Replace everything that loads have brought with what the lake's batches bring now.

    Facts get their whole history again, with new record ids. Rows that were adopted with the warehouse (batch 0) stay,
    and so do members of dimensions that the lake does not have; all other members get the lake's values.

    Args:
        sharing: the warehouse, already migrated; the lake; and perhaps workers, which stage large batches.
        head: number of the newest batch.
        from_another_lake: whether the warehouse may have been loaded from another lake. What only that lake has is
            lost.

    Returns:
        What was done, batch by batch.

    Raises:
        ForeignLakeError: the warehouse was loaded from another lake.
        RowsUnaccountedError, RowsRepeatedError, PartError, DatabaseError: see `load_batches`. The warehouse is
            unchanged.
    """
    warehouse, lake, progress = sharing.warehouse, sharing.lake, sharing.progress
    log = BatchLog(lake.ingestion)
    batches = range(1, head + 1)
    incoming: Counter[str] = Counter()
    for batch in batches:
        incoming.update(rows_of_facts(log.manifest(batch)))
    with warehouse.database.connect() as connection:
        with LoadTransaction.begin(connection, warehouse) as transaction:
            if not from_another_lake:
                _refuse_another_lake(transaction, log)
            if set_aside_where_it_pays(transaction, incoming) is SetAside.SOMETHING:
                transaction.commit()
        with LoadTransaction.begin(connection, warehouse) as transaction:
            if not from_another_lake:
                _refuse_another_lake(transaction, log)
            transaction.clear()
            committed = ((log.manifest(batch), log.digest(batch)) for batch in batches)
            loaded: list[LoadedBatch] = []
            for done in load_in_order(transaction, committed, lake, progress, alone=head == 1, sharing=sharing):
                loaded.append(done)
                if done.filled and done.batch < head:
                    complete(transaction, filled=filled_by([done]))  # later batches look for the newest versions
            restore_constraints(transaction, filled=filled_by(loaded))
            transaction.commit()
    logger.info("Rebuilt the warehouse from %d batches.", len(loaded))
    return loaded


def complete_rebuilt(warehouse: Warehouse, loaded: list[LoadedBatch]) -> None:
    """Do what comes after the commit of a rebuild, which makes queries fast.

    Raises:
        DatabaseError: the warehouse refuses a statement, or the connection is lost.
    """
    with warehouse.database.connect() as connection, LoadTransaction.begin(connection, warehouse) as transaction:
        if complete(transaction, filled=filled_by(loaded), beside=warehouse):
            transaction.commit()


def _refuse_another_lake(transaction: LoadTransaction, log: BatchLog) -> None:
    newest = transaction.newest_load()
    if not is_in_lake(newest, log):
        raise ForeignLakeError(
            f"The warehouse's schema {transaction.schema} has loaded batch {newest.batch} of another lake, not of "
            f"{log.zone.url}. What only that lake has would be lost. Check TOTES_INGESTION_LAKE and WAREHOUSE_URL; to "
            "rebuild from this lake all the same, run totes rebuild --from-another-lake."
        )
