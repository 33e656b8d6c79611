"""Staging of a part by a worker of a cluster, in a transaction of its own.

Temporary tables belong to one connection. Those that workers fill are tables of the warehouse's schema, for the length
of one load. Beside them is a *ledger*: a worker adds a part's row to it in the transaction that copies the part's rows.
So a part is staged once, however often it is begun. What the load does with the tables is in `shared_staging.py`.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, UniqueViolation
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse, platform_of_worker
from totes_dagster.errors import ClusterError
from totes_dagster.lake.key_set import KeySet
from totes_dagster.lake.processed import StarPart
from totes_dagster.lake.zone import Lake
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.remodel.run import Written
from totes_dagster.remodel.spans import Span, span_of
from totes_dagster.schema.registry import FACTS, STAR_TABLES
from totes_dagster.schema.star import natural_key_of
from totes_dagster.warehouse.parts import Parts
from totes_dagster.warehouse.totals import newest_stamp_of
from totes_dagster.warehouse.transaction import WarehouseTransaction

logger = logging.getLogger(__name__)

POSITION = "position_in_batch"
"""The column of a shared staging table that has a row's place among those of its batch."""

PART_BITS = 32
"""How many bits of a position number the rows of a part; those above number the part."""

_PATIENCE = "1min"
"""How long to wait until the session of another worker that has begun the same part has ended."""


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


def stage(warehouse: Warehouse, lake: Lake, work: Staging) -> StagedPart:
    """Copy a part's rows into its staging table, unless another worker has: all of them or none.

    Raises:
        ClusterError: the warehouse does not have the staging table.
        PartError, LakeError, DatabaseError: the part cannot be read, computed or copied.
    """
    parts, star = Parts(lake), STAR_TABLES[work.part.star]
    contents = parts.take(work.part)
    rows, count = contents.rows, contents.rows.num_rows
    first = work.number << PART_BITS
    positions = pa.array(np.arange(first, first + count, dtype=np.int64))
    positioned = rows.append_column(pa.field(POSITION, pa.int64(), nullable=False), positions)
    with warehouse.database.transaction() as connection:
        transaction = WarehouseTransaction(connection, warehouse.schema)
        try:
            _check_is_there(transaction, star, work.load)
            _take_over(transaction, work)
            transaction.ingest(table_name(star.name, work.load), positioned, temporary=False)
            transaction.execute(
                sql.SQL("insert into {} (star, part, row_count) values ({}, {}, {})").format(
                    ledger_of(warehouse.schema, work.load), *map(sql.Literal, (star.name, work.part.path, count))
                )
            )
            transaction.commit()
        except UniqueViolation:
            connection.rollback()
            logger.info("%s is staged already.", work.part.path)
        except psycopg.Error as error:
            raise named_error("warehouse", f"staging {work.part.path}", error) from error
    written = parts.written.get(work.part.batch, {}).get(star.name)
    keys, seen = rows.column(natural_key_of(star)), KeySet()
    bounds = pc.min_max(keys).as_py()
    return StagedPart(
        rows=count,
        quarantined=contents.quarantined.num_rows,
        keys=(bounds["min"], bounds["max"]) if count else None,
        repeated=sum(len(seen.add(chunk)) for chunk in keys.chunks),
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


def stage_on_worker(work: Staging) -> StagedPart:
    """Stage a part with the databases and the lake of the worker's own settings; see `stage`."""
    platform = platform_of_worker(work.ingestion, work.processed)
    return stage(platform.warehouse, platform.lake, work)


def _check_is_there(transaction: WarehouseTransaction, star: Table, load: str) -> None:
    table = table_of(transaction.schema, star, load)
    (found,) = transaction.fetch(
        sql.SQL("select to_regclass({}) is not null").format(sql.Literal(table.as_string(None)))
    )
    if not found:
        raise ClusterError(
            f"The warehouse of its settings has no table {table.as_string(None)}: it is another, or the load is over."
        )


def table_name(star: str, load: str) -> str:
    """The name of the table in which a load's rows of a star table are staged."""
    return f"staging_{star}_{load}"


def table_of(schema: str, star: Table, load: str) -> sql.Identifier:
    """The table in which a load's rows of a star table are staged."""
    return sql.Identifier(schema, table_name(star.name, load))


def ledger_name(load: str) -> str:
    """The name of a load's ledger."""
    return f"staging_ledger_{load}"


def ledger_of(schema: str, load: str) -> sql.Identifier:
    """A load's ledger, with one row per part that is staged."""
    return sql.Identifier(schema, ledger_name(load))
