"""Rebuilding the warehouse from the lake, in place.

All batches are loaded anew in one transaction. Until it is committed, readers see the warehouse as it was; and the
tables stay the same, with the views, rights and comments that others have put on them.
"""

import logging
from collections import Counter

from totes_dagster.config.platform import Platform
from totes_dagster.errors import ForeignLakeError, ManifestMissingError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import remodel
from totes_dagster.remodel.run import REMODELS
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.runtime.retry import retried
from totes_dagster.warehouse.foreign_keys import Dropped, add_missing_foreign_keys, drop_foreign_keys_where_it_pays
from totes_dagster.warehouse.load import LoadedBatch, is_in_lake, load_batch, rows_of_facts
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.migrations import migrate

logger = logging.getLogger(__name__)


def rebuild(platform: Platform, *, from_another_lake: bool = False, progress: Progress = silent) -> list[LoadedBatch]:
    """Replace all that loads have brought by what the lake's batches bring now.

    Facts get their whole history anew, under new record ids. Rows that were adopted with the warehouse (batch 0) stay.
    So do members of dimensions that the lake does not have; all others get the lake's values.

    Args:
        platform: what to work on; its source is not read.
        from_another_lake: whether the warehouse may have been loaded from another lake than this one. What only that
            one has is lost.
        progress: notified of rows as they move.

    Returns:
        What was done, batch by batch.

    Raises:
        ManifestMissingError: the lake has no batch.
        ForeignLakeError: the warehouse was loaded from another lake.
        TotesError: see `load`. The warehouse is as it was.
    """
    log = BatchLog(platform.ingestion)
    head = log.head()
    if not head:
        raise ManifestMissingError(
            f"There is no batch in {platform.ingestion.url} to rebuild the warehouse from. Check TOTES_INGESTION_LAKE."
        )
    log.see_that_head_is_last(head)
    for star in REMODELS:
        remodel(platform, star, progress)
    retried("Migrate", lambda: migrate(platform.warehouse, platform.schema))
    return retried("Rebuild", lambda: _rebuild(platform, log, head, progress, from_another_lake=from_another_lake))


def _rebuild(
    platform: Platform, log: BatchLog, head: int, progress: Progress, *, from_another_lake: bool
) -> list[LoadedBatch]:
    batches = range(1, head + 1)
    incoming: Counter[str] = Counter()
    for batch in batches:
        incoming.update(rows_of_facts(log.manifest(batch)))
    warehouse, schema = platform.warehouse, platform.schema
    with warehouse.connect_bulk() as connection:
        with LoadTransaction.begin(connection, schema, watched_from=warehouse) as transaction:
            if not from_another_lake:
                _refuse_another_lake(transaction, log, schema)
            if drop_foreign_keys_where_it_pays(transaction, incoming) is Dropped.SOME:
                transaction.commit()
        with LoadTransaction.begin(connection, schema, watched_from=warehouse) as transaction:
            if not from_another_lake:
                _refuse_another_lake(transaction, log, schema)
            transaction.clear()
            loaded = []
            for batch in batches:
                manifest, digest = log.manifest(batch), log.digest(batch)
                loaded.append(
                    load_batch(transaction, manifest, digest, platform.ingestion, platform.processed, progress)
                )
            add_missing_foreign_keys(transaction)
            transaction.commit()
    logger.info("Rebuilt the warehouse from %d batches.", len(loaded))
    return loaded


def _refuse_another_lake(transaction: LoadTransaction, log: BatchLog, schema: str) -> None:
    newest = transaction.newest_load()
    if not is_in_lake(newest, log):
        raise ForeignLakeError(
            f"The warehouse's schema {schema} has loaded batch {newest.batch} of another lake than {log.lake.url}. "
            "What only that lake has would be lost. Check TOTES_INGESTION_LAKE and WAREHOUSE_URL; if it is what you "
            "want, run totes rebuild --from-another-lake."
        )
