"""Servers that go down in the middle of a refresh, and come back: the refresh that is at work survives it."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from logging import FileHandler, getLogger
from pathlib import Path

import pytest

from totes_dagster.local.programs import program, run, server_account
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.system.faults.matrix import Matrix, wrongs_after
from totes_dagster_tests.system.faults.points import Fault, Journal, Point, last
from totes_dagster_tests.system.faults.proxied import ObjectStore, Way, proxied
from totes_dagster_tests.system.faults.refreshing import End, Outcome, RefreshProcess, Settings
from totes_dagster_tests.system.faults.scenes import Scene

pytestmark = pytest.mark.slow

_PATIENCE = 30  # seconds


def write_down(file: Path, prepare: Callable[[], None] | None) -> None:
    """Let a refresh write down what it warns of."""
    getLogger().addHandler(FileHandler(file))
    if prepare:
        prepare()


@dataclass(frozen=True)
class Outage:
    """A refresh during which a server goes down, and comes back when the refresh has met a closed door."""

    settings: Settings
    scene: Scene
    warnings: Path
    store: ObjectStore | None = None

    def outcome(
        self, point: Point, fault: Fault, go_down: Callable[[Way], None], come_back: Callable[[Way], None]
    ) -> Outcome:
        journal = Journal(point, fault)
        with proxied(self.settings, journal, self.store) as way, ThreadPoolExecutor(1) as pool:
            returns: list[Future[bool]] = []

            def wait_and_come_back() -> bool:
                met_a_closed_door = self._meets_a_closed_door()
                come_back(way)
                return met_a_closed_door

            def interrupt() -> None:
                go_down(way)
                # Beside this: the request that is at stake here must not wait for it.
                returns.append(pool.submit(wait_and_come_back))

            journal.interrupt = interrupt
            outcome = RefreshProcess(way.settings, partial(write_down, self.warnings, self.scene.prepare)).run()
            assert [future.result() for future in returns] == [True]
        return outcome

    def _meets_a_closed_door(self) -> bool:
        give_up_at = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up_at:
            if self.warnings.exists() and "refused" in self.warnings.read_text():
                return True
            time.sleep(0.01)
        return False


@pytest.mark.parametrize(
    ("scene", "mode", "moment"),
    [
        ("a rich change", "fast", ("source", "select count(*), string_agg", Fault.INTERRUPTED_AFTER)),
        ("a first load", "fast", ("warehouse", "comment on", Fault.INTERRUPTED_BEFORE)),
        ("a rich change", "immediate", ("warehouse", "end of copy", Fault.INTERRUPTED_BEFORE)),
        ("a rich change", "immediate", ("warehouse", "COMMIT", Fault.INTERRUPTED_AFTER)),
        ("a first load", "immediate", ("warehouse", "COMMIT", Fault.INTERRUPTED_AFTER)),
    ],
    indirect=["scene"],
)
def test_a_refresh_survives_a_restart_of_the_database_server(
    matrix: Matrix,
    postgres: EmbeddedPostgres,
    tmp_path: Path,
    scene: Scene,
    mode: str,
    moment: tuple[str, str, Fault],
) -> None:
    def stop(way: Way) -> None:
        way.source.close_port()
        way.warehouse.close_port()
        command = [str(program("pg_ctl")), "stop", "--pgdata", str(postgres.data), f"--mode={mode}"]
        stopped = run(command, server_account())
        assert stopped.returncode == 0, stopped.stdout

    def start(way: Way) -> None:
        postgres.start()
        way.source.open_port()
        way.warehouse.open_port()

    server, words, fault = moment
    point = last(matrix.points(scene), server, words)
    with scene.copy() as settings:
        outcome = Outage(settings, scene, tmp_path / "warnings").outcome(point, fault, stop, start)
        assert outcome == Outcome(End.SUCCESS)
        assert wrongs_after(scene, settings, outcome) == []


@pytest.mark.parametrize(
    "moment",
    [
        ("PUT ingestion/batches", Fault.INTERRUPTED_AFTER),
        ("GET processed/fact_payment", Fault.INTERRUPTED_BEFORE),
    ],
)
def test_a_refresh_survives_a_restart_of_the_object_store(
    matrix: Matrix,
    scenes: dict[str, Scene],
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: tuple[str, Fault],
) -> None:
    def stop(way: Way) -> None:
        assert way.lake
        way.lake.go_down()

    def start(way: Way) -> None:
        assert way.lake
        way.lake.come_back()

    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    scene = scenes["a rich change"]
    words, fault = moment
    point = last(matrix.points(scene), "lake", words)
    with scene.copy(store.bucket) as settings:
        patient = replace(settings, environment=store.environment)
        outage = Outage(patient, scene, tmp_path / "warnings", store)
        outcome = outage.outcome(point, fault, stop, start)
        assert outcome == Outcome(End.SUCCESS)
        assert wrongs_after(scene, settings, outcome) == []
