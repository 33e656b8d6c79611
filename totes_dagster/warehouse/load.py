"""Loads batches of the processed zone into the warehouse, in order, each in one transaction.

Decides which steps a batch needs; the SQL of each step is in `load_transaction.py`.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from time import perf_counter

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import ForeignLakeError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import star_parts, star_schema
from totes_dagster.lake.zone import Lake
from totes_dagster.postgres.database import NamedConnection
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.tables import calendar
from totes_dagster.runtime.ahead import ahead
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import CALENDAR, FACTS, STAR_TABLES, driving_table_of
from totes_dagster.schema.star import StarKind, kind_of
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.batch_rows import Account, keys_leaving_quarantine, live_keys, live_ranges, read_part
from totes_dagster.warehouse.bulk_load import SetAside, restore, set_aside_where_it_pays
from totes_dagster.warehouse.foreign_keys import add_foreign_keys_if_valid, has_foreign_keys
from totes_dagster.warehouse.load_transaction import LoadedTable, LoadTransaction
from totes_dagster.warehouse.queries import NewestLoad

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedBatch:
    """What the load of one batch did, and how many seconds it took, by star table."""

    batch: int
    tables: dict[str, LoadedTable]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


def load_batches(warehouse: Warehouse, lake: Lake, progress: Progress = silent) -> Iterator[LoadedBatch]:
    """Load every batch that the warehouse has not loaded yet; yield what each load did, after its commit.

    Args:
        warehouse: the warehouse, already migrated.
        lake: manifests and live keys are read from its ingestion zone, star-schema parts from its processed zone.
        progress: called with the number of rows as they are staged.

    Raises:
        NotRemodelledError: a part of a batch is missing.
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
            loaded = BatchLoad(transaction, manifest, lake, progress).run(log.digest(following))
            restore(transaction)
            transaction.commit()
            return loaded


@dataclass(frozen=True)
class BatchLoad:
    """The load of one batch, in a transaction that holds the load lock and that the caller commits.

    The caller makes sure that the batch follows the newest loaded one, and restores what was set aside.

    Attributes:
        is_last: whether the transaction loads no further batch, so that foreign keys can be added already.
    """

    transaction: LoadTransaction
    manifest: Manifest
    lake: Lake
    progress: Progress = silent
    is_last: bool = True

    def run(self, digest: str) -> LoadedBatch:
        """Load all star tables, and add the batch to `load_history`.

        Args:
            digest: the digest of the batch's manifest.

        Raises:
            NotRemodelledError, RowsUnaccountedError, RowsRepeatedError, PartError, psycopg.Error: see
                `load_batches`.
        """
        tables: dict[str, LoadedTable] = {}
        placeholders: Counter[str] = Counter()
        seconds: dict[str, float] = {}
        for star, table in STAR_TABLES.items():
            started = perf_counter()
            match kind_of(table):
                case StarKind.CALENDAR:
                    tables[star] = self._load_calendar()
                case StarKind.DIMENSION:
                    tables[star] = self._load_dimension(table)
                case StarKind.FACT:
                    tables[star], added = self._load_fact(table)
                    placeholders.update(added)
            seconds[star] = perf_counter() - started
        for dimension, count in placeholders.items():
            tables[dimension] = replace(tables[dimension], placeholders=count)
        counts = {star: done.counts() for star, done in tables.items() if done != LoadedTable()}
        self.transaction.add_to_history(self.manifest, digest, json.dumps(counts))
        return LoadedBatch(self.manifest.batch, tables, seconds)

    def _load_calendar(self) -> LoadedTable:
        """Extend the calendar to whole years, without gaps, from the earliest to the latest day that is named."""
        named: list[date] = []
        for part in star_parts(CALENDAR.name, self.manifest):
            rows = read_part(part, self.lake.processed).rows
            named += [day for day in pc.min_max(rows.column("date_id")).as_py().values() if day is not None]
            self.progress("load", CALENDAR.name, rows.num_rows)
        first_load = self.manifest.batch == 1
        first, last, count = self.transaction.calendar_extent()
        if first_load:
            # An adopted fact may have had no foreign keys.
            named += self.transaction.named_days()
        days = [*named, *(day for day in (first, last) if day is not None)]
        if not named:
            return LoadedTable()
        whole_years = (date(max(days).year, 12, 31) - date(min(days).year, 1, 1)).days + 1
        # An adopted calendar may have all days, but with other values.
        if count == whole_years and not first_load:
            return LoadedTable()
        return merge_calendar(self.transaction, days)

    def _load_dimension(self, dimension: Table) -> LoadedTable:
        transaction, account = self.transaction, self._account(dimension)
        if not star_parts(dimension.name, self.manifest):
            return self._finish(account, LoadedTable(), [])
        if transaction.is_empty(dimension):
            quarantined = self._copy(dimension, account)
            transaction.analyze(dimension)
            done = LoadedTable(staged=account.staged, new=account.staged)
        else:
            quarantined = self._stage(dimension, account)
            new, changed = transaction.merge_dimension(dimension) if account.staged else (0, 0)
            done = LoadedTable(staged=account.staged, new=new, changed=changed)
        return self._finish(account, done, quarantined)

    def _load_fact(self, fact: Table) -> tuple[LoadedTable, dict[str, int]]:
        """Load a fact; return also how many placeholders were added, by dimension."""
        transaction, batch, account = self.transaction, self.manifest.batch, self._account(fact)
        source = driving_table_of(fact.name)
        if source is None or not self.manifest.brings(source):
            return LoadedTable(), {}
        # Only without foreign keys, because placeholders are added after the copy.
        if transaction.is_empty(fact) and not has_foreign_keys(transaction, fact):
            quarantined = self._copy(fact, account)
            transaction.analyze(fact)
            done = LoadedTable(staged=account.staged, new=account.staged)
            # Adding the foreign keys shows whether a member is missing, and mostly none is.
            is_whole = self.is_last and add_foreign_keys_if_valid(transaction, fact)
            added = {} if is_whole else transaction.add_placeholders(fact, staged=False)
            return self._finish(account, done, quarantined), added
        transaction.put_sequence_past_record_ids(fact)
        quarantined = self._stage(fact, account)
        placeholders = transaction.add_placeholders(fact)
        new, changed = transaction.append_versions(fact, batch)
        if batch == 1:
            # An adopted fact may have had no foreign keys.
            placeholders = dict(Counter(placeholders) + Counter(transaction.add_placeholders(fact, staged=False)))
        deleted = 0
        keys = live_keys(self.lake.ingestion, source, self.manifest.tables[source])
        if keys is not None:
            transaction.list_live_keys(fact, keys)
            deleted = transaction.append_deletions(fact, batch, live_ranges(self.manifest.tables[source]))
        done = LoadedTable(staged=account.staged, new=new, changed=changed, deleted=deleted)
        return self._finish(account, done, quarantined), placeholders

    def _account(self, star: Table) -> Account:
        return Account(star.name, self.manifest.batch)

    def _copy(self, star: Table, account: Account) -> list[pa.Table]:
        """Copy the batch's parts straight into an empty star table; return the rows in quarantine."""
        batch = self.manifest.batch if kind_of(star) is StarKind.FACT else None
        quarantined = []
        for rows, quarantined_rows in self._parts(star, account):
            account.staged += self.transaction.copy(star, rows, batch=batch)
            quarantined.append(quarantined_rows)
            self.progress("load", star.name, rows.num_rows)
        return quarantined

    def _stage(self, star: Table, account: Account) -> list[pa.Table]:
        """Copy the batch's parts into the star table's staging table; return the rows in quarantine."""
        self.transaction.create_staging(star)
        quarantined = []
        for rows, quarantined_rows in self._parts(star, account):
            account.staged += self.transaction.stage(star, rows)
            quarantined.append(quarantined_rows)
            self.progress("load", star.name, rows.num_rows)
        self.transaction.analyze_staging(star)
        return quarantined

    def _parts(self, star: Table, account: Account) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Read the batch's parts of a star table one by one, each ahead: their rows, and those in quarantine."""
        parts = star_parts(star.name, self.manifest)
        processed = self.lake.processed
        for part, contents in zip(parts, ahead(read_part(part, processed) for part in parts), strict=True):
            account.add_part(part, contents)
            yield contents.rows, contents.quarantined

    def _finish(self, account: Account, done: LoadedTable, quarantined: Sequence[pa.Table]) -> LoadedTable:
        """Check that every row is accounted for, and update the warehouse's quarantine."""
        account.check(self.lake.processed)
        source = driving_table_of(account.star)
        if source is not None and (self.manifest.brings(source) or account.ingested):
            self._update_quarantine(source, quarantined)
        return replace(done, ingested=account.ingested, quarantined=account.quarantined)

    def _update_quarantine(self, source: str, quarantined: Sequence[pa.Table]) -> None:
        transaction, entry = self.transaction, self.manifest.tables[source]
        if entry.content is Capture.WHOLE:
            transaction.remove_from_quarantine(source, None)
        elif keys := transaction.quarantined_keys(source):
            leaving = keys_leaving_quarantine(self.lake.ingestion, source, entry, keys)
            transaction.remove_from_quarantine(source, leaving)
        for rows in quarantined:
            transaction.add_to_quarantine(rows)


def restore_calendar(transaction: LoadTransaction) -> None:
    """Undo changes that were made to the calendar by hand, from the first to the last year that it or a fact names."""
    days = transaction.named_days()
    if days:
        merge_calendar(transaction, days)


def merge_calendar(transaction: LoadTransaction, days: Sequence[date]) -> LoadedTable:
    """Upsert the days of all years from the earliest to the latest of these days."""
    frame = calendar.dim_date(pd.Series(days, dtype=pd.ArrowDtype(pa.date32())))
    transaction.create_staging(CALENDAR)
    staged = transaction.stage(CALENDAR, to_table(frame, star_schema(CALENDAR.name)))
    transaction.analyze_staging(CALENDAR)
    new, changed = transaction.merge_dimension(CALENDAR)
    return LoadedTable(staged=staged, new=new, changed=changed)


def is_in_lake(newest: NewestLoad, log: BatchLog) -> bool:
    """Whether the newest loaded batch came from this lake; true before the first load."""
    return not newest.batch or (log.has(newest.batch) and log.digest(newest.batch) == newest.manifest_sha256)


def rows_of_facts(manifest: Manifest) -> dict[str, int]:
    """How many rows a batch brings to each fact."""
    sources = {fact: driving_table_of(fact) for fact in FACTS}
    return {
        fact: manifest.tables[source].rows for fact, source in sources.items() if source and manifest.brings(source)
    }
