"""Random lives of a company, followed step by step: the state is always right, and so is all of the history."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.lake.zone import Zone
from totes_dagster.pipeline import load, remodel
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Action, Event, NothingToActOnError, Simulator
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests import oracle
from totes_dagster_tests.system.platforms import warehouse_at
from totes_dagster_tests.world import World

STEPS = 32
LIVES = {1: True, 2: False}
"""By the seed of a life, whether its source enforces all references."""
SELDOM = (
    Action.ORDER_DELETED,
    Action.ORDER_RESTORED,
    Action.ORDER_EDITED_SILENTLY,
    Action.ORDER_EDITED_IN_SAVEPOINT,
    Action.TRANSACTION_OPENED,
    Action.TRANSACTION_COMMITTED,
    Action.ORDER_BEFORE_DESIGN,
    Action.LATE_DESIGN,
    Action.PAYMENT_BEFORE_ORDER,
    Action.LATE_ORDER,
    Action.ORDER_DELETED_ALONE,
)
"""What every life has at least one of, however short it is, if its source allows it."""


class ExpectedHistory:
    """What the facts must hold, written down from what the source said at each refresh."""

    def __init__(self) -> None:
        self.versions: dict[str, oracle.Versions] = {name: {} for name in oracle.FACTS}

    def note(self, now: dict[str, dict[int, oracle.Row]], batch: int) -> None:
        for fact, rows in now.items():
            versions = self.versions[fact]
            for key, row in rows.items():
                live = (*row, False)
                if key not in versions or versions[key][-1][:-1] != live:
                    versions.setdefault(key, []).append((*live, batch))
            for key in versions.keys() - rows.keys():
                *last, deleted, _ = versions[key][-1]
                if not deleted:
                    versions[key].append((*last, True, batch))


def lived(world: World, life: int) -> ExpectedHistory:
    """Let a company live, refreshing after each step; after each, the warehouse must show what the source holds."""
    expected = ExpectedHistory()
    seed(world.source_url, orders=200, seed=life, enforced=LIVES[life])
    world.refresh()
    expected.note(oracle.current_rows(world.source_url), world.head())
    fate = sorted(Random(life).sample(range(STEPS), len(SELDOM)))
    with Simulator(world.source_url, seed=life, harsh=True) as simulator:
        for step in range(STEPS):
            event = happening(simulator, SELDOM[fate.index(step)] if step in fate else None)
            world.refresh()
            assert world.wrongs() == [], event
            expected.note(oracle.current_rows(world.source_url), world.head())
    # What the simulator still had open is committed now.
    world.refresh()
    assert world.wrongs() == []
    expected.note(oracle.current_rows(world.source_url), world.head())
    return expected


def happening(simulator: Simulator, action: Action | None) -> Event:
    """Let this action happen; any, if chance had it happen already, or the source does not allow it."""
    if action is not None:
        with suppress(NothingToActOnError):
            return simulator.perform(action)
    return simulator.step()


def contents(url: str) -> dict[str, object]:
    """All that a warehouse holds but generated ids and the moments of loading."""
    return {**oracle.history(url), **oracle.dimension_rows(url)}


@pytest.mark.parametrize("life", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_any_life_of_a_company_is_shown_as_it_is_and_remembered_as_it_was(
    platform: Platform, database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory, life: int
) -> None:
    world = World(platform)
    expected = lived(world, life)
    found = oracle.history(world.warehouse_url)
    assert found == expected.versions
    # A life in which nothing happened would prove nothing.
    assert world.head() > STEPS / 2
    lives = {tuple(version[-2] for version in key) for versions in found.values() for key in versions.values()}
    assert {(False, False), (False, True, False)} <= lives

    # The lake alone can tell it all again, to a warehouse that saw nothing of it.
    again = replace(platform, warehouse=warehouse_at(database("rebuilt")))
    migrate(again.warehouse)
    load(again.warehouse, again.lake)
    assert contents(again.warehouse.database.url) == contents(world.warehouse_url)

    # So can its ingestion zone alone, to the byte.
    folder = tmp_path_factory.mktemp("remodelled")
    anew = replace(platform, lake=replace(platform.lake, processed=Zone(folder.as_uri())))
    for star in STAR_TABLES:
        remodel(star, anew.lake)
    objects = platform.lake.processed.paths("")
    assert anew.lake.processed.paths("") == objects
    assert all(anew.lake.processed.read(path) == platform.lake.processed.read(path) for path in objects)
