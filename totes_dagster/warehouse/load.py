"""Loads batches of the processed zone into the warehouse, in order, each in one transaction.

Decides which steps a batch needs; the SQL of each step is in `load_transaction.py`.
"""

import logging
from collections.abc import Iterator

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import ForeignLakeError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Lake
from totes_dagster.postgres.database import NamedConnection
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import FACTS, driving_table_of
from totes_dagster.warehouse.batch_load import BatchLoad, LoadedBatch
from totes_dagster.warehouse.bulk_load import SetAside, restore, set_aside_where_it_pays
from totes_dagster.warehouse.load_transaction import LoadedTable, LoadTransaction
from totes_dagster.warehouse.queries import NewestLoad

logger = logging.getLogger(__name__)


def load_batches(warehouse: Warehouse, lake: Lake, progress: Progress = silent) -> Iterator[LoadedBatch]:
    """Load every batch that the warehouse has not loaded yet; yield what each load did, after its commit.

    Args:
        warehouse: the warehouse, already migrated.
        lake: manifests and live keys are read from its ingestion zone, star-schema parts from its processed zone. Parts
            that are missing there are computed and written.
        progress: called with the number of rows as they are computed, and as they are staged.

    Raises:
        PartError: a part of a batch is damaged, or missing and cannot be computed.
        RowsUnaccountedError, RowsRepeatedError: rows of a batch were lost or doubled on the way; that batch is not
            loaded.
        ForeignLakeError: the warehouse holds batches of another lake.
        DatabaseError: the warehouse refuses a statement, or the connection is lost. That batch is not loaded; earlier
            ones are.
    """
    log = BatchLog(lake.ingestion)
    with warehouse.database.connect() as connection:
        while loaded := _load_next(warehouse, connection, log, lake, progress):
            logger.info("Loaded batch %d: %s.", loaded.batch, _summary(loaded))
            yield loaded


def _summary(loaded: LoadedBatch) -> str:
    total = sum(loaded.tables.values(), LoadedTable())
    counts = ("new", "changed", "unchanged", "deleted", "quarantined", "placeholders")
    return ", ".join(f"{total.counts()[name]:,} {name}" for name in counts)


def _load_next(
    warehouse: Warehouse, connection: NamedConnection, log: BatchLog, lake: Lake, progress: Progress
) -> LoadedBatch | None:
    """Load the oldest batch that is not loaded yet; return None if there is none."""
    may_set_aside = True
    while True:
        with LoadTransaction.begin(connection, warehouse) as transaction:
            # Read under the lock: another load may have committed in the meantime.
            newest = transaction.newest_load()
            if not is_in_lake(newest, log):
                raise ForeignLakeError(
                    f"The warehouse has loaded batch {newest.batch} of another lake, not of {lake.ingestion.url}. "
                    "Check TOTES_INGESTION_LAKE and WAREHOUSE_URL; to replace the warehouse's contents with this "
                    "lake's, run totes rebuild --from-another-lake."
                )
            following = newest.batch + 1
            if not log.has(following):
                return None
            manifest = log.manifest(following)
            if may_set_aside:
                outcome = set_aside_where_it_pays(transaction, rows_of_facts(manifest))
                may_set_aside = False
                if outcome is SetAside.SOMETHING:
                    # Dropping locks readers out, so it is committed before the load begins. If this load fails, the
                    # next one restores what is missing.
                    transaction.commit()
                if outcome is not SetAside.NOTHING:
                    continue
            load = BatchLoad(transaction, manifest, lake, progress)
            loaded = load.run(log.digest(following))
            restore(transaction, filled=load.filled)
            transaction.commit()
            return loaded


def is_in_lake(newest: NewestLoad, log: BatchLog) -> bool:
    """Whether the newest loaded batch came from this lake; true before the first load."""
    return not newest.batch or (log.has(newest.batch) and log.digest(newest.batch) == newest.manifest_sha256)


def rows_of_facts(manifest: Manifest) -> dict[str, int]:
    """How many rows a batch brings to each fact."""
    sources = {fact: driving_table_of(fact) for fact in FACTS}
    return {
        fact: manifest.tables[source].rows for fact, source in sources.items() if source and manifest.brings(source)
    }
