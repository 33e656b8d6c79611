"""The third stage: batches of the processed zone are loaded into the warehouse, in order, each in one transaction."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from time import perf_counter

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi as adbc
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.errors import ForeignLakeError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.store import Lake
from totes_dagster.postgres.database import Database
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.run import driving_table, star_schema
from totes_dagster.remodel.tables import calendar
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.runtime.retry import retried
from totes_dagster.schema import warehouse
from totes_dagster.warehouse.batch_rows import Incoming
from totes_dagster.warehouse.foreign_keys import (
    Dropped,
    add_missing_foreign_keys,
    drop_foreign_keys_where_it_pays,
    has_foreign_keys,
)
from totes_dagster.warehouse.load_transaction import LoadedTable, LoadTransaction
from totes_dagster.warehouse.queries import NewestLoad
from totes_dagster.warehouse.settling import live_keys, settle_quarantine

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedBatch:
    """What the load of one batch did, and how many seconds it took, by star table."""

    batch: int
    tables: dict[str, LoadedTable]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


def load(
    database: Database,
    schema: str,
    ingestion: Lake,
    processed: Lake,
    progress: Progress = silent,
) -> list[LoadedBatch]:
    """Load every batch that the warehouse has not loaded yet; what fails for a moment is repeated.

    Args:
        database: the warehouse, migrated.
        schema: the warehouse's schema.
        ingestion: the zone with the batches' manifests and live keys.
        processed: the zone with the star-schema parts.
        progress: notified of rows as they are staged.

    Returns:
        What was done, batch by batch.

    Raises:
        PartError: a batch is not remodelled yet, and cannot be.
        RowsUnaccountedError: rows of a batch were lost or doubled on the way; the batch is not loaded.
        ForeignLakeError: the warehouse holds batches of another lake.
        DatabaseError: the warehouse refuses or breaks off; the batch at work is not loaded, those before it are.
    """
    log = BatchLog(ingestion)
    loaded: list[LoadedBatch] = []

    def load_rest() -> None:
        with database.connect_bulk() as connection:
            while done := _load_next(database, connection, schema, log, processed, progress):
                logger.info("Loaded batch %d: %s.", done.batch, _told(done))
                loaded.append(done)

    retried("Load", load_rest)
    return loaded


def _told(done: LoadedBatch) -> str:
    total = sum(done.tables.values(), LoadedTable())
    counts = ("new", "changed", "unchanged", "deleted", "quarantined", "placeholders")
    return ", ".join(f"{total.counts()[name]:,} {name}" for name in counts)


def _load_next(
    database: Database,
    connection: adbc.Connection,
    schema: str,
    log: BatchLog,
    processed: Lake,
    progress: Progress,
) -> LoadedBatch | None:
    """Load the oldest batch that is not loaded, or return None if there is none."""
    may_drop = True
    while True:
        with LoadTransaction.begin(connection, schema, watched_from=database) as transaction:
            # Asked under the lock, for another load may have come first.
            newest = transaction.newest_load()
            head = newest.batch
            if not is_in_lake(newest, log):
                raise ForeignLakeError(
                    f"The warehouse has loaded batch {head} of another lake than {log.lake.url}. Check "
                    "TOTES_INGESTION_LAKE and WAREHOUSE_URL; to have the warehouse show this lake instead, run totes "
                    "rebuild --from-another-lake."
                )
            if not log.has(head + 1):
                return None
            manifest = log.manifest(head + 1)
            if may_drop:
                dropped = drop_foreign_keys_where_it_pays(transaction, rows_of_facts(manifest))
                may_drop = False
                if dropped is Dropped.SOME:
                    # Dropping locks readers out, so it must not wait for the load to end. If that load never comes,
                    # the next one puts the foreign keys back all the same.
                    transaction.commit()
                if dropped is not Dropped.NONE:
                    continue
            loaded = load_batch(transaction, manifest, log.digest(manifest.batch), log.lake, processed, progress)
            add_missing_foreign_keys(transaction)
            transaction.commit()
            return loaded


def load_batch(
    transaction: LoadTransaction, manifest: Manifest, digest: str, ingestion: Lake, processed: Lake, progress: Progress
) -> LoadedBatch:
    """Load a batch in a transaction that holds the lock of loads, and leave it to the caller to commit.

    The caller has made sure that it is the batch after the newest one, and adds the foreign keys that are missing.

    Raises:
        PartError, RowsUnaccountedError, adbc_driver_manager.Error: see `load`.
    """
    tables: dict[str, LoadedTable] = {}
    placeholders: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for star, table in warehouse.TABLES.items():
        started = perf_counter()
        incoming = Incoming.of(star, manifest, ingestion, processed, progress)
        if table is warehouse.dim_date:
            done = _load_calendar(transaction, incoming, first_load=manifest.batch == 1)
        elif star in warehouse.DIMENSIONS:
            done = _load_dimension(transaction, table, incoming)
        else:
            done, made = _load_fact(transaction, table, manifest, incoming)
            placeholders.update(made)
        incoming.see_that_all_are_accounted_for(manifest.batch, done.staged)
        if table is not warehouse.dim_date and (incoming.parts or manifest.brings(driving_table(star))):
            settle_quarantine(transaction, manifest, incoming)
        tables[star] = replace(done, ingested=incoming.ingested, quarantined=incoming.quarantined)
        seconds[star] = perf_counter() - started
    for dimension, count in placeholders.items():
        tables[dimension] = replace(tables[dimension], placeholders=count)
    transaction.fetch(
        sql.SQL(
            "insert into {} (batch, snapshot_at, manifest_sha256, tables) "
            "values ($1, $2::text::timestamptz, $3, $4::text::jsonb) returning batch"
        ).format(transaction.name_of(warehouse.load_history)),
        manifest.batch,
        manifest.snapshot.taken_at.isoformat(),
        digest,
        json.dumps({star: done.counts() for star, done in tables.items() if done != LoadedTable()}),
    )
    return LoadedBatch(manifest.batch, tables, seconds)


def _load_calendar(transaction: LoadTransaction, incoming: Incoming, *, first_load: bool) -> LoadedTable:
    """Let the calendar reach from the earliest to the latest year that it or the batch names, without a gap between."""
    named = [day for _, rows in incoming for day in pc.min_max(rows.column("date_id")).as_py().values()]
    *present, count = transaction.fetch(
        sql.SQL("select min(date_id), max(date_id), count(*) from {}").format(transaction.name_of(warehouse.dim_date))
    )
    if first_load:
        # Rows of an adopted fact need not have had foreign keys.
        named += transaction.named_days()
    days = [day for day in (*named, *present) if day is not None]
    if not any(named) or not days:
        return LoadedTable()
    whole_years = (date(max(days).year, 12, 31) - date(min(days).year, 1, 1)).days + 1
    # The first load may find a calendar of somebody else's, whose days are all there but counted otherwise.
    if count == whole_years and not first_load:
        return LoadedTable()
    return _merge_calendar(transaction, days)


def restore_calendar(transaction: LoadTransaction) -> None:
    """Put right what somebody did to the calendar, from the first to the last year that it or a fact names."""
    days = transaction.named_days()
    if days:
        _merge_calendar(transaction, days)


def _merge_calendar(transaction: LoadTransaction, days: Sequence[date]) -> LoadedTable:
    table = warehouse.dim_date
    frame = calendar.dim_date(pd.Series(days, dtype=pd.ArrowDtype(pa.date32())))
    staged = transaction.stage(table, iter([("the calendar", to_table(frame, star_schema(table.name)))]))
    new, changed = transaction.merge_dimension(table)
    return LoadedTable(staged=staged, new=new, changed=changed)


def _load_dimension(transaction: LoadTransaction, table: Table, incoming: Incoming) -> LoadedTable:
    if transaction.is_empty(table):
        copied = transaction.copy(table, iter(incoming))
        transaction.analyze(table)
        return LoadedTable(staged=copied, new=copied)
    staged = transaction.stage(table, iter(incoming))
    new, changed = transaction.merge_dimension(table) if staged else (0, 0)
    return LoadedTable(staged=staged, new=new, changed=changed)


def _load_fact(
    transaction: LoadTransaction, fact: Table, manifest: Manifest, incoming: Incoming
) -> tuple[LoadedTable, dict[str, int]]:
    """Load a fact; return also how many placeholders were made, by dimension."""
    source = driving_table(fact.name)
    if not manifest.brings(source):
        return LoadedTable(), {}
    # Only without its foreign keys: references that point nowhere get their placeholders after the copy.
    if transaction.is_empty(fact) and not has_foreign_keys(transaction, fact):
        copied = transaction.copy(fact, iter(incoming), batch=manifest.batch)
        transaction.analyze(fact)
        return LoadedTable(staged=copied, new=copied), transaction.add_placeholders(fact, staged=False)
    transaction.put_sequence_past_record_ids(fact)
    staged = transaction.stage(fact, iter(incoming))
    placeholders = transaction.add_placeholders(fact)
    new, changed = transaction.append_versions(fact, manifest.batch)
    if manifest.batch == 1:
        # Rows of an adopted fact need not have had foreign keys.
        placeholders = dict(Counter(placeholders) + Counter(transaction.add_placeholders(fact, staged=False)))
    deleted = 0
    keys = live_keys(incoming.ingestion, source, manifest.tables[source])
    if keys is not None:
        transaction.list_live_keys(fact, keys)
        deleted = transaction.append_deletions(fact, manifest.batch)
    return LoadedTable(staged=staged, new=new, changed=changed, deleted=deleted), placeholders


def is_in_lake(newest: NewestLoad, log: BatchLog) -> bool:
    """Whether the newest loaded batch is one of this lake's; true before the first."""
    return not newest.batch or (log.has(newest.batch) and log.digest(newest.batch) == newest.manifest_sha256)


def rows_of_facts(manifest: Manifest) -> dict[str, int]:
    """How many rows a batch brings to each fact."""
    sources = {fact: driving_table(fact) for fact in warehouse.FACTS}
    return {fact: manifest.tables[source].rows for fact, source in sources.items() if manifest.brings(source)}
