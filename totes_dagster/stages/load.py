"""The third stage: batches of the processed zone are loaded into the warehouse, in order, each in one transaction."""

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi as adbc
from sqlalchemy import Table

from totes_dagster.database import Database
from totes_dagster.errors import ForeignLakeError, PartMissingError
from totes_dagster.lake.log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.store import Lake
from totes_dagster.model import calendar
from totes_dagster.model.frames import to_table
from totes_dagster.schema import warehouse
from totes_dagster.schema.totesys import Capture
from totes_dagster.stages.constraints import (
    Dropped,
    add_missing_foreign_keys,
    drop_foreign_keys_where_it_pays,
    foreign_keys_of,
)
from totes_dagster.stages.progress import Progress, silent
from totes_dagster.stages.remodel import REMODELS, star_parts, star_schema
from totes_dagster.stages.streams import Parts
from totes_dagster.stages.warehouse import LoadedTable, LoadTransaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedBatch:
    """What the load of one batch did, by star table."""

    batch: int
    tables: dict[str, LoadedTable]


def load(
    database: Database,
    schema: str,
    ingestion: Lake,
    processed: Lake,
    *,
    up_to: int | None = None,
    progress: Progress = silent,
) -> list[LoadedBatch]:
    """Load every batch that the warehouse has not loaded yet.

    Args:
        database: the warehouse, migrated.
        schema: the warehouse's schema.
        ingestion: the zone with the batches' manifests and live keys.
        processed: the zone with the star-schema parts.
        up_to: the last batch to load. Later ones may have been committed by others, who have yet to remodel them.
        progress: told of rows as they are staged.

    Returns:
        What was done, batch by batch.

    Raises:
        PartMissingError: a batch is not remodelled yet.
        ForeignLakeError: the warehouse holds batches of another lake.
        DatabaseError: the warehouse refuses or breaks off; the batch at work is not loaded, those before it are.
    """
    log = BatchLog(ingestion)
    loaded: list[LoadedBatch] = []
    with database.connect_bulk() as connection:
        while True:
            done = _load_next(connection, schema, log, processed, up_to, progress)
            if done is None:
                return loaded
            logger.info("Loaded batch %d.", done.batch)
            loaded.append(done)


def _load_next(
    connection: adbc.Connection, schema: str, log: BatchLog, processed: Lake, up_to: int | None, progress: Progress
) -> LoadedBatch | None:
    """Load the oldest batch that is not loaded, or return None if there is none."""
    may_drop = True
    while True:
        with LoadTransaction.begin(connection, schema) as transaction:
            # Asked under the lock, for another load may have come first.
            head, digest = _head(transaction)
            if head and (not log.has(head) or log.digest(head) != digest):
                raise ForeignLakeError(
                    f"The warehouse has loaded batch {head} of another lake than {log.lake.url}. Check "
                    "TOTES_INGESTION_LAKE and WAREHOUSE_URL; to load this lake from its first batch, drop the "
                    "warehouse's tables."
                )
            if head == up_to or not log.has(head + 1):
                return None
            manifest = log.manifest(head + 1)
            if may_drop:
                dropped = drop_foreign_keys_where_it_pays(transaction, _rows_of_facts(manifest))
                may_drop = False
                if dropped is Dropped.SOME:
                    # Dropping locks readers out, so it must not wait for the load to end. If that load never comes,
                    # the next one puts the foreign keys back all the same.
                    transaction.commit()
                if dropped is not Dropped.NONE:
                    continue
            loaded = _load(transaction, manifest, log.digest(manifest.batch), log.lake, processed, progress)
            transaction.commit()
            return loaded


def _load(
    transaction: LoadTransaction, manifest: Manifest, digest: str, ingestion: Lake, processed: Lake, progress: Progress
) -> LoadedBatch:
    tables: dict[str, LoadedTable] = {}
    placeholders: Counter[str] = Counter()
    for star, table in warehouse.TABLES.items():
        parts = _counted(_parts(star, manifest, processed), star, progress)
        if table is warehouse.dim_date:
            tables[star] = _load_calendar(transaction, parts, first_load=manifest.batch == 1)
        elif star in warehouse.DIMENSIONS:
            tables[star] = _load_dimension(transaction, table, parts)
        else:
            tables[star], made = _load_fact(transaction, table, manifest, parts, ingestion)
            placeholders.update(made)
    add_missing_foreign_keys(transaction)
    for dimension, count in placeholders.items():
        tables[dimension] = replace(tables[dimension], placeholders=count)
    transaction.fetch(
        "insert into load_history (batch, snapshot_at, manifest_sha256, tables) "
        "values ($1, $2::text::timestamptz, $3, $4::text::jsonb) returning batch",
        manifest.batch,
        manifest.snapshot.taken_at.isoformat(),
        digest,
        json.dumps({star: asdict(done) for star, done in tables.items() if done != LoadedTable()}),
    )
    return LoadedBatch(manifest.batch, tables)


def _load_calendar(transaction: LoadTransaction, parts: Parts, *, first_load: bool) -> LoadedTable:
    """Let the calendar reach from the earliest to the latest year that it or the batch names, without a gap between."""
    table = warehouse.dim_date
    named = [rows.column("date_id") for _, rows in parts]
    if not named:
        return LoadedTable()
    days = pa.chunked_array([chunk for column in named for chunk in column.chunks])
    first, last, present = transaction.fetch("select min(date_id), max(date_id), count(*) from dim_date")
    range_ = pc.min_max(days).as_py()
    first, last = min(first or range_["min"], range_["min"]), max(last or range_["max"], range_["max"])
    staged = to_table(
        calendar.dim_date(pd.Series([first, last], dtype=pd.ArrowDtype(pa.date32()))),
        star_schema("dim_date"),
        "dim_date",
    )
    # The first load may find a calendar of somebody else's, whose days are all there but counted otherwise.
    if staged.num_rows == present and not first_load:
        return LoadedTable(staged=len(days))
    transaction.stage(table, iter([("the calendar", staged)]))
    new, changed = transaction.merge_dimension(table)
    return LoadedTable(staged=staged.num_rows, new=new, changed=changed)


def _load_dimension(transaction: LoadTransaction, table: Table, parts: Parts) -> LoadedTable:
    if transaction.is_empty(table):
        copied = transaction.copy(table, parts)
        transaction.analyze(table)
        return LoadedTable(staged=copied, new=copied)
    staged = transaction.stage(table, parts)
    new, changed = transaction.merge_dimension(table) if staged else (0, 0)
    return LoadedTable(staged=staged, new=new, changed=changed)


def _load_fact(
    transaction: LoadTransaction, fact: Table, manifest: Manifest, parts: Parts, ingestion: Lake
) -> tuple[LoadedTable, dict[str, int]]:
    """Load a fact; return also how many placeholders were made, by dimension."""
    (source,) = REMODELS[fact.name].inputs
    if not manifest.brings(source):
        return LoadedTable(), {}
    entry = manifest.tables[source]
    # Only without its foreign keys: references that point nowhere get their placeholders after the copy.
    if transaction.is_empty(fact) and not foreign_keys_of(transaction, fact):
        copied = transaction.copy(fact, parts, batch=manifest.batch)
        transaction.analyze(fact)
        return LoadedTable(staged=copied, new=copied), transaction.add_placeholders(fact, copied_by=manifest.batch)
    staged = transaction.stage(fact, parts)
    placeholders = transaction.add_placeholders(fact)
    new, changed = transaction.append_versions(fact, manifest.batch)
    deleted = 0
    if entry.content is Capture.WHOLE or entry.live_keys is not None:
        keys = ((part.path, ingestion.read_part(part.path)) for part in entry.live_keys or ())
        transaction.list_live_keys(fact, None if entry.content is Capture.WHOLE else keys)
        deleted = transaction.append_deletions(fact, manifest.batch)
    return LoadedTable(staged=staged, new=new, changed=changed, deleted=deleted), placeholders


def _parts(star: str, manifest: Manifest, processed: Lake) -> Parts:
    for part in star_parts(star, manifest):
        try:
            yield part.path, processed.read_part(part.path)
        except PartMissingError as error:
            raise PartMissingError(
                f"Batch {manifest.batch} of {star} is not remodelled: {part.path} is missing from {processed.url}. "
                f"Materialise processed/{star}, or run `totes refresh`, which does."
            ) from error


def _counted(parts: Parts, star: str, progress: Progress) -> Parts:
    for path, rows in parts:
        yield path, rows
        progress("load", star, rows.num_rows)


def _rows_of_facts(manifest: Manifest) -> dict[str, int]:
    """How many rows a batch brings to each fact."""
    sources = {fact: REMODELS[fact].inputs[0] for fact in warehouse.FACTS}
    return {fact: manifest.tables[source].rows for fact, source in sources.items() if manifest.brings(source)}


def _head(transaction: LoadTransaction) -> tuple[int, str]:
    """The newest loaded batch and its manifest's digest; 0 and nothing before the first."""
    batch, digest = transaction.fetch(
        "select coalesce(max(batch), 0), coalesce((array_agg(manifest_sha256 order by batch desc))[1], '') "
        "from load_history"
    )
    return batch, digest
