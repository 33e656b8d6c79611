"""Any life that a company and its platform may have, drawn step by step: what is claimed must hold after each step."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from totes_dagster.database import Database
from totes_dagster.errors import TotesError
from totes_dagster.lake.log import BatchLog
from totes_dagster.lake.store import Lake
from totes_dagster.local.postgres import EmbeddedPostgres
from totes_dagster.local.simulator import Action, NothingToActOnError, Simulator
from totes_dagster.settings import RETRY_SECONDS
from totes_dagster.stages.ingest import ingest
from totes_dagster.stages.reconcile import reconcile
from totes_dagster.stages.refresh import bring_up, refresh
from totes_dagster_tests import oracle
from totes_dagster_tests.end_to_end.chronicle import SOURCES, Chronicle, ExpectedWarehouse
from totes_dagster_tests.end_to_end.edits import DEFINITIONS, EDITS, Editor
from totes_dagster_tests.end_to_end.interruptions import LAKE_FAILURES, cutting_connections, die_at, with_faulty_lake
from totes_dagster_tests.end_to_end.stage import Stage, in_words, name_of
from totes_dagster_tests.end_to_end.world import World
from totes_dagster_tests.faults.refreshing import End, RefreshProcess

PATIENCE = 60.0  # seconds

DAMAGES = {
    "a value is changed": "update fact_sales_order set units_sold = -1 where sales_record_id = {newest}",
    "a row is hidden": "update fact_sales_order set is_deleted = true where sales_record_id = {newest}",
    "a row is lost": "delete from fact_sales_order where sales_order_id = "
    "(select sales_order_id from fact_sales_order where sales_record_id = {newest})",
    "a dimension is edited": "update dim_staff set location = 'Atlantis'",
    "a day has another name": "update dim_date set day_name = 'Someday' where day = 13",
}
"""What somebody may do to the warehouse, to the newest version of a sales order or elsewhere."""

NUMBERS = st.integers(0, 30)
FEW = st.integers(0, 8)


class Life(RuleBasedStateMachine):
    """A company, its platform, and whatever happens to either.

    Attributes:
        files: all that the lake must hold, and how to see that nobody touched it.
        lost: objects that somebody removed, with what they held.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.files: dict[Path, tuple[int, int, int]] = {}
        self.lost: dict[Path, bytes] = {}

    @initialize(begun=st.booleans(), seed=st.integers(0, 99))
    def begin(self, begun: bool, seed: int) -> None:
        self.world = self.stage.world(begun=begun)
        self.chronicle = Chronicle(self.world.source_url)
        self.expected = ExpectedWarehouse()
        self.simulator = Simulator(self.world.source_url, seed=seed)
        self.editor = Editor(self.world.source_url)
        self.backups: dict[str, tuple[str, ExpectedWarehouse]] = {}

    @property
    def log(self) -> BatchLog:
        return BatchLog(self.world.platform.ingestion)

    # The company

    @rule(actions=st.integers(1, 4))
    def the_company_works(self, actions: int) -> None:
        for _ in range(actions):
            self._let_happen(self.simulator.step)
        self.chronicle.note()

    @rule(action=st.sampled_from(Action))
    def something_happens(self, action: Action) -> None:
        self._let_happen(partial(self.simulator.perform, action))
        self.chronicle.note()

    @rule(edit=st.sampled_from(list(EDITS)), number=NUMBERS)
    def somebody_edits(self, edit: str, number: int) -> None:
        self.editor.edit(EDITS[edit], number=number)
        self.chronicle.note()

    @rule(change=st.sampled_from(list(DEFINITIONS)), number=NUMBERS)
    def somebody_changes_a_definition(self, change: str, number: int) -> None:
        self.editor.edit(*DEFINITIONS[change], number=number)
        self.chronicle.note()

    # The platform

    @rule()
    def a_refresh(self) -> None:
        refresh(self.world.platform)
        self._see_that_it_has_caught_up()

    @rule()
    def ingest_alone(self) -> None:
        ingest(self.world.platform.source, self.world.platform.ingestion)

    @rule()
    def load_alone(self) -> None:
        bring_up(self.world.platform)
        self._see_that_all_is_loaded()

    @rule()
    def a_reconciliation(self) -> None:
        found = reconcile(self.world.platform).found
        assert not any(found.values()), found
        self._see_that_it_has_caught_up()

    @rule(other=st.sampled_from([refresh, reconcile]))
    def a_race(self, other: Callable[..., object]) -> None:
        together = threading.Barrier(2, timeout=PATIENCE)
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(lambda work=work: (together.wait(), work(self._restarted()))) for work in (refresh, other)
            ]
            for run in runs:
                run.result(timeout=PATIENCE)
        self._see_that_it_has_caught_up()

    @rule(
        stage=st.sampled_from(["ingest", "remodel", "load"]), passes=FEW, edit=st.sampled_from(list(EDITS)), number=NUMBERS
    )
    def somebody_edits_during_a_refresh(self, stage: str, passes: int, edit: str, number: int) -> None:
        left = iter(range(passes + 1))

        def edit_once(now: str, table: str, rows: int) -> None:
            if now == stage and next(left, None) == passes:
                self.editor.edit(EDITS[edit], number=number)
                self.chronicle.note()

        refresh(self.world.platform, progress=edit_once)
        self._see_that_all_is_loaded()

    @rule()
    def restart(self) -> None:
        self.world = World(self._restarted())

    # Faults

    @rule(
        what=st.sampled_from(["before create", "after create", "before read", "before exists"]),
        passes=st.integers(0, 30),
        failure=st.sampled_from(LAKE_FAILURES),
    )
    def the_lake_fails(self, what: str, passes: int, failure: type[BaseException]) -> None:
        with _impatience(), _may_fail(failure):
            refresh(with_faulty_lake(self.world.platform, what, passes, failure))
            self._see_that_it_has_caught_up()

    @rule(stage=st.sampled_from(["ingest", "load"]), passes=FEW)
    def connections_are_cut(self, stage: str, passes: int) -> None:
        with _impatience(), _may_fail(TotesError):
            refresh(self.world.platform, progress=cutting_connections(self.world.platform, stage, passes))
            self._see_that_it_has_caught_up()

    @rule(
        what=st.sampled_from(["before create", "after create", "before commit", "after commit"]),
        passes=st.integers(0, 20),
    )
    def a_process_is_killed(self, what: str, passes: int) -> None:
        process = RefreshProcess(in_words(self.world.platform), partial(die_at, what, passes % 3 if "commit" in what else passes))
        outcome = process.wait()
        assert outcome.end in {End.SUCCESS, End.DIED}, outcome
        self._wait_until_the_servers_have_noticed()
        if outcome.end is End.SUCCESS:
            self._see_that_it_has_caught_up()

    @rule(every=st.integers(1, 7))
    def objects_are_lost(self, every: int) -> None:
        processed = _folder(self.world.platform.processed)
        for path in sorted(path for path in self.files if path.is_relative_to(processed))[::every]:
            self.lost[path] = path.read_bytes()
            del self.files[path]
            path.unlink()

    @rule()
    def another_warehouse(self) -> None:
        self._use_warehouse(self.stage.empty(), ExpectedWarehouse())

    @rule()
    def back_up_the_warehouse(self) -> None:
        copy = self.stage.copy(name_of(self.world.warehouse_url))
        self.backups["warehouse"] = copy, self.expected.copy()

    @precondition(lambda self: "warehouse" in self.backups)
    @rule()
    def restore_the_warehouse(self) -> None:
        name, expected = self.backups["warehouse"]
        self._use_warehouse(self.stage.copy(name), expected.copy())

    @rule()
    def back_up_the_source(self) -> None:
        self.backups["source"] = self._copy_of_source(), self.expected

    @precondition(lambda self: "source" in self.backups)
    @rule()
    def restore_the_source(self) -> None:
        self.simulator.close()
        self.stage.replace(name_of(self.world.source_url), self.backups["source"][0])
        self.simulator = Simulator(self.world.source_url, seed=self.expected.batch)
        self.chronicle.note()

    @rule(damage=st.sampled_from(list(DAMAGES)), number=NUMBERS)
    def somebody_damages_the_warehouse(self, damage: str, number: int) -> None:
        refresh(self.world.platform)
        self.the_warehouse_shows_what_the_source_said_at_its_newest_batch()
        newest = self.world.ask("select max(sales_record_id) from fact_sales_order group by sales_order_id order by 1")
        if not newest:
            return
        self._change_warehouse(DAMAGES[damage].format(newest=newest[number % len(newest)][0]))
        self.expected.versions = oracle.history(self.world.warehouse_url, self.world.platform.schema)
        reconciled = reconcile(self.world.platform)
        assert not any(reconciled.left.values()), reconciled.left
        self._see_that_it_has_caught_up()

    # What always holds

    @invariant()
    def the_warehouse_shows_what_the_source_said_at_its_newest_batch(self) -> None:
        if self._is_there():
            loaded = self.world.ask_one("select coalesce(max(batch), 0) from load_history")
            assert loaded >= self.expected.batch
            self.expected.load_up_to(loaded, self.log, self.chronicle)
            assert list(self.expected.wrongs(self.world)) == []

    @invariant()
    def nothing_in_the_lake_changes_or_disappears(self) -> None:
        now = {}
        for zone in (self.world.platform.ingestion, self.world.platform.processed):
            for path in _folder(zone).rglob("*"):
                if path.is_file():
                    found = path.stat()
                    now[path] = found.st_ino, found.st_mtime_ns, found.st_size
        for path, found in self.files.items():
            assert now.get(path) == found, path
        for path in now.keys() & self.lost.keys():
            assert path.read_bytes() == self.lost.pop(path), path
        self.files = now

    def teardown(self) -> None:
        try:
            self.simulator.close()
            if sys.exception() is None:
                self.chronicle.note()
                self.a_refresh()
                self.the_warehouse_shows_what_the_source_said_at_its_newest_batch()
                # The lake alone rebuilds it, history included.
                self.another_warehouse()
                self.a_refresh()
                self.the_warehouse_shows_what_the_source_said_at_its_newest_batch()
                self.nothing_in_the_lake_changes_or_disappears()
        finally:
            self.stage.clear()

    def _see_that_all_is_loaded(self) -> None:
        assert self.world.ask_one("select coalesce(max(batch), 0) from load_history") == self.log.head()

    def _see_that_it_has_caught_up(self) -> None:
        """See that the warehouse shows the source as it is now."""
        self._see_that_all_is_loaded()
        url, schema = self.world.warehouse_url, self.world.platform.schema
        assert oracle.broken_foreign_keys(url, schema) == []
        wrongs = oracle.differences(self.world.source_url, url, schema)
        # Where rows are set aside, their last sound versions stay; of these the chronicle knows.
        state = self.chronicle.newest
        stale = tuple(oracle.FACTS[fact].view for fact, table in SOURCES.items() if state.aside[table])
        assert [wrong for wrong in wrongs if not wrong.startswith(stale)] == []

    def _let_happen(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (NothingToActOnError, psycopg.errors.LockNotAvailable, psycopg.DataError):
            pass  # the simulator's own reading stumbles over a moment that never comes

    def _restarted(self) -> object:
        platform = self.world.platform
        return replace(platform, ingestion=Lake(platform.ingestion.url), processed=Lake(platform.processed.url))

    def _use_warehouse(self, name: str, expected: ExpectedWarehouse) -> None:
        warehouse = Database("warehouse", self.stage.server.url(name))
        self.world = World(replace(self.world.platform, warehouse=warehouse))
        self.expected = expected

    def _copy_of_source(self) -> str:
        """A copy of the source without what is not committed; what waits to be is committed first."""
        self.simulator.close()
        self.chronicle.note()
        copy = self.stage.copy(name_of(self.world.source_url))
        self.simulator = Simulator(self.world.source_url, seed=self.expected.batch)
        return copy

    def _change_warehouse(self, statement: str) -> None:
        with psycopg.connect(self.world.warehouse_url) as connection:
            connection.execute("select set_config('search_path', quote_ident(%s), true)", [self.world.platform.schema])
            connection.execute(statement)

    def _is_there(self) -> bool:
        with psycopg.connect(self.world.warehouse_url) as connection:
            table = psycopg.sql.Identifier(self.world.platform.schema, "quarantine").as_string(connection)
            ((there,),) = connection.execute("select to_regclass(%s) is not null", [table]).fetchall()
            return there

    def _wait_until_the_servers_have_noticed(self) -> None:
        give_up_at = time.monotonic() + PATIENCE
        with psycopg.connect(self.stage.server.url(), autocommit=True) as connection:
            ours = "select from pg_stat_activity where application_name = 'totes_dagster' and datname = any (%s)"
            names = [name_of(url) for url in (self.world.source_url, self.world.warehouse_url)]
            while connection.execute(ours, [names]).rowcount:
                assert time.monotonic() < give_up_at
                time.sleep(0.01)


@contextmanager
def _impatience() -> Iterator[None]:
    """Let what fails for a moment not be tried again."""
    with patch.dict(os.environ, {RETRY_SECONDS: "0"}):
        yield


@contextmanager
def _may_fail(failure: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except failure:
        pass


def _folder(zone: Lake) -> Path:
    return Path(urlsplit(zone.url).path)


@pytest.fixture(scope="module")
def stage(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(postgres, tmp_path_factory.mktemp("stage"))
    stage.prepare()
    yield stage
    stage.close()


def test_whatever_happens_the_warehouse_tells_the_truth(stage: Stage) -> None:
    run_state_machine_as_test(
        partial(Life, stage),
        settings=settings(
            max_examples=10,
            stateful_step_count=25,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate], report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
