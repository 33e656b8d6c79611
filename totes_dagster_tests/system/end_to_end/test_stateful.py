"""Any life that a company and its platform may have, drawn step by step: what is claimed must hold after each step."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from totes_dagster.config.platform import Platform
from totes_dagster.ingest import parts as parts_stage
from totes_dagster.ingest.wal import slot
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import catch_up, ingest, reconcile, refresh
from totes_dagster_tests import oracle
from totes_dagster_tests.system.end_to_end.chronicle import ExpectedWarehouse
from totes_dagster_tests.system.end_to_end.edits import EDITS
from totes_dagster_tests.system.end_to_end.interruptions import (
    LAKE_FAILURES,
    PATIENCE,
    Interruption,
    KilledProcess,
    LakeFailure,
    LostConnections,
    after,
)
from totes_dagster_tests.system.end_to_end.life import CHANGES, NUMBERS, WHETHER_FROM_LOG, Changes, Life, folder_of
from totes_dagster_tests.system.end_to_end.stage import Stage, name_of
from totes_dagster_tests.system.platforms import reopened
from totes_dagster_tests.world import World

DAMAGES = {
    "a value is changed": "update fact_sales_order set units_sold = -1 where sales_record_id = {newest}",
    "a row is hidden": "update fact_sales_order set is_deleted = true where sales_record_id = {newest}",
    "a row is lost": "delete from fact_sales_order where sales_order_id = "
    "(select sales_order_id from fact_sales_order where sales_record_id = {newest})",
    "a dimension is edited": "update dim_staff set location = 'Atlantis'",
    "a day has another name": "update dim_date set day_name = 'Someday' where day = 13",
}
"""What somebody may do to the warehouse: to the newest version of a sales order, or elsewhere."""

FEW = st.integers(0, 8)

INTERRUPTIONS: st.SearchStrategy[Interruption] = st.one_of(
    st.builds(
        LakeFailure,
        st.sampled_from(["before create", "after create", "before read", "before exists"]),
        NUMBERS,
        st.sampled_from(LAKE_FAILURES),
    ),
    st.builds(LostConnections, st.sampled_from(["ingest", "load"]), FEW),
    st.builds(KilledProcess, st.sampled_from(["before create", "after create"]), NUMBERS),
    st.builds(KilledProcess, st.sampled_from(["before commit", "after commit"]), st.integers(0, 2)),
)


class EventfulLife(Life):
    """A life in which anything may happen to the platform."""

    has_own_backups = False

    # Work

    @rule(changes=CHANGES, number=NUMBERS, restarted=st.booleans(), reconciled=st.booleans(), from_log=WHETHER_FROM_LOG)
    def somebody_refreshes(
        self, changes: Changes, number: int, restarted: bool, reconciled: bool, from_log: bool
    ) -> None:
        self.live(changes, number)
        self.capture(from_log=from_log)
        if restarted:
            self.world = World(_restarted(self.world.platform))
        if reconciled:
            found = reconcile(self.world.platform).found
            assert not any(found.values()), found
        else:
            refresh(self.world.platform)
        self.see_that_it_has_caught_up()

    @rule(rounds=st.lists(CHANGES, min_size=1, max_size=3), number=NUMBERS, then_loaded=st.booleans())
    def batches_wait(self, rounds: list[Changes], number: int, then_loaded: bool) -> None:
        for changes in rounds:
            self.live(changes, number)
            ingest(self.world.platform.source, self.world.platform.lake.ingestion)
        if then_loaded:
            catch_up(self.world.platform.warehouse, self.world.platform.lake)
            self.see_that_all_is_loaded()

    @rule(
        changes=CHANGES, number=NUMBERS, works=st.lists(st.sampled_from([refresh, reconcile]), min_size=2, max_size=2)
    )
    def two_race(self, changes: Changes, number: int, works: list[Callable[[Platform], object]]) -> None:
        self.live(changes, number)
        together = threading.Barrier(len(works), timeout=PATIENCE)

        def run(work: Callable[[Platform], object]) -> None:
            platform = _restarted(self.world.platform)
            together.wait()
            work(platform)

        with ThreadPoolExecutor(len(works)) as pool:
            list(pool.map(run, works, timeout=PATIENCE))
        self.see_that_it_has_caught_up()

    @rule(
        changes=CHANGES,
        stage=st.sampled_from(["ingest", "remodel", "load"]),
        passes=FEW,
        edit=st.sampled_from(list(EDITS)),
        number=NUMBERS,
    )
    def somebody_edits_during_a_refresh(
        self, changes: Changes, stage: str, passes: int, edit: str, number: int
    ) -> None:
        def edit_now() -> None:
            self.editor.edit(*EDITS[edit], number=number)
            self.chronicle.note()

        self.live(changes, number)
        refresh(self.world.platform, progress=after(stage, passes, edit_now))
        self.see_that_all_is_loaded()

    @rule(changes=CHANGES, number=NUMBERS, interruption=INTERRUPTIONS)
    def a_refresh_is_interrupted(self, changes: Changes, number: int, interruption: Interruption) -> None:
        self.live(changes, number)
        if interruption.strike(self.world.platform):
            self.see_that_it_has_caught_up()

    # Disasters

    @rule(changes=CHANGES, number=NUMBERS, every=st.integers(1, 7), another=st.booleans())
    def objects_are_lost(self, changes: Changes, number: int, every: int, another: bool) -> None:
        processed = folder_of(self.world.platform.lake.processed)
        for path in sorted(path for path in self.files if path.is_relative_to(processed))[::every]:
            self.lost[path] = path.read_bytes()
            del self.files[path]
            path.unlink()
        if another:
            self.use_warehouse(self.stage.empty(), ExpectedWarehouse())
        self.live(changes, number)
        refresh(self.world.platform)
        self.see_that_it_has_caught_up()

    @precondition(lambda self: not self.has_own_backups)
    @rule(changes=CHANGES)
    def backups_are_made(self, changes: Changes) -> None:
        self.live(changes)
        self.close_company()
        self.backups = (
            self.stage.copy(name_of(self.world.source_url)),
            self.stage.copy(name_of(self.world.warehouse_url)),
            self.expected.copy(),
        )
        self.has_own_backups = True
        self.open_company()

    @rule(changes=CHANGES, source=st.booleans())
    def a_backup_is_restored(self, changes: Changes, source: bool) -> None:
        source_copy, warehouse_copy, expected = self.backups
        if source:
            self.close_company()
            self.stage.replace(name_of(self.world.source_url), source_copy)
            self.open_company()
            self.live(changes)
        else:
            self.use_warehouse(self.stage.copy(warehouse_copy), expected.copy())

    @rule(changes=CHANGES, damage=st.sampled_from(list(DAMAGES)), number=NUMBERS)
    def somebody_damages_the_warehouse(self, changes: Changes, damage: str, number: int) -> None:
        self.live(changes, number)
        # Not a refresh: what is taken from the log is counted once more, in the first batch after it.
        reconcile(self.world.platform)
        self.the_warehouse_shows_what_the_source_said_at_its_newest_batch()
        self._damage(DAMAGES[damage], number)
        self.expected.versions = oracle.history(self.world.warehouse_url, self.world.platform.warehouse.schema)
        reconciled = reconcile(self.world.platform)
        assert not any(reconciled.left.values()), reconciled.left
        self.see_that_it_has_caught_up()

    def _damage(self, statement: str, number: int) -> None:
        with psycopg.connect(self.world.warehouse_url) as connection:
            connection.execute(
                "select set_config('search_path', quote_ident(%s), true)", [self.world.platform.warehouse.schema]
            )
            newest = connection.execute("select max(sales_record_id) from fact_sales_order group by sales_order_id")
            ids = sorted(id_ for (id_,) in newest)
            if ids:
                connection.execute(statement.format(newest=ids[number % len(ids)]))


def _restarted(platform: Platform) -> Platform:
    return replace(platform, lake=reopened(platform.lake))


@pytest.fixture
def stage(logging_server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(parts_stage, "ROWS_PER_PART", 10)  # so that small tables have several parts, too
    monkeypatch.setattr(slot, "_CREATE_TIMEOUT", "300ms")  # the company keeps transactions open for long
    stage = Stage(logging_server, tmp_path)
    stage.prepare()
    yield stage
    stage.close()


def test_whatever_happens_the_warehouse_tells_the_truth(stage: Stage, pytestconfig: pytest.Config) -> None:
    run_state_machine_as_test(
        partial(EventfulLife, stage),  # type: ignore[arg-type]  # it is only called
        settings=settings(
            # Whoever changes these should count what is drawn: with twelve, each rule, most damages and each stage of
            # an edit; with many others of as many steps, nobody races, or no object or row is lost.
            max_examples=12 if pytestconfig.getoption("--all") else 3,
            stateful_step_count=10,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
