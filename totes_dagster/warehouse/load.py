"""Loads batches of the processed zone into the warehouse, in order, each in one transaction, which small ones share.

Decides what a transaction loads; what becomes of a batch is in `batch_load.py`.
"""

import logging
from collections.abc import Iterable, Iterator

from sqlalchemy import Table

from totes_dagster.cluster.spreading import Cluster
from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import ForeignLakeError, TotesError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Lake
from totes_dagster.postgres.database import NamedConnection
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import FACTS, driving_table_of
from totes_dagster.warehouse.batch_load import load_in_order
from totes_dagster.warehouse.bulk_load import SetAside, complete, restore_constraints, set_aside_where_it_pays
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.loaded import LoadedBatch, LoadedTable
from totes_dagster.warehouse.queries import NewestLoad
from totes_dagster.warehouse.shared_staging import Sharing

logger = logging.getLogger(__name__)

SHARING = 50
"""The most batches that share a transaction; readers see them at once."""

FEW_ROWS = 10_000
"""The most rows that batches which share a transaction have together."""


def load_batches(
    warehouse: Warehouse, lake: Lake, progress: Progress = silent, cluster: Cluster | None = None
) -> Iterator[LoadedBatch]:
    """Load every batch that the warehouse has not loaded yet; yield what was done for each, after its commit.

    Args:
        warehouse: the warehouse, already migrated.
        lake: manifests and live keys are read from its ingestion zone, star-schema parts from its processed zone. Parts
            that are missing there are computed and written.
        progress: called with the number of rows as they are computed, and as they are staged.
        cluster: whose workers stage large batches; None if this process does.

    Raises:
        PartError: a part of a batch is damaged, or missing and cannot be computed.
        RowsUnaccountedError, RowsRepeatedError: rows of a batch were lost or doubled on the way; that batch is not
            loaded.
        ForeignLakeError: the warehouse holds batches of another lake.
        DatabaseError: the warehouse refuses a statement, or the connection is lost. That batch is not loaded; earlier
            ones are.
    """
    with warehouse.database.connect() as connection:
        load = _Load(connection, Sharing(warehouse, lake, cluster, progress))
        while loaded := load.next():
            for batch in loaded:
                logger.info("Loaded batch %d: %s.", batch.batch, _summary(batch))
                yield batch


def _summary(loaded: LoadedBatch) -> str:
    total = sum(loaded.tables.values(), LoadedTable())
    counts = ("new", "changed", "unchanged", "deleted", "quarantined", "placeholders")
    return ", ".join(f"{total.counts()[name]:,} {name}" for name in counts)


class _Load:
    """Loads what waits, one transaction after the other."""

    def __init__(self, connection: NamedConnection, sharing: Sharing) -> None:
        self._connection = connection
        self._sharing = sharing
        self._warehouse, self._lake = sharing.warehouse, sharing.lake
        self._log = BatchLog(sharing.lake.ingestion)
        self._most = SHARING
        # Whether the facts may lack something that was set aside, perhaps by an earlier load.
        self._may_lack = True
        # Facts that were empty, and are still to be completed.
        self._filled: list[Table] = []

    def next(self) -> list[LoadedBatch]:
        """Load the oldest batches that are not loaded yet; none if there are none.

        A large batch has a transaction of its own. Small ones share one, unless one of them cannot be loaded: those
        before it are then loaded one by one.
        """
        if self._filled:
            with LoadTransaction.begin(self._connection, self._warehouse) as transaction:
                self._complete(transaction)
        may_set_aside = True
        while True:
            batches: list[int] = []
            try:
                with LoadTransaction.begin(self._connection, self._warehouse) as transaction:
                    batches = self._waiting(transaction)
                    if not batches:
                        if self._may_lack:
                            self._complete(transaction)
                        return []
                    if may_set_aside:
                        may_set_aside = False
                        outcome = set_aside_where_it_pays(transaction, rows_of_facts(self._log.manifest(batches[0])))
                        if outcome is SetAside.SOMETHING:
                            # Dropping locks readers out, so it is committed before the load begins. If this load fails,
                            # the next one restores what is missing.
                            transaction.commit()
                            self._may_lack = True
                        if outcome is not SetAside.NOTHING:
                            continue
                    return self._load(transaction, batches)
            except TotesError as error:
                if len(batches) <= 1 or error.transient:
                    raise
                self._most = 1

    def _waiting(self, transaction: LoadTransaction) -> list[int]:
        """The oldest batches that are not loaded yet, as many as share a transaction."""
        # Read under the lock: another load may have committed in the meantime.
        newest = transaction.newest_load()
        if not is_in_lake(newest, self._log):
            raise ForeignLakeError(
                f"The warehouse has loaded batch {newest.batch} of another lake, not of {self._lake.ingestion.url}. "
                "Check TOTES_INGESTION_LAKE and WAREHOUSE_URL; to replace the warehouse's contents with this "
                "lake's, run totes rebuild --from-another-lake."
            )
        return _sharing(self._log, newest.batch + 1, self._most)

    def _load(self, transaction: LoadTransaction, batches: list[int]) -> list[LoadedBatch]:
        committed = ((self._log.manifest(batch), self._log.digest(batch)) for batch in batches)
        alone, sharing = len(batches) == 1, self._sharing
        loaded = list(load_in_order(transaction, committed, self._lake, sharing.progress, alone=alone, sharing=sharing))
        filled = filled_by(loaded)
        if self._may_lack:
            restore_constraints(transaction, filled=filled)
        transaction.commit()
        self._filled += filled
        return loaded

    def _complete(self, transaction: LoadTransaction) -> None:
        """Do what comes after the commit of a load, or what an earlier load did not come to."""
        if complete(transaction, filled=self._filled, beside=self._warehouse):
            transaction.commit()
        self._filled, self._may_lack = [], False


def _sharing(log: BatchLog, first: int, most: int) -> list[int]:
    """The batches that share a transaction, from the first one on: at most so many, with few rows together."""
    batches: list[int] = []
    rows, batch = 0, first
    while len(batches) < most and log.has(batch):
        rows += log.manifest(batch).rows
        if batches and rows > FEW_ROWS:
            break
        batches.append(batch)
        batch += 1
    return batches


def is_in_lake(newest: NewestLoad, log: BatchLog) -> bool:
    """Whether the newest loaded batch came from this lake; true before the first load."""
    return not newest.batch or (log.has(newest.batch) and log.digest(newest.batch) == newest.manifest_sha256)


def rows_of_facts(manifest: Manifest) -> dict[str, int]:
    """How many rows a batch brings to each fact."""
    sources = {fact: driving_table_of(fact) for fact in FACTS}
    return {
        fact: manifest.tables[source].rows for fact, source in sources.items() if source and manifest.brings(source)
    }


def filled_by(loaded: Iterable[LoadedBatch]) -> list[Table]:
    """The facts that were empty before these batches."""
    return [FACTS[name] for batch in loaded for name in batch.filled]
