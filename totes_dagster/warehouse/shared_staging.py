"""Staging tables that the workers of a cluster fill, each part in a transaction of its own.

Temporary tables belong to one connection. These are tables of the warehouse's schema, for the length of one load, which
holds the load lock all the while. Beside them is a *ledger*: a worker adds a part's row to it in the transaction that
copies the part's rows. So a part is staged once, however often it is begun, and the load can tell that all of them are.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate, pairwise

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable, UniqueViolation
from sqlalchemy import Table

from totes_dagster.cluster.spreading import MANY_PIECES, Cluster
from totes_dagster.config.platform import Warehouse, platform_of_worker
from totes_dagster.errors import AccessDeniedError, ClusterError, RowsUnaccountedError
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import StarPart, star_parts
from totes_dagster.lake.zone import Lake
from totes_dagster.postgres.lock_waits import LONG_WAIT, SHORT_WAIT
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.postgres.transactions import SNAPSHOT_LIMIT
from totes_dagster.remodel.run import Written
from totes_dagster.remodel.spans import Span, span_of
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import FACTS, STAR_TABLES, is_of_events
from totes_dagster.schema.star import natural_key_of, record_id_of, remodelled_columns
from totes_dagster.warehouse.batch_rows import repetitions
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.parts import Parts
from totes_dagster.warehouse.staging import names_of, staging_of
from totes_dagster.warehouse.totals import newest_stamp_of
from totes_dagster.warehouse.transaction import WarehouseTransaction

logger = logging.getLogger(__name__)

POSITION = "position_in_batch"
"""The column of a shared staging table that has a row's place among those of its batch."""

_PART_BITS = 32

_PATIENCE = "1min"
"""How long to wait until the session of another worker that has begun the same part has ended."""

_MARK = "Rows on their way into the warehouse. The load that made this drops it; if it cannot, the next one does."


@dataclass(frozen=True)
class Staging:
    """A part to be staged by a worker: names only.

    Attributes:
        part: the part of the processed zone. If it is missing there, the worker computes and writes it.
        number: its place among those of its star table in the batch.
        load: the name of the load.
        ingestion: the URL of the ingestion zone.
        processed: that of the processed zone.
    """

    part: StarPart
    number: int
    load: str
    ingestion: str
    processed: str


@dataclass(frozen=True)
class StagedPart:
    """A part that is staged.

    Attributes:
        rows: how many rows were copied.
        quarantined: how many of its source rows are in quarantine.
        keys: the lowest and the highest key of its rows; None if there are none.
        repeated: how many of its keys occur before.
        span: the earliest and the latest day in its rows.
        newest_stamp: the latest `last_updated` in its rows of a fact.
        written: what the processed zone lacked, and the worker wrote there.
    """

    rows: int
    quarantined: int
    keys: tuple[int, int] | None
    repeated: int
    span: Span
    newest_stamp: datetime | None
    written: Written | None


@dataclass
class SharedStaging:
    """The staging tables of one load, filled by workers.

    Attributes:
        load: its name.
        parts: what was staged, by star table and part.
    """

    load: str
    parts: dict[str, dict[str, tuple[StarPart, StagedPart]]] = field(default_factory=lambda: defaultdict(dict))

    def has(self, star: Table) -> bool:
        """Whether workers have staged a star table."""
        return star.name in self.parts

    def parts_of(self, star: Table) -> list[tuple[StarPart, StagedPart]]:
        """The parts of a star table, in order."""
        return [self.parts[star.name][path] for path in sorted(self.parts[star.name])]

    @property
    def spans(self) -> list[Span]:
        """The days in the parts of all facts."""
        return [staged.span for star in FACTS for _, staged in self.parts.get(star, {}).values()]

    @property
    def written(self) -> dict[str, Written]:
        """What the processed zone lacked, by star table."""
        found = {
            star: sum((staged.written for _, staged in parts.values() if staged.written), Written())
            for star, parts in self.parts.items()
        }
        return {star: written for star, written in found.items() if written.parts}

    def open(self, transaction: LoadTransaction, star: Table) -> tuple[int, int]:
        """Let a load read a star table's rows as it reads those that it has staged itself.

        Returns:
            How many rows there are, and how many of their keys occur before.

        Raises:
            RowsUnaccountedError: the rows are not those that workers have copied, once each.
        """
        table = _table_of(transaction.schema, star, self.load)
        transaction.execute(sql.SQL("analyze {}").format(table))
        columns = names_of([column.name for column in remodelled_columns(star)])
        transaction.execute(
            sql.SQL("create temporary view {} as select {} from {}").format(staging_of(star), columns, table)
        )
        noted = dict(
            transaction.fetch_all(
                sql.SQL("select part, row_count from {} where star = {}").format(
                    _ledger_of(transaction.schema, self.load), sql.Literal(star.name)
                )
            )
        )
        (rows,) = transaction.fetch(sql.SQL("select count(*) from {}").format(table))
        expected = {path: staged.rows for path, (_, staged) in self.parts[star.name].items()}
        if noted != expected or rows != sum(expected.values()):
            raise RowsUnaccountedError(
                f"Workers have copied {sum(expected.values()):,} rows of {star.name} in {len(expected)} parts, but "
                f"{rows:,} rows arrived, of {len(noted)} parts. The batch was not loaded; refresh again."
            )
        return rows, self._repeated(transaction, star)

    def _repeated(self, transaction: LoadTransaction, star: Table) -> int:
        """How many keys occur before, in the same part or in another."""
        staged = [part for _, part in self.parts[star.name].values()]
        ranges = sorted(part.keys for part in staged if part.keys)
        if all(before[1] < after[0] for before, after in pairwise(ranges)):
            return sum(part.repeated for part in staged)  # none can be in two parts
        key, table = sql.Identifier(natural_key_of(star)), _table_of(transaction.schema, star, self.load)
        (repeated,) = transaction.fetch(sql.SQL("select count(*) - count(distinct {}) from {}").format(key, table))
        return int(repeated)

    def append(self, transaction: LoadTransaction, star: Table, *, batch: int | None) -> None:
        """Append the staged rows to a table that was empty; to a fact, with the record ids that one process gives them.

        Args:
            transaction: the load.
            star: the table.
            batch: for a fact, the number of the batch.
        """
        table, columns = _table_of(transaction.schema, star, self.load), remodelled_columns(star)
        names = names_of([column.name for column in columns])
        if batch is None:
            transaction.execute(
                sql.SQL("insert into {} ({}) select {} from {}").format(transaction.name_of(star), names, names, table)
            )
            return
        transaction.put_sequence_past_record_ids(star)
        position = sql.Identifier(POSITION)
        counts = [staged.rows for _, staged in self.parts_of(star)]
        first = transaction.take_record_ids(star, sum(counts))
        if first is None:
            statement = sql.SQL("insert into {} ({}, batch) select {}, {} from {} order by {}")
            transaction.execute(
                statement.format(transaction.name_of(star), names, names, sql.Literal(batch), table, position)
            )
            return
        before = list(accumulate(counts, initial=first))[:-1]
        transaction.execute(
            sql.SQL(
                "insert into {fact} ({record_id}, {names}, batch) "
                "select ({before}::bigint[])[({position} >> {bits}) + 1] + ({position} & {within}), {names}, {batch} "
                "from {table}"
            ).format(
                fact=transaction.name_of(star),
                record_id=sql.Identifier(record_id_of(star)),
                names=names,
                before=sql.Literal(before),
                position=position,
                bits=sql.Literal(_PART_BITS),
                within=sql.Literal(2**_PART_BITS - 1),
                batch=sql.Literal(batch),
                table=table,
            )
        )

    def drop(self, transaction: LoadTransaction) -> None:
        """Drop the tables, in the load's transaction: with its commit they are gone."""
        for star in self.parts:
            transaction.execute(sql.SQL("drop view if exists {}").format(staging_of(STAR_TABLES[star])))
        _drop(transaction, [*(_name_of(star, self.load) for star in self.parts), _ledger_name(self.load)])


@dataclass(frozen=True)
class Sharing:
    """Shares the staging of large batches with workers.

    Attributes:
        warehouse: the warehouse.
        lake: both zones.
        cluster: the workers; None if there are none.
        progress: called with the number of rows as they are computed and staged.
    """

    warehouse: Warehouse
    lake: Lake
    cluster: Cluster | None = None
    progress: Progress = silent

    def prepare(self, transaction: LoadTransaction) -> None:
        """Let a load wait for workers, and drop the tables of loads that were killed.

        Args:
            transaction: holds the load lock, so that no other load is using them.
        """
        if not self.cluster:
            return
        transaction.execute(
            sql.SQL("set local idle_in_transaction_session_timeout = {}").format(sql.Literal(SNAPSHOT_LIMIT))
        )
        names = transaction.fetch_all(
            sql.SQL(
                "select relname::text from pg_class where relnamespace = to_regnamespace({}) and relkind = 'r' "
                "and obj_description(oid, 'pg_class') = {} order by 1"
            ).format(sql.Literal(sql.Identifier(transaction.schema).as_string(None)), sql.Literal(_MARK))
        )
        _drop(transaction, [name for (name,) in names])

    def stage(self, manifest: Manifest) -> SharedStaging | None:
        """Let workers stage what a batch brings to the star tables of event tables; None if that is too little.

        The load lock is held.

        Raises:
            PartError, LakeError, DatabaseError: a part cannot be read, computed or copied.
        """
        parts = {star: star_parts(star, manifest) for star in STAR_TABLES if is_of_events(star)}
        if not self.cluster or sum(map(len, parts.values())) < MANY_PIECES:
            return None
        shared = SharedStaging(uuid.uuid4().hex[:12])
        try:
            _create(self.warehouse, shared.load, [name for name, of_star in parts.items() if of_star])
        except AccessDeniedError as error:
            logger.warning("Workers cannot stage rows for the warehouse. %s", error)
            return None
        works = [
            Staging(part, number, shared.load, self.lake.ingestion.url, self.lake.processed.url)
            for of_star in parts.values()
            for number, part in enumerate(of_star)
        ]
        staged = self.cluster.each(
            "parts to stage", works, task=_stage_on_worker, here=lambda work: stage(self.warehouse, self.lake, work)
        )
        for work, done in staged:
            shared.parts[work.part.star][work.part.path] = (work.part, done)
            if done.written:
                self.progress("remodel", work.part.star, done.written.rows)
            self.progress("load", work.part.star, done.rows)
        return shared


def stage(warehouse: Warehouse, lake: Lake, work: Staging) -> StagedPart:
    """Copy a part's rows into its staging table, unless another worker has: all of them or none.

    Raises:
        ClusterError: the warehouse does not have the staging table.
        PartError, LakeError, DatabaseError: the part cannot be read, computed or copied.
    """
    parts, star = Parts(lake), STAR_TABLES[work.part.star]
    contents = parts.take(work.part)
    rows, count = contents.rows, contents.rows.num_rows
    first = work.number << _PART_BITS
    positions = pa.array(np.arange(first, first + count, dtype=np.int64))
    positioned = rows.append_column(pa.field(POSITION, pa.int64(), nullable=False), positions)
    with warehouse.database.transaction() as connection:
        transaction = WarehouseTransaction(connection, warehouse.schema)
        try:
            _check_is_there(transaction, star, work.load)
            _take_over(transaction, work)
            transaction.ingest(_name_of(star.name, work.load), positioned, temporary=False)
            transaction.execute(
                sql.SQL("insert into {} (star, part, row_count) values ({}, {}, {})").format(
                    _ledger_of(warehouse.schema, work.load), *map(sql.Literal, (star.name, work.part.path, count))
                )
            )
            transaction.commit()
        except UniqueViolation:
            connection.rollback()
            logger.info("%s is staged already.", work.part.path)
        except psycopg.Error as error:
            raise named_error("warehouse", f"staging {work.part.path}", error) from error
    written = parts.written.get(work.part.batch, {}).get(star.name)
    keys = rows.column(natural_key_of(star))
    bounds = pc.min_max(keys).as_py()
    return StagedPart(
        rows=count,
        quarantined=contents.quarantined.num_rows,
        keys=(bounds["min"], bounds["max"]) if count else None,
        repeated=repetitions(keys.chunks),
        span=span_of(rows),
        newest_stamp=newest_stamp_of(rows) if star.name in FACTS else None,
        written=replace(written, newest=None) if written else None,
    )


def _take_over(transaction: WarehouseTransaction, work: Staging) -> None:
    """Make sure that nobody else is staging a part: end the session of a worker that is, for it was taken for lost.

    It may be frozen, and would keep the part, and the tables, as long as it is.
    """
    key = sql.SQL("hashtextextended({}, 0)").format(sql.Literal(f"totes_dagster.stage.{work.load}.{work.part.path}"))
    with suppress(InsufficientPrivilege), transaction.savepoint():
        transaction.fetch(
            sql.SQL(
                "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and objsubid = 1 "
                "and database = (select oid from pg_database where datname = current_database()) "
                "and (classid::bigint << 32) | objid::bigint = {}"
            ).format(key)
        )
    transaction.wait_for_locks(_PATIENCE)
    transaction.fetch(sql.SQL("select pg_advisory_xact_lock({})").format(key))


def _stage_on_worker(work: Staging) -> StagedPart:
    platform = platform_of_worker(work.ingestion, work.processed)
    return stage(platform.warehouse, platform.lake, work)


def _create(warehouse: Warehouse, load: str, stars: Sequence[str]) -> None:
    """Create the tables on a connection of its own: workers must see them before the load commits."""
    with warehouse.database.transaction() as connection:
        transaction = WarehouseTransaction(connection, warehouse.schema)
        for name in stars:
            star = STAR_TABLES[name]
            columns = names_of([column.name for column in remodelled_columns(star)])
            # Unlogged: what a crash of the server leaves of them is empty. And nobody else needs to look after them.
            staging, position = _table_of(warehouse.schema, star, load), sql.Identifier(POSITION)
            transaction.execute(
                sql.SQL(
                    "create unlogged table {} with (autovacuum_enabled = false) as "
                    "select {}, 0::bigint as {} from {} with no data"
                ).format(staging, columns, position, transaction.name_of(star))
            )
        transaction.execute(
            sql.SQL(
                "create unlogged table {} (star text, part text, row_count bigint, primary key (star, part))"
            ).format(_ledger_of(warehouse.schema, load))
        )
        for name in (*(_name_of(name, load) for name in stars), _ledger_name(load)):
            transaction.execute(
                sql.SQL("comment on table {} is {}").format(sql.Identifier(warehouse.schema, name), sql.Literal(_MARK))
            )


def _drop(transaction: WarehouseTransaction, names: Sequence[str]) -> None:
    """Drop tables, but for those that a worker which was taken for lost is still using; the next load drops these."""
    for name in names:
        with suppress(LockNotAvailable), transaction.savepoint():
            transaction.wait_for_locks(SHORT_WAIT)
            transaction.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(transaction.schema, name)))
    transaction.wait_for_locks(LONG_WAIT)


def _check_is_there(transaction: WarehouseTransaction, star: Table, load: str) -> None:
    table = _table_of(transaction.schema, star, load)
    (found,) = transaction.fetch(
        sql.SQL("select to_regclass({}) is not null").format(sql.Literal(table.as_string(None)))
    )
    if not found:
        raise ClusterError(
            f"The warehouse of its settings has no table {table.as_string(None)}: it is another, or the load is over."
        )


def _name_of(star: str, load: str) -> str:
    return f"staging_{star}_{load}"


def _table_of(schema: str, star: Table, load: str) -> sql.Identifier:
    return sql.Identifier(schema, _name_of(star.name, load))


def _ledger_name(load: str) -> str:
    return f"staging_ledger_{load}"


def _ledger_of(schema: str, load: str) -> sql.Identifier:
    return sql.Identifier(schema, _ledger_name(load))
