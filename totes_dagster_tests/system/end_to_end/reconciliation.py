"""A company whose warehouse somebody else has access to, too; and what both must be after a reconciliation."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import Reconciled, reconcile
from totes_dagster.reconcile.compare import TableDifferences
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests import oracle
from totes_dagster_tests.system.end_to_end.chronicle import Chronicle, ExpectedWarehouse
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import NEW_DEAL, World


class Reconciliation:
    """A company, what its source said, and what its warehouse must hold."""

    def __init__(self, world: World, chronicle: Chronicle | None = None) -> None:
        self.world = world
        self.chronicle = chronicle or Chronicle(world.source_url)
        self.expected = ExpectedWarehouse()

    def change(self, *statements: str) -> None:
        """Change the source."""
        self.world.change(*statements)
        self.chronicle.note()

    def damage(self, *statements: str) -> None:
        """Change the warehouse, as somebody can whom no foreign key stops."""
        with psycopg.connect(self.world.warehouse_url) as connection:
            connection.execute("set local session_replication_role = replica")
            for statement in statements:
                assert connection.execute(statement).rowcount != 0, statement

    def take_over(self, *, repeats: bool = True) -> None:
        """Expect from now on what the warehouse holds now.

        Without repeats, no version that equals its predecessor, and none of a batch that was never loaded.
        """
        self._load()
        self.expected.versions = oracle.history(self.world.warehouse_url)
        if not repeats:
            newest = self.world.ask_one("select max(batch) from load_history")
            for versions in self.expected.versions.values():
                for key in [key for key, rows in versions.items() if all(row[-1] > newest for row in rows)]:
                    del versions[key]
                for key, rows in versions.items():
                    before = [None, *(row[:-1] for row in rows)]
                    versions[key] = [row for row, last in zip(rows, before, strict=False) if row[:-1] != last]

    def reconcile(self, progress: Progress = silent) -> Reconciled:
        """Reconcile; nothing may be wrong then, and the history must be what the batches made of the expected one."""
        done = reconcile(self.world.platform, progress)
        assert not any(done.left.values()), done.left
        wrongs = self.wrongs()
        assert not wrongs, wrongs
        return done

    def see_that_nothing_is_left(self) -> None:
        """Reconcile once more; that must find nothing and do nothing."""
        head, before = self.world.head(), places(self.world)
        assert found_in(self.reconcile()) == {}
        assert places(self.world) == before
        assert self.world.head() == head

    def wrongs(self) -> list[str]:
        """Whatever is wrong with the warehouse and its history."""
        self._load()
        return [*self.expected.wrongs(self.world), *self.world.wrongs()]

    def _load(self) -> None:
        log = BatchLog(self.world.platform.lake.ingestion)
        self.expected.load_up_to(self.world.ask_one("select max(batch) from load_history"), log, self.chronicle)


class Original:
    """A company whose source stays as it is, and whose warehouse has seen rows change, come and go in three batches.

    Args:
        server: where its databases shall be.
        folder: where its lakes shall be.
    """

    def __init__(self, server: EmbeddedPostgres, folder: Path) -> None:
        self._server = server
        self._folder = folder
        for name in ("original_source", "original_warehouse"):
            server.create_database(name)
        seed(server.url("original_source"), orders=60)
        world = self._world("original_warehouse", folder / "original")
        world.refresh()
        self._chronicle = Chronicle(world.source_url)
        for number in (1, 2):
            world.change(
                *(NEW_DEAL if number == 1 else ()),
                f"update sales_order set units_sold = units_sold + {number} where sales_order_id < 20",
                f"update purchase_order set item_quantity = item_quantity + {number} where purchase_order_id < 20",
                f"update payment set payment_amount = payment_amount + {number} where payment_id < 20",
                f"delete from sales_order where sales_order_id = {number}",
                f"delete from purchase_order where purchase_order_id = {number}",
                f"delete from payment where payment_id = {number}",
            )
            self._chronicle.note()
            world.refresh()

    @contextmanager
    def copy(self) -> Iterator[Reconciliation]:
        """The company with a warehouse and a lake of its own, which are gone when the block ends."""
        name = f"copy_{uuid.uuid4().hex[:12]}"
        self._administer("create database {} template {}", name, "original_warehouse")
        try:
            shutil.copytree(self._folder / "original", self._folder / name)
            it = Reconciliation(self._world(name, self._folder / name), self._chronicle)
            yield it
        finally:
            self._administer("drop database {} with (force)", name)

    def close(self) -> None:
        for name in ("original_source", "original_warehouse"):
            self._administer("drop database {} with (force)", name)

    def _administer(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _world(self, warehouse: str, lake: Path) -> World:
        return World(platform_at(self._server.url("original_source"), self._server.url(warehouse), lake_in(lake)))


def found_in(done: Reconciled) -> dict[str, TableDifferences]:
    """What was found, by the tables in which anything was."""
    return {star: differences for star, differences in done.found.items() if differences}


def places(world: World) -> dict[str, Any]:
    """Where every row of the warehouse lies, and who wrote it."""
    tables = (*oracle.DIMENSIONS, *oracle.FACTS, "load_history", "quarantine")
    return {table: world.ask(f"select ctid::text, xmin::text from {table} order by ctid") for table in tables}
