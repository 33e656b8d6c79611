"""A load's staging tables that the workers of a cluster fill: made, checked against the ledger, read and dropped.

The load holds the load lock all the while. How a worker stages a part is in `part_staging.py`.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import Table

from totes_dagster.cluster.spreading import MANY_PIECES, Cluster
from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import AccessDeniedError, RowsUnaccountedError
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import StarPart, star_parts
from totes_dagster.lake.zone import Lake
from totes_dagster.postgres.lock_waits import LONG_WAIT, SHORT_WAIT
from totes_dagster.postgres.transactions import SNAPSHOT_LIMIT
from totes_dagster.remodel.run import Written
from totes_dagster.remodel.spans import Span
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.schema.registry import FACTS, STAR_TABLES, is_of_events
from totes_dagster.schema.star import natural_key_of, record_id_of, remodelled_columns
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.part_staging import (
    PART_BITS,
    POSITION,
    StagedPart,
    Staging,
    ledger_name,
    ledger_of,
    stage,
    stage_on_worker,
    table_name,
    table_of,
)
from totes_dagster.warehouse.staging import names_of, staging_of
from totes_dagster.warehouse.transaction import WarehouseTransaction

logger = logging.getLogger(__name__)

_MARK = "Rows on their way into the warehouse. The load that made this drops it; if it cannot, the next one does."


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
        table = table_of(transaction.schema, star, self.load)
        transaction.execute(sql.SQL("analyze {}").format(table))
        columns = names_of([column.name for column in remodelled_columns(star)])
        transaction.execute(
            sql.SQL("create temporary view {} as select {} from {}").format(staging_of(star), columns, table)
        )
        noted = dict(
            transaction.fetch_all(
                sql.SQL("select part, row_count from {} where star = {}").format(
                    ledger_of(transaction.schema, self.load), sql.Literal(star.name)
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
        key, table = sql.Identifier(natural_key_of(star)), table_of(transaction.schema, star, self.load)
        (repeated,) = transaction.fetch(sql.SQL("select count(*) - count(distinct {}) from {}").format(key, table))
        return int(repeated)

    def append(self, transaction: LoadTransaction, star: Table, *, batch: int | None) -> None:
        """Append the staged rows to a table that was empty; to a fact, with the record ids that one process gives them.

        Args:
            transaction: the load.
            star: the table.
            batch: for a fact, the number of the batch.
        """
        table, columns = table_of(transaction.schema, star, self.load), remodelled_columns(star)
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
                bits=sql.Literal(PART_BITS),
                within=sql.Literal(2**PART_BITS - 1),
                batch=sql.Literal(batch),
                table=table,
            )
        )

    def drop(self, transaction: LoadTransaction) -> None:
        """Drop the tables, in the load's transaction: with its commit they are gone."""
        for star in self.parts:
            transaction.execute(sql.SQL("drop view if exists {}").format(staging_of(STAR_TABLES[star])))
        _drop(transaction, [*(table_name(star, self.load) for star in self.parts), ledger_name(self.load)])


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
            "parts to stage", works, task=stage_on_worker, here=lambda work: stage(self.warehouse, self.lake, work)
        )
        for work, done in staged:
            shared.parts[work.part.star][work.part.path] = (work.part, done)
            if done.written:
                self.progress("remodel", work.part.star, done.written.rows)
            self.progress("load", work.part.star, done.rows)
        return shared


def _create(warehouse: Warehouse, load: str, stars: Sequence[str]) -> None:
    """Create the tables on a connection of its own: workers must see them before the load commits."""
    with warehouse.database.transaction() as connection:
        transaction = WarehouseTransaction(connection, warehouse.schema)
        for name in stars:
            star = STAR_TABLES[name]
            columns = names_of([column.name for column in remodelled_columns(star)])
            # Unlogged: what a crash of the server leaves of them is empty. And nobody else needs to look after them.
            staging, position = table_of(warehouse.schema, star, load), sql.Identifier(POSITION)
            transaction.execute(
                sql.SQL(
                    "create unlogged table {} with (autovacuum_enabled = false) as "
                    "select {}, 0::bigint as {} from {} with no data"
                ).format(staging, columns, position, transaction.name_of(star))
            )
        transaction.execute(
            sql.SQL(
                "create unlogged table {} (star text, part text, row_count bigint, primary key (star, part))"
            ).format(ledger_of(warehouse.schema, load))
        )
        for name in (*(table_name(name, load) for name in stars), ledger_name(load)):
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
