"""A lake with a past: rows changed, deleted and returned, tables taken whole, attempts that were never committed."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.system.catalogue.lake_in_athena import Athena, folder_of
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import NEW_DEAL, World

_GHOSTS = (999_999, 1000)
"""Keys in every part that was never committed: one that never was, and one that came and went."""

State = dict[str, list[dict[str, Any]]]
"""Rows of the source by table, in the order of their keys."""


def without(order: str, key: int) -> tuple[str, ...]:
    """Statements that delete an order, with its transaction and payment."""
    mine = f"(select transaction_id from transaction where {order}_id = {key})"
    return (
        f"delete from payment where transaction_id in {mine}",
        f"delete from transaction where {order}_id = {key}",
        f"delete from {order} where {order}_id = {key}",
    )


def copied(order: str, key: int) -> str:
    """A statement that inserts a copy of an order under another key."""
    others = ", ".join(name for name in SOURCE_TABLES[order].columns.keys() if name != f"{order}_id")  # noqa: SIM118
    return f"insert into {order} ({order}_id, {others}) select {key}, {others} from {order} where {order}_id = 3"


CHANGES: list[tuple[str, ...]] = [
    without("purchase_order", 1),
    NEW_DEAL,
    ("update sales_order set units_sold = units_sold + 1 where sales_order_id = 1",),
    ("update staff set last_name = last_name || '!' where staff_id = 1", "update design set design_name = 'One'"),
    ("delete from payment where payment_id = 2", *without("sales_order", 1000)),
    # Captured, but not changed.
    ("update sales_order set units_sold = units_sold where sales_order_id in (1, 3)",),
    NEW_DEAL,
    ("update sales_order set unit_price = 9.87 where sales_order_id = 1000",),
    ("delete from payment where payment_id = 5",),
    # Parts have it from here on, and the catalogue has not.
    ("alter table design add column collection text default 'Spring'",),
    (
        "delete from currency where currency_id not in (select currency_id from sales_order union "
        "select currency_id from purchase_order union select currency_id from payment)",
        "update currency set currency_code = currency_code",
    ),
    ("update sales_order set units_sold = 77 where sales_order_id = 1",),
    without("sales_order", 1000),
    NEW_DEAL,
    # Keys of other ranges, some of which go while the others stay.
    tuple(copied("sales_order", key) for key in (-(2**31), -1, 16_384, 50_000, 2**31 - 1)),
    ("delete from sales_order where sales_order_id in (-1, 50000)",),
    ("delete from payment where payment_id = 7", "update payment set payment_id = 20000 where payment_id = 8"),
    (copied("sales_order", -1), "update sales_order set units_sold = 5 where sales_order_id in (3, 16384)"),
    ("delete from sales_order where sales_order_id in (3, -2147483648)",),
    (copied("sales_order", 50_000).replace("= 3", "= 1"), "delete from payment where payment_id = 20000"),
]
"""What happens to the source, batch by batch after the first."""

RECAPTURED = without("purchase_order", 2) + without("sales_order", 4)
"""What happens before the batch in which every table is taken whole, amid the others."""


@dataclass(frozen=True)
class Past:
    """A lake, and what the source was when each batch was taken."""

    world: World
    states: dict[int, State] = field(repr=False)

    @cached_property
    def athena(self) -> Athena:
        return Athena(self.world.platform)

    @property
    def ingestion(self) -> Path:
        return folder_of(self.world.platform.lake.ingestion)


def state_of(world: World) -> State:
    with psycopg.connect(world.source_url, row_factory=dict_row) as connection:
        return {
            name: connection.execute(
                sql.SQL("select {} from {} order by {}").format(
                    sql.SQL(", ").join(map(sql.Identifier, table.columns.keys())),
                    sql.Identifier(name),
                    sql.Identifier(key_of(table)),
                )
            ).fetchall()
            for name, table in SOURCE_TABLES.items()
        }


@pytest.fixture(scope="session")
def past(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Tests may ask it, and must leave it as it is."""
    for name in ("catalogue_totesys", "catalogue_warehouse"):
        assert postgres.create_database(name)
    folder = tmp_path_factory.mktemp("lake")
    platform = platform_at(postgres.url("catalogue_totesys"), postgres.url("catalogue_warehouse"), lake_in(folder))
    seed(platform.source.url, orders=40)
    world = World(platform)
    world.refresh()
    past = Past(world, {1: state_of(world)})
    for number, statements in enumerate(CHANGES):
        if number == len(CHANGES) // 2:
            world.change(*RECAPTURED)
            world.refresh(recapture=list(SOURCE_TABLES))
            past.states[world.head()] = state_of(world)
        world.change(*statements)
        world.refresh()
        past.states[world.head()] = state_of(world)
    assert list(past.states) == list(range(1, len(CHANGES) + 3))
    plant_uncommitted(past)
    return past


def plant_uncommitted(past: Past) -> None:
    """Leave parts of attempts that were never committed: beside every part, and in the folder of the next batch."""
    head = past.world.head()
    for number in range(1, head + 1):
        manifest = BatchLog(past.world.platform.lake.ingestion).manifest(number)
        for name, entry in manifest.tables.items():
            for part in (*entry.parts, *(entry.live_keys or ())):
                rows = pq.read_table(past.ingestion / part.path)
                false = altered(rows, f"{name}_id")
                stray = past.ingestion / part.path.replace(".parquet", "0.parquet")
                write(stray, false)
                write(past.ingestion / part.path.replace(f"batch={entry.batch:010}", f"batch={head + 1:010}"), false)


def altered(rows: pa.Table, key: str) -> pa.Table:
    """Rows that never were: keys that are there with other values, one key fewer, and those of ghosts."""
    for index, column in enumerate(rows.schema):
        if column.name != key and pa.types.is_int32(column.type):
            rows = rows.set_column(index, column, pc.add(rows.column(index), pa.scalar(1000, pa.int32())))
    index = rows.schema.get_field_index(key)
    ghosts = rows.take([0] * len(_GHOSTS)).set_column(index, rows.schema.field(key), pa.array(_GHOSTS, pa.int32()))
    return pa.concat_tables([rows.slice(1), ghosts])


def write(path: Path, rows: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)
