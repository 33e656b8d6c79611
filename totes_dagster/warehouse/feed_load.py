"""The load of a feed's batches: versions of its fact, its files and its quarantine, each batch in one transaction.

A feed's batches are numbered by themselves, and wait for nothing but the lock that all loads take.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from psycopg import sql

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import ForeignLakeError
from totes_dagster.feeds.declared import EXCHANGE_RATE, Feed
from totes_dagster.feeds.remodel import FeedRows, key_text, parts_of, take_part
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.lake.feed_manifest import FeedManifest
from totes_dagster.lake.zone import Lake
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.bookkeeping import feed_file, feed_history, feed_quarantine
from totes_dagster.schema.star import key_columns_of, own_time_of, remodelled_columns
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.queries import newest_first
from totes_dagster.warehouse.rates import keep_rates
from totes_dagster.warehouse.staging import names_of, staging_of

logger = logging.getLogger(__name__)

_POSITION = "position_in_batch"


@dataclass(frozen=True)
class LoadedFeed:
    """What the load of a feed's batch did.

    Rows `staged` are `new`, `changed`, `outdated` if the warehouse has a row of the same key that held later, or
    otherwise unchanged.
    """

    batch: int
    files: int = 0
    refused: int = 0
    quarantined: int = 0
    staged: int = 0
    new: int = 0
    changed: int = 0
    outdated: int = 0

    def counts(self) -> dict[str, int]:
        """All counts, by name."""
        counts = asdict(self)
        del counts["batch"]
        return {**counts, "unchanged": self.staged - self.new - self.changed - self.outdated}


def load_feed(feed: Feed, warehouse: Warehouse, lake: Lake, progress: Progress = silent) -> Iterator[LoadedFeed]:
    """Load every batch of a feed that the warehouse has not loaded yet; yield what was done for each, after its commit.

    Args:
        feed: the feed.
        warehouse: the warehouse, already migrated.
        lake: both zones. Parts that the processed zone lacks are computed and written.
        progress: called with the number of rows as they are staged.

    Raises:
        PartError: a part of a batch is damaged, or missing and cannot be computed.
        ForeignLakeError: the warehouse holds batches of another lake.
        DatabaseError: the warehouse refuses a statement, or the connection is lost. That batch is not loaded; earlier
            ones are.
    """
    log = FeedLog(lake.ingestion, feed.name)
    with warehouse.database.connect() as connection:
        while True:
            with LoadTransaction.begin(connection, warehouse) as transaction:
                batch = _newest(feed, transaction, log) + 1
                if not log.has(batch):
                    return
                loaded = _load(feed, transaction, log, batch, lake, progress)
                if feed is EXCHANGE_RATE and (loaded.new or loaded.changed):
                    keep_rates(transaction)
                transaction.commit()
            logger.info("Loaded batch %d of %s: %s.", batch, feed.name, loaded.counts())
            yield loaded


def reload_feed(feed: Feed, warehouse: Warehouse, lake: Lake, *, from_another_lake: bool = False) -> list[LoadedFeed]:
    """Replace everything that a feed's loads have brought with what its batches bring now, in one transaction.

    Raises:
        ForeignLakeError: the warehouse was loaded from another lake.
        PartError, DatabaseError: see `load_feed`. The warehouse is unchanged.
    """
    log = FeedLog(lake.ingestion, feed.name)
    head = log.head()
    log.check_head_is_last(head)
    with warehouse.database.connect() as connection, LoadTransaction.begin(connection, warehouse) as transaction:
        if not from_another_lake:
            _newest(feed, transaction, log)
        transaction.execute(sql.SQL("delete from {} where batch <> 0").format(transaction.name_of(feed.fact)))
        for table in (feed_history, feed_file, feed_quarantine):
            transaction.execute(
                sql.SQL("delete from {} where feed = {}").format(transaction.name_of(table), sql.Literal(feed.name))
            )
        loaded = [_load(feed, transaction, log, batch, lake, silent) for batch in range(1, head + 1)]
        if feed is EXCHANGE_RATE:
            keep_rates(transaction)
        transaction.commit()
    return loaded


def _newest(feed: Feed, transaction: LoadTransaction, log: FeedLog) -> int:
    """The newest batch of a feed that the warehouse has loaded; 0 before the first."""
    found = transaction.fetch_all(
        sql.SQL("select batch, manifest_sha256 from {} where feed = {} order by batch desc limit 1").format(
            transaction.name_of(feed_history), sql.Literal(feed.name)
        )
    )
    for batch, digest in found:
        if not log.has(batch) or log.digest(batch) != digest:
            raise ForeignLakeError(
                f"The warehouse has loaded batch {batch} of {feed.name} from another lake, not from {log.zone.url}. "
                "Check TOTES_INGESTION_LAKE and WAREHOUSE_URL; to replace the warehouse's contents with this lake's, "
                "run totes rebuild --from-another-lake."
            )
        return int(batch)
    return 0


def _load(
    feed: Feed, transaction: LoadTransaction, log: FeedLog, batch: int, lake: Lake, progress: Progress
) -> LoadedFeed:
    manifest = log.manifest(batch)
    _create_staging(feed, transaction)
    quarantine = _Quarantine(feed, transaction, manifest)
    staged = 0
    for part in parts_of(manifest):
        contents = take_part(part, lake)
        _stage(feed, transaction, contents.rows, staged)
        staged += contents.rows.num_rows
        quarantine.update(contents)
        progress("load", feed.name, contents.rows.num_rows)
    transaction.analyze_staging(feed.fact, staged)
    new, changed, outdated = _append_versions(feed, transaction, batch) if staged else (0, 0, 0)
    _list_files(transaction, manifest)
    loaded = LoadedFeed(
        batch,
        files=len(manifest.files),
        refused=sum(file.refused is not None for file in manifest.files),
        quarantined=quarantine.added,
        staged=staged,
        new=new,
        changed=changed,
        outdated=outdated,
    )
    transaction.execute(
        sql.SQL("insert into {} (feed, batch, taken_at, manifest_sha256, counts) values ({}, {}, {}, {}, {})").format(
            transaction.name_of(feed_history),
            *map(
                sql.Literal,
                (feed.name, batch, manifest.taken_at.isoformat(), log.digest(batch), json.dumps(loaded.counts())),
            ),
        )
    )
    return loaded


def _create_staging(feed: Feed, transaction: LoadTransaction) -> None:
    """Create the staging table, or empty it, with a column for the position of a row in the batch."""
    columns = [column.name for column in remodelled_columns(feed.fact)]
    transaction.create_temporary(
        staging_of(feed.fact),
        transaction.name_of(feed.fact),
        sql.SQL("{}, 0::bigint as {}").format(names_of(columns), sql.Identifier(_POSITION)),
    )


def _stage(feed: Feed, transaction: LoadTransaction, rows: pa.Table, first: int) -> None:
    """Copy the rows of a part into the staging table, numbered from the given position on."""
    positions = pa.array(np.arange(first, first + rows.num_rows))
    transaction.stage(feed.fact, rows.append_column(pa.field(_POSITION, pa.int64(), nullable=False), positions))


def _append_versions(feed: Feed, transaction: LoadTransaction, batch: int) -> tuple[int, int, int]:
    """Append the staged rows that differ from the version before them, which may be staged as well.

    Returns:
        How many rows are the first of their key, how many change it, and how many are outdated: the fact has a version
        of their key that held later.
    """
    fact, own_time = feed.fact, own_time_of(feed.fact)
    keys, columns = list(key_columns_of(fact)), [column.name for column in remodelled_columns(fact)]
    transaction.put_sequence_past_record_ids(fact)
    transaction.remove_unloaded_versions(
        fact,
        batch,
        sql.SQL("({keys}) in (select {keys} from {staging})").format(keys=names_of(keys), staging=staging_of(fact)),
    )
    order = [*([own_time] if own_time else []), _POSITION]
    is_outdated = (
        sql.SQL("coalesce(staged.{0} < newest.{0}, newest.{0} is not null and staged.{0} is null, false)").format(
            sql.Identifier(own_time)
        )
        if own_time
        else sql.SQL("false")
    )
    return transaction.fetch(
        sql.SQL(
            """
            with newest as materialized (
                select version.* from (select distinct {keys} from {staging}) as brought
                cross join lateral (
                    select {columns} from {table} as version where ({version_keys}) = ({brought_keys})
                    order by {newest_first} limit 1) as version),
            judged as materialized (
                select staged.*, {is_outdated} as is_outdated
                from {staging} as staged left join newest on ({staged_keys}) = ({newest_keys})),
            candidates as (
                select {columns}, {position} from judged where not is_outdated
                union all
                select {columns}, -1 from newest),
            compared as (
                select *, row({columns}) is distinct from lag(row({columns})) over history as differs,
                       row_number() over history = 1 as is_first
                from candidates window history as (partition by {keys} order by {order})),
            appended as materialized (
                select * from compared where {position} >= 0 and (differs or is_first)),
            inserted as (
                insert into {table} ({columns}, batch)
                select {columns}, {batch} from appended order by {order})
            select count(*) filter (where is_first), count(*) filter (where not is_first),
                   (select count(*) from judged where is_outdated)
            from appended
            """
        ).format(
            keys=names_of(keys),
            staging=staging_of(fact),
            columns=names_of(columns),
            table=transaction.name_of(fact),
            version_keys=names_of(keys, of="version"),
            brought_keys=names_of(keys, of="brought"),
            staged_keys=names_of(keys, of="staged"),
            newest_keys=names_of(keys, of="newest"),
            newest_first=newest_first(fact),
            is_outdated=is_outdated,
            position=sql.Identifier(_POSITION),
            order=sql.SQL(", ").join(sql.SQL("{} nulls first").format(sql.Identifier(name)) for name in order),
            batch=sql.Literal(batch),
        )
    )


class _Quarantine:
    """The rows of a feed that are in quarantine, as a batch changes them.

    Rows leave whose file the batch replaces. A file that repeats another is not read, so it replaces nothing.
    """

    def __init__(self, feed: Feed, transaction: LoadTransaction, manifest: FeedManifest) -> None:
        self.added = 0
        self._feed = feed
        self._transaction = transaction
        self._batch = manifest.batch
        self._remove(sql.SQL("path"), [file.path for file in manifest.files if file.repeats is None])
        (keys,) = transaction.fetch(
            sql.SQL(
                "select coalesce(array_agg(distinct key), '{{}}') from {} where feed = {} and key is not null"
            ).format(transaction.name_of(feed_quarantine), sql.Literal(feed.name))
        )
        self._keys = set(keys)

    def update(self, part: FeedRows) -> None:
        """Let rows go whose key the part brings, and add those that it sets aside."""
        if self._keys:
            columns = (part.rows.column(name).to_pylist() for name in key_columns_of(self._feed.fact))
            brought = self._keys.intersection(map(key_text, zip(*columns, strict=True)))
            self._remove(sql.SQL("key"), sorted(brought))
            self._keys -= brought
        rows = part.quarantined
        if not len(rows):
            return
        columns_by_name = {
            "feed": pa.repeat(pa.scalar(self._feed.name), len(rows)),
            **{name: rows.column(name) for name in ("path", "line", "key", "reason")},
            "batch": pa.repeat(pa.scalar(self._batch, pa.int64()), len(rows)),
        }
        self._transaction.ingest(
            feed_quarantine.name, pa.table(columns_by_name, arrow_schema(feed_quarantine.columns)), temporary=False
        )
        self._keys.update(filter(None, rows.column("key").to_pylist()))
        self.added += len(rows)

    def _remove(self, column: sql.SQL, values: list[str]) -> None:
        if values:
            self._transaction.execute(
                sql.SQL("delete from {} where feed = {} and {} = any ({}::varchar[])").format(
                    self._transaction.name_of(feed_quarantine),
                    sql.Literal(self._feed.name),
                    column,
                    sql.Literal(values),
                )
            )


def _list_files(transaction: LoadTransaction, manifest: FeedManifest) -> None:
    """List the files that a batch took, in place of earlier versions of them.

    Of a file that was written again as it was, and not read again, the number of rows stays, and what it repeats.
    """
    columns = [column.name for column in feed_file.columns]
    files = [
        {
            **file.model_dump(mode="json", include=set(columns)),
            "feed": manifest.feed,
            "batch": manifest.batch,
        }
        for file in manifest.files
    ]
    stays = sql.SQL("excluded.repeats is not null and file.sha256 = excluded.sha256")
    values = [
        sql.SQL(
            "case when {0} then file.{1} else excluded.{1} end" if name in {"rows", "repeats"} else "excluded.{1}"
        ).format(stays, sql.Identifier(name))
        for name in columns
    ]
    transaction.execute(
        sql.SQL(
            "insert into {table} as file ({columns}) "
            "select {columns} from json_populate_recordset(null::{table}, {files}::json) "
            "on conflict (feed, path) do update set ({columns}) = row({values})"
        ).format(
            table=transaction.name_of(feed_file),
            columns=names_of(columns),
            files=sql.Literal(json.dumps(files)),
            values=sql.SQL(", ").join(values),
        )
    )
