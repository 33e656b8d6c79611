"""The refreshes that everything happens to, and what must become of them: a first load, many changes, and feeds.

A scene is set up once; each fault gets a fresh copy of it.
"""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Platform
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, SALES_TARGET, SHIPMENT, Feed
from totes_dagster.ingest import parts
from totes_dagster.lake.batch_log import BatchLog, FeedLog
from totes_dagster.lake.processed import star_parts
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import refresh
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster.warehouse import bulk_load as bulk
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests import oracle
from totes_dagster_tests.feeding import feed_columns, feeding_from, rates, shipments, targets
from totes_dagster_tests.system.faults.refreshing import Settings
from totes_dagster_tests.world import NEW_DEAL, World

RICH_CHANGE = (
    *NEW_DEAL,
    "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7",
    "delete from sales_order where sales_order_id = 9",
    "update sales_order set design_id = 4711 where sales_order_id = 8",
    "update purchase_order set item_quantity = item_quantity + 1 where purchase_order_id = 3",
    "delete from payment where payment_id = 5",
    "update payment set transaction_id = 4712 where payment_id = 6",
    "update design set design_name = 'Drawn anew' where design_id = 2",
    "update address set city = 'Elsewhere' where address_id = 3",
    "insert into currency values (99, 'SEK', now(), now())",
    "update staff set last_name = 'Lovelace' where staff_id = 1",
    "update payment_type set last_updated = now() where payment_type_id = 1",
)
"""One of everything: it writes parts, live keys, dimensions, versions, tombstones and placeholders, and rows that make
no difference.
"""

BAD_ROWS = (
    "update purchase_order set item_unit_price = 'NaN' where purchase_order_id = 4",
    "update payment set payment_date = 'soon' where payment_id = 8",
)
"""And rows that have to be set aside. They come later, for the oracle is not to judge them."""

State = dict[str, Any]
"""All that a warehouse shows, but for generated ids and the time."""


_FEW = 500

_OF_FEEDS = {
    "feed_history": "select feed, batch, counts::text from feed_history order by 1, 2",
    "feed_file": "select feed, path, sha256, rows, refused, repeats, batch from feed_file order by 1, 2",
    "feed_quarantine": "select * from feed_quarantine order by 1, 2, 3",
    "rate_on_day": "select * from rate_on_day order by 1, 2",
    **{
        feed.fact.name: f"select {names}, batch from {feed.fact.name} order by {names}, batch"
        for feed in FEEDS.values()
        for names in [", ".join(feed_columns(feed))]
    },
}
"""What is asked to see all that a warehouse shows of feeds."""


def bulk_load() -> None:
    """Let a small company's first load go the way of a big one's: several parts, and keys and indexes set aside."""
    parts.ROWS_PER_PART = 12
    bulk.MANY_ROWS = 10


@dataclass(frozen=True)
class Scene:
    """A platform just before a refresh, and what the warehouse shows before and after it.

    Attributes:
        server: where any of the server's databases can be reached.
        source: the source, which no refresh changes, so that all can have the same.
        template: name of a database like the warehouse's.
        lake: a folder with both zones, as they are before.
        batches: how many there must be in the end.
        states: every state that the warehouse may be in from here on, the last one being what it must come to.
        prepare: what the process of the refresh does first.
        of_feeds: whether the lake's folder has a landing zone besides, and the refresh is one of feeds.
    """

    server: str
    source: str
    template: str
    lake: Path
    batches: int
    states: tuple[State, ...]
    prepare: Callable[[], None] | None = None
    of_feeds: bool = False

    @contextmanager
    def copy(self, bucket: str | None = None) -> Iterator[Settings]:
        """A platform in the scene's state, which is gone when the block ends.

        Args:
            bucket: where its lake shall be; None for a folder.
        """
        with self.database(self.template) as warehouse:
            name = f"lake_{uuid.uuid4().hex[:12]}"
            with _bucket(self.lake, bucket, name) if bucket else _folder(self.lake, name) as url:
                yield Settings(
                    self.source,
                    warehouse,
                    f"{url}/ingestion",
                    f"{url}/processed",
                    landing=f"{url}/landing" if self.of_feeds else "",
                )

    @contextmanager
    def database(self, template: str) -> Iterator[str]:
        """The URI of a new database that is like another one, and gone when the block ends."""
        name = f"stage_{uuid.uuid4().hex[:12]}"
        administer(self.server, "create database {} template {} strategy file_copy", name, template)
        try:
            yield make_conninfo(self.server, dbname=name)
        finally:
            administer(self.server, "drop database {} with (force)", name)


def administer(server: str, statement: str, *names: str) -> None:
    """Run a statement outside a transaction, with names in its places."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def first_load(server: EmbeddedPostgres, folder: Path) -> Scene:
    """A company that no warehouse has seen yet."""
    for name in ("first_source", "first_template", "first_twin"):
        server.create_database(name)
    seed(server.url("first_source"), orders=20)
    twin = settings_on(server, "first_source", "first_twin", folder / "twin").platform()
    nothing = shown_by(twin)
    migrate(twin.warehouse)
    empty = shown_by(twin)
    refresh(twin)
    assert World(twin).wrongs(strict=True) == []
    lake = folder / "lake"
    lake.mkdir()
    states = (nothing, empty, shown_by(twin))
    return Scene(server.url(), twin.source.url, "first_template", lake, 1, states, bulk_load)


def rich_change(server: EmbeddedPostgres, folder: Path) -> Scene:
    """A company that the warehouse knows, in which then a lot has changed."""
    for name in ("changed_source", "changed_template"):
        server.create_database(name)
    seed(server.url("changed_source"), orders=20, enforced=False)
    before = settings_on(server, "changed_source", "changed_template", folder / "lake")
    refresh(before.platform())
    scene = Scene(server.url(), before.source, "changed_template", folder / "lake", 2, (shown_by(before.platform()),))
    World(before.platform()).change(*RICH_CHANGE)
    with scene.copy() as settings:
        twin = settings.platform()
        refresh(twin)
        assert World(twin).wrongs() == []
    World(before.platform()).change(*BAD_ROWS)
    with scene.copy() as settings:
        twin = settings.platform()
        refresh(twin)
        assert World(twin).quarantined() == [("payment", 8), ("purchase_order", 4)]
        return replace(scene, states=(*scene.states, shown_by(twin)))


def files_of_feeds(server: EmbeddedPostgres, folder: Path) -> Scene:
    """A company that the warehouse knows, and files of all feeds, some of which were taken before."""
    for name in ("feeding_source", "feeding_template", "feeding_twin"):
        server.create_database(name)
    seed(server.url("feeding_source"), orders=5)
    before = settings_on(server, "feeding_source", "feeding_template", folder / "lake").platform()
    refresh(before)
    feeding = feeding_from(World(before), (folder / "lake" / "landing").as_uri())
    feeding.drop(SHIPMENT, "a.ndjson", shipments((1, 5), (2, 0)))
    feeding.drop(SHIPMENT, "b.ndjson", b"<html>")
    feeding.refresh(SHIPMENT)
    states = [shown_by(before)]
    feeding.drop(SHIPMENT, "a.ndjson", shipments((1, 6), (2, 7), (3, 0)))
    feeding.drop(SHIPMENT, "b.ndjson", b"<html></html>")
    # Of other orders: in a copy, the files may have landed in another order.
    feeding.drop(SHIPMENT, "c.ndjson", shipments((4, 8), (5, 9)))
    feeding.drop(SALES_TARGET, "a.csv", targets(("2026-11", "100", "2026-10-01"), ("2026-11", "90", "2026-09-01")))
    feeding.drop(EXCHANGE_RATE, "a.ndjson", rates("GBP", date(2026, 11, 2), "0.8", "0.8", "1.8", "0.8"))
    scene = Scene(server.url(), before.source.url, "feeding_template", folder / "lake", 1, (), of_feeds=True)
    with scene.copy() as settings:
        twin = feeding_from(World(settings.platform()), settings.landing)
        for feed in FEEDS.values():
            twin.refresh(feed)
            states.append(shown_by(settings.platform()))
    assert len(states[-1]["feed_quarantine"]) == 2
    return replace(scene, states=tuple(states))


def shown_by(platform: Platform) -> State:
    """All that a warehouse shows: its tables, and every row of them."""
    url, schema = platform.warehouse.database.url, platform.warehouse.schema
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select relname from pg_class where relnamespace = to_regnamespace(%s) and relkind = 'r' order by 1",
            [schema],
        ).fetchall()
        if ("load_history",) not in tables:
            return {"tables": tables}
        connection.execute("select set_config('search_path', quote_ident(%s), true)", [schema])
        own = {
            "tables": tables,
            "load_history": connection.execute("select batch from load_history order by batch").fetchall(),
            "quarantine": connection.execute(
                "select source_table, source_key, reason, batch from quarantine order by 1, 2"
            ).fetchall(),
        }
        if ("commit_time",) in tables:
            query = "select fact, key, batch from commit_time order by 1, 2, 3"
            own["commit_time"] = connection.execute(query).fetchall()
        if ("feed_history",) in tables:
            own |= {name: connection.execute(query).fetchall() for name, query in _OF_FEEDS.items()}
    return {**own, **oracle.history(url, schema), **oracle.dimension_rows(url, schema)}


def differences(shown: State, right: State) -> str:
    """Where a warehouse is not what it should be, in few words."""
    return "; ".join(
        f"{table} is {shown.get(table)}, not {right.get(table)}"[:_FEW]
        for table in {**right, **shown}
        if shown.get(table) != right.get(table)
    )


def unreadable(platform: Platform, batches: int) -> Iterator[str]:
    """What the newest of so many batches names in the lake, and is not there or not whole."""
    log = BatchLog(platform.lake.ingestion)
    if log.head() != batches:
        yield f"The lake has {log.head()} batches, not {batches}."
    else:
        manifest = log.manifest(batches)
        for name, entry in manifest.tables.items():
            if manifest.brings(name):
                for part in (*entry.parts, *(entry.live_keys or ())):
                    rows = platform.lake.ingestion.read_part(part.path).num_rows
                    if rows != part.rows:
                        yield f"{part.path} has {rows} rows, not {part.rows}."
        for star in STAR_TABLES:
            for star_part in star_parts(star, manifest):
                if not platform.lake.processed.read_part(star_part.path).num_columns:
                    yield f"{star_part.path} has no columns."
    for feed in FEEDS.values():
        yield from _unreadable_of(feed, platform.lake)


def _unreadable_of(feed: Feed, lake: Lake) -> Iterator[str]:
    """What the batches of a feed name in the lake, and is not there or not whole; and files that two have taken."""
    log = FeedLog(lake.ingestion, feed.name)
    taken: list[tuple[str, str]] = []
    for batch in range(1, log.head() + 1):
        manifest = log.manifest(batch)
        taken += [(file.path, file.version) for file in manifest.files]
        parts = [each for part in manifest.parts for each in (part.rows, part.quarantine)]
        for part in (*manifest.known, *parts):
            if part and lake.ingestion.read_part(part.path).num_rows != part.rows:
                yield f"{part.path} has not {part.rows} rows."
        for file in manifest.files:
            if file.dead_letter and not lake.ingestion.exists(file.dead_letter):
                yield f"{file.dead_letter} is missing."
    if len(set(taken)) < len(taken):
        yield f"Files of {feed.name} were taken twice: {sorted(taken)}"


def settings_on(server: EmbeddedPostgres, source: str, warehouse: str, lake: Path) -> Settings:
    """A platform on two databases of a server, and a lake in a folder."""
    url = lake.as_uri()
    return Settings(server.url(source), server.url(warehouse), f"{url}/ingestion", f"{url}/processed")


@contextmanager
def _folder(lake: Path, name: str) -> Iterator[str]:
    copy = lake.parent / name
    shutil.copytree(lake, copy)
    yield copy.as_uri()
    shutil.rmtree(copy)


@contextmanager
def _bucket(lake: Path, bucket: str, name: str) -> Iterator[str]:
    copy = Zone(f"s3://{bucket}/{name}")
    for file in lake.rglob("*"):
        if file.is_file():
            assert copy.create(str(file.relative_to(lake)), file.read_bytes())
    yield copy.url
