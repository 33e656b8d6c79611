"""The life of a company that a platform follows: how it begins and goes on, and what must hold at every moment of it.

What happens to the platform, and in which order, is drawn in `test_stateful.py`.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from psycopg import sql

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.zone import Zone
from totes_dagster.pipeline import refresh
from totes_dagster.simulator.simulator import Action, NothingToActOnError, Simulator
from totes_dagster_tests import oracle
from totes_dagster_tests.system.end_to_end.chronicle import SOURCES, Chronicle, ExpectedWarehouse
from totes_dagster_tests.system.end_to_end.edits import EDITS_OF_TABLES, Editor
from totes_dagster_tests.system.end_to_end.stage import Stage
from totes_dagster_tests.system.platforms import warehouse_at
from totes_dagster_tests.world import World

Changes = list[Action | str | None]

LATE = (Action.TRANSACTION_OPENED, Action.TRANSACTION_COMMITTED)

CHANGES: st.SearchStrategy[Changes] = st.lists(
    st.one_of(st.none(), st.sampled_from(LATE), st.sampled_from(Action), st.sampled_from(list(EDITS_OF_TABLES))),
    max_size=5,
)
"""What happens to the source before something happens to the platform; None is what the company would do next."""

NUMBERS = st.integers(0, 30)

WHETHER_FROM_LOG = st.sampled_from([True, True, False])
"""Whether changes are captured from the source's log: mostly, for a census is taken again and again even then."""

IN_THE_WAY = (psycopg.errors.LockNotAvailable, psycopg.errors.UniqueViolation, psycopg.DataError)
"""What the simulator stumbles over where others edit by hand: locks, keys, and a moment that never comes."""


class Life(RuleBasedStateMachine):
    """A company, its platform, and what they must be like.

    Attributes:
        chronicle: what the source said, and when.
        expected: what the warehouse must hold.
        files: all that the lake holds, and how to see whether somebody touched it.
        lost: objects that somebody removed, with what they held.
        backups: databases that are as source and warehouse were once, and what that warehouse must hold.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.files: dict[Path, tuple[int, int, int]] = {}
        self.lost: dict[Path, bytes] = {}

    @initialize(begun=st.booleans(), from_log=WHETHER_FROM_LOG, seed=NUMBERS)
    def begin(self, begun: bool, from_log: bool, seed: int) -> None:
        self.world = self.stage.world(begun=begun)
        self.capture(from_log=from_log)
        self.chronicle = Chronicle(self.world.source_url)
        self.expected = ExpectedWarehouse()
        if begun:
            self.expected.load_up_to(1, self.log, self.chronicle)
        self.backups = *self.stage.first_backups(begun=begun), self.expected.copy()
        self.simulator = Simulator(self.world.source_url, seed=seed, harsh=True)
        self.editor = Editor(self.world.source_url)

    @property
    def log(self) -> BatchLog:
        return BatchLog(self.world.platform.lake.ingestion)

    # What the machine does

    def capture(self, *, from_log: bool) -> None:
        """Capture changes from the log from now on, or by counting."""
        self.world = World(replace(self.world.platform, from_log=from_log))

    def live(self, changes: Changes, number: int = 0) -> None:
        """Let the company go on.

        Args:
            changes: what happens, in this order, as far as it can.
            number: which rows it happens to, where somebody edits by hand.
        """
        for change in changes:
            match change:
                case None:
                    self._let_happen(self.simulator.step)
                case Action():
                    self._let_happen(partial(self.simulator.perform, change))
                case _:
                    self.editor.edit(*EDITS_OF_TABLES[change], number=number)
            self.chronicle.note()

    def close_company(self) -> None:
        """Commit what waits to be, and leave the source alone."""
        with suppress(NothingToActOnError):
            while True:
                self.simulator.perform(Action.TRANSACTION_COMMITTED)
                self.chronicle.note()
        self.simulator.close()

    def open_company(self) -> None:
        """Go on with the source as it is."""
        self.simulator = Simulator(self.world.source_url, seed=self.expected.batch, harsh=True)
        self.chronicle.note()

    def use_warehouse(self, name: str, expected: ExpectedWarehouse) -> None:
        """Go on with another database for a warehouse."""
        platform = self.world.platform
        warehouse = warehouse_at(self.stage.server.url(name), platform.warehouse.schema)
        self.world = World(replace(platform, warehouse=warehouse))
        self.expected = expected

    # What always holds

    @invariant()
    def the_warehouse_shows_what_the_source_said_at_its_newest_batch(self) -> None:
        if self._there_is_a_warehouse():
            loaded = self.world.ask_one("select coalesce(max(batch), 0) from load_history")
            assert loaded >= self.expected.batch
            self.expected.load_up_to(loaded, self.log, self.chronicle)
            wrongs = list(self.expected.wrongs(self.world))
            assert not wrongs, wrongs

    @invariant()
    def nothing_in_the_lake_changes_or_disappears(self) -> None:
        now: dict[Path, tuple[int, int, int]] = {}
        for zone in (self.world.platform.lake.ingestion, self.world.platform.lake.processed):
            for path in folder_of(zone).rglob("*"):
                if path.is_file():
                    status = path.stat()
                    now[path] = status.st_ino, status.st_mtime_ns, status.st_size
        for path, found in self.files.items():
            assert now.get(path) == found, path
        for path in now.keys() & self.lost.keys():
            assert path.read_bytes() == self.lost.pop(path), path
        self.files = now

    def see_that_all_is_loaded(self) -> None:
        assert self.world.ask_one("select coalesce(max(batch), 0) from load_history") == self.log.head()

    def see_that_it_has_caught_up(self) -> None:
        """See that the warehouse shows the source as it is now."""
        self.see_that_all_is_loaded()
        url, schema = self.world.warehouse_url, self.world.platform.warehouse.schema
        # Where rows are set aside, their last sound versions stay; of these the chronicle knows.
        aside = self.chronicle.newest.aside
        stale = tuple(oracle.FACTS[fact].view for fact, table in SOURCES.items() if aside[table])
        differences = oracle.differences(self.world.source_url, url, schema)
        wrongs = [wrong for wrong in differences if not wrong.startswith(stale)]
        wrongs += oracle.broken_foreign_keys(url, schema)
        assert not wrongs, wrongs

    def teardown(self) -> None:
        try:
            self.simulator.close()
            if sys.exception() is None:
                self._end()
        finally:
            self.stage.clear()

    def _end(self) -> None:
        """See that one refresh puts everything right, whatever was before, and that the lake alone is enough for it."""
        self.chronicle.note()
        for name in (None, self.stage.empty()):
            if name:
                self.use_warehouse(name, ExpectedWarehouse())
            refresh(self.world.platform)
            self.see_that_it_has_caught_up()
            self.the_warehouse_shows_what_the_source_said_at_its_newest_batch()
            self.nothing_in_the_lake_changes_or_disappears()

    def _let_happen(self, action: Callable[[], object]) -> None:
        with suppress(NothingToActOnError, *IN_THE_WAY):
            action()

    def _there_is_a_warehouse(self) -> bool:
        with psycopg.connect(self.world.warehouse_url) as connection:
            table = sql.Identifier(self.world.platform.warehouse.schema, "load_history").as_string(connection)
            ((there,),) = connection.execute("select to_regclass(%s) is not null", [table]).fetchall()
            return there


def folder_of(zone: Zone) -> Path:
    """Where a zone keeps its objects."""
    return Path(urlsplit(zone.url).path)
