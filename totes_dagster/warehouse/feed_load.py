"""The load of a feed's batches: versions of its fact, its files and its quarantine, each batch in one transaction.

A feed's batches are numbered by themselves, and wait for nothing but the lock that all loads take.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass

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
    parts = [take_part(part, lake) for part in parts_of(manifest)]
    staged = _stage(feed, transaction, parts, progress)
    new, changed, outdated = _append_versions(feed, transaction, batch) if staged else (0, 0, 0)
    quarantined = _update_quarantine(feed, transaction, manifest, parts)
    _list_files(transaction, manifest)
    loaded = LoadedFeed(
        batch,
        files=len(manifest.files),
        refused=sum(file.refused is not None for file in manifest.files),
        quarantined=quarantined,
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
    if feed is EXCHANGE_RATE and (new or changed):
        keep_rates(transaction)
    return loaded


def _stage(feed: Feed, transaction: LoadTransaction, parts: list[FeedRows], progress: Progress) -> int:
    """Copy the rows of all parts into the staging table, numbered in their order."""
    columns = [column.name for column in remodelled_columns(feed.fact)]
    transaction.create_temporary(
        staging_of(feed.fact),
        transaction.name_of(feed.fact),
        sql.SQL("{}, 0::bigint as {}").format(names_of(columns), sql.Identifier(_POSITION)),
    )
    staged = 0
    for part in parts:
        numbers = pa.array(range(staged, staged + part.rows.num_rows), pa.int64())
        staged += transaction.stage(
            feed.fact, part.rows.append_column(pa.field(_POSITION, pa.int64(), nullable=False), numbers)
        )
        progress("load", feed.name, part.rows.num_rows)
    transaction.analyze_staging(feed.fact, staged)
    return staged


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
                select staged.*, newest is not null as is_known, {is_outdated} as is_outdated
                from {staging} as staged left join newest on ({staged_keys}) = ({newest_keys})),
            candidates as (
                select {columns}, {position}, is_known from judged where not is_outdated
                union all
                select {columns}, -1, true from newest),
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


def _update_quarantine(feed: Feed, transaction: LoadTransaction, manifest: FeedManifest, parts: list[FeedRows]) -> int:
    """Set rows aside, and let those go whose file is replaced, or whose key is loaded; return how many are aside."""
    table, name = transaction.name_of(feed_quarantine), sql.Literal(feed.name)
    paths = [file.path for file in manifest.files]
    transaction.execute(
        sql.SQL("delete from {} where feed = {} and path = any ({}::varchar[])").format(table, name, sql.Literal(paths))
    )
    (waiting,) = transaction.fetch(
        sql.SQL("select coalesce(array_agg(distinct key), '{{}}') from {} where feed = {} and key is not null").format(
            table, name
        )
    )
    if waiting:
        loaded = {
            key_text(key)
            for part in parts
            for key in zip(*(part.rows.column(name).to_pylist() for name in key_columns_of(feed.fact)), strict=True)
        }
        transaction.execute(
            sql.SQL("delete from {} where feed = {} and key = any ({}::varchar[])").format(
                table, name, sql.Literal(sorted(loaded & set(waiting)))
            )
        )
    set_aside = 0
    for part in parts:
        rows = part.quarantined
        columns = {
            "feed": pa.repeat(pa.scalar(feed.name), len(rows)),
            "path": rows.column("path"),
            "line": rows.column("line"),
            "key": rows.column("key"),
            "reason": rows.column("reason"),
            "batch": pa.repeat(pa.scalar(manifest.batch, pa.int64()), len(rows)),
        }
        if len(rows):
            transaction.ingest(
                feed_quarantine.name, pa.table(columns, arrow_schema(feed_quarantine.columns)), temporary=False
            )
        set_aside += len(rows)
    return set_aside


def _list_files(transaction: LoadTransaction, manifest: FeedManifest) -> None:
    """List the files that a batch took, in place of earlier versions of them."""
    columns = [column.name for column in feed_file.columns]
    rows = [
        sql.SQL("({})").format(
            sql.SQL(", ").join(
                map(
                    sql.Literal,
                    (
                        manifest.feed,
                        file.path,
                        file.version,
                        file.sha256,
                        file.bytes,
                        file.landed_at.isoformat(),
                        file.rows,
                        file.refused,
                        file.repeats,
                        manifest.batch,
                    ),
                )
            )
        )
        for file in manifest.files
    ]
    values = [name for name in columns if name not in {"feed", "path"}]
    transaction.execute(
        sql.SQL("insert into {} ({}) values {} on conflict (feed, path) do update set ({}) = row({})").format(
            transaction.name_of(feed_file),
            names_of(columns),
            sql.SQL(", ").join(rows),
            names_of(values),
            names_of(values, of="excluded"),
        )
    )
