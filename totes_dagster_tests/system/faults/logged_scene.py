"""The scene of a refresh that takes what has changed from the source's log: several versions of its rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import refresh
from totes_dagster.simulator.seeding import publish, seed
from totes_dagster_tests.logged_sources import drop_slots_of
from totes_dagster_tests.system.faults.refreshing import Settings
from totes_dagster_tests.system.faults.scenes import RICH_CHANGE, Scene, settings_on, shown_by
from totes_dagster_tests.world import World

LOGGED_CHANGES = (
    # At the same moment in each copy.
    tuple(statement.replace("now()", "timestamp '2026-03-04 05:06:07'") for statement in RICH_CHANGE),
    (
        "update sales_order set units_sold = 5 where sales_order_id = 1000",
        "update design set design_name = 'Drawn once more' where design_id = 2",
    ),
    (
        "delete from payment where payment_id = 1000",
        "delete from transaction where transaction_id = 1000",
        "delete from sales_order where sales_order_id = 1000",
    ),
)
"""Transactions, each of which changes a row that the one before has changed. A census would see the last state only."""


@dataclass(frozen=True)
class LoggedScene(Scene):
    """A platform just before a refresh that takes several transactions from the log.

    Each copy has a source of its own, for a slot is of one database, and is moved by each refresh.
    """

    source_template: str = ""
    changes: tuple[tuple[str, ...], ...] = ()

    @contextmanager
    def copy(self, bucket: str | None = None) -> Iterator[Settings]:
        with self.database(self.source_template) as source:
            try:
                with super().copy(bucket) as settings:
                    logged = replace(settings, source=source, from_log=True)
                    refresh(logged.platform())
                    for statements in self.changes:
                        World(logged.platform()).change(*statements)
                    yield logged
            finally:
                drop_slots_of(source)


def logged_changes(server: EmbeddedPostgres, folder: Path) -> LoggedScene:
    """A company that the warehouse knows, and whose log has several transactions since."""
    for name in ("logged_source", "logged_template"):
        server.create_database(name)
    seed(server.url("logged_source"), orders=20, enforced=False)
    publish(server.url("logged_source"))
    before = settings_on(server, "logged_source", "logged_template", folder / "lake").platform()
    refresh(before)
    scene = LoggedScene(server.url(), "", "logged_template", folder / "lake", 2, (), source_template="logged_source")
    with scene.copy() as settings:
        twin = settings.platform()
        states = [shown_by(twin)]
        for statements in LOGGED_CHANGES:
            World(twin).change(*statements)
            refresh(twin)
            states.append(shown_by(twin))
        assert World(twin).wrongs() == []
        assert World(twin).versions("fact_sales_order", 1000) == ["live", "live", "deleted"]
    batches = scene.batches + len(LOGGED_CHANGES)
    return replace(scene, batches=batches, states=tuple(states), changes=LOGGED_CHANGES)
