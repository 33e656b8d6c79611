"""Whatever happens to workers and their scheduler, every row arrives once."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from totes_dagster.cluster import spreading
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.processed import star_parts
from totes_dagster.pipeline import refresh
from totes_dagster.schema.registry import STAR_TABLES, is_of_events
from totes_dagster_tests.system.cluster.faulty import Fault
from totes_dagster_tests.system.cluster.hosts import Hosts, eventually, thaw
from totes_dagster_tests.world import World

POINTS = ("read", "remodelled", "copied", "committed")


@pytest.fixture
def faulty(hosts: Hosts, tmp_path: Path) -> Callable[..., Fault]:
    """A function that starts two workers, of which the first to get to a point has a fault."""

    def start(point: str, way: str, *, workers: int = 2, others: tuple[int, ...] = ()) -> Fault:
        fault = Fault(point, way, str(tmp_path / "happened"), others)
        hosts.start_workers(fault.environment(), workers=workers)
        return fault

    return start


@pytest.mark.parametrize("point", [pytest.param(each, marks=pytest.mark.slow) for each in POINTS[:3]] + [POINTS[3]])
def test_what_a_killed_worker_was_doing_is_done_by_another(
    world: World, hosts: Hosts, faulty: Callable[..., Fault], point: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")
    fault = faulty(point, "kill")
    refresh(hosts.leading())
    assert fault.happened_to()
    assert _is_exact(world)
    assert "again after a worker was lost" in caplog.text
    assert "by this process" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("point", ["read", "copied"])
def test_a_machine_that_freezes_and_comes_back_changes_nothing(
    world: World, hosts: Hosts, faulty: Callable[..., Fault], point: str
) -> None:
    fault = faulty(point, "freeze", workers=1)
    hosts.start_workers()
    refresh(hosts.leading())
    frozen = fault.happened_to()
    assert frozen
    assert not world.wrongs()
    thaw(frozen)
    # It goes on with what it was about to do, learns that nobody waits for it, and ends.
    eventually(lambda: not hosts.programs["worker-1"].is_running(), "the worker to end")
    assert not world.wrongs()
    world.change("update sales_order set units_sold = 2")
    refresh(hosts.leading(), recapture=["sales_order", "payment"])
    assert _is_exact(world)


@pytest.mark.parametrize("point", [POINTS[0], pytest.param(POINTS[2], marks=pytest.mark.slow)])
def test_when_the_scheduler_is_lost_the_process_that_leads_does_what_is_left(
    world: World, hosts: Hosts, tmp_path: Path, point: str, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = hosts.programs["scheduler"].process_id
    assert scheduler
    fault = Fault(point, "kill", str(tmp_path / "happened"), (scheduler,))
    hosts.start_workers(fault.environment(), workers=2)
    refresh(hosts.leading())
    assert fault.happened_to()
    assert _is_exact(world)
    assert "This process does what is left" in caplog.text


@pytest.mark.slow
def test_a_scheduler_that_freezes_is_not_waited_for(
    world: World, hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spreading, "_SILENCE_SECONDS", 1)
    scheduler = hosts.programs["scheduler"].process_id
    assert scheduler
    fault = Fault("read", "wait", str(tmp_path / "happened"))
    hosts.start_workers(fault.environment())
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, hosts.leading())
        eventually(lambda: fault.happened_to() is not None, "a worker to be at work")
        os.kill(scheduler, signal.SIGSTOP)
        refreshed.result()
    assert _is_exact(world)
    assert "The cluster is lost: No answer within 10 s." in caplog.text
    thaw(scheduler)
    fault.go_on()


@pytest.mark.slow
def test_a_worker_that_does_nothing_is_not_waited_for_without_end(
    world: World, hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spreading, "_SILENCE_SECONDS", 1)
    monkeypatch.setattr(spreading, "_STALLED_SECONDS", 3)
    fault = Fault("read", "wait", str(tmp_path / "happened"))
    hosts.start_workers(fault.environment())
    refresh(hosts.leading())
    assert fault.happened_to()
    fault.go_on()
    assert _is_exact(world)
    assert "The cluster is lost: no worker has done anything for 3 s." in caplog.text


@pytest.mark.slow
def test_a_slow_worker_is_waited_for_while_others_do_the_rest(
    world: World, hosts: Hosts, faulty: Callable[..., Fault], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="totes_dagster.cluster")
    fault = faulty("copied", "wait")
    with ThreadPoolExecutor() as pool:
        refreshing = pool.submit(refresh, hosts.leading())
        try:
            eventually(fault.happened_to, "a part to be staged slowly")
            manifest = BatchLog(world.platform.lake.ingestion).manifest(1)
            parts = sum(len(star_parts(star, manifest)) for star in STAR_TABLES if is_of_events(star))
            (ledger,) = (name for name in _staging_tables(world) if "ledger" in name and "pkey" not in name)
            others = f"select count(*) from {ledger}"
            eventually(lambda: world.ask_one(others) == parts - 1, "all other parts to be staged")
            assert not refreshing.done()
        finally:
            fault.go_on()
        refreshing.result()
    assert _is_exact(world)
    assert "again" not in caplog.text
    assert "by this process" not in caplog.text


@pytest.mark.slow
def test_when_no_worker_is_left_the_process_that_leads_does_the_rest(
    world: World, hosts: Hosts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Fault("read", "kill", str(tmp_path / "happened"))
    hosts.start_workers(fault.environment())
    refresh(hosts.leading())
    assert fault.happened_to()
    assert _is_exact(world)
    assert "could not do one of" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_for_a_moment_on_a_worker_is_done_here(
    world: World, hosts: Hosts, faulty: Callable[..., Fault], workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    fault = faulty("copied", "fail", workers=workers)
    refresh(hosts.leading())
    assert fault.happened_to()
    assert _is_exact(world)
    assert "could not do one of parts to stage: The server closed the connection." in caplog.text


@pytest.mark.slow
def test_the_staging_tables_of_a_load_that_was_killed_are_dropped_by_the_next(
    world: World, hosts: Hosts, faulty: Callable[..., Fault]
) -> None:
    fault = faulty("copied", "freeze", workers=1)
    program = [sys.executable, "-m", "totes_dagster_tests.system.cluster.leading"]
    with subprocess.Popen(
        program, env=hosts.settings(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as leader:
        eventually(lambda: fault.happened_to() is not None, "rows to be staged")
        leader.kill()
    left = fault.happened_to()
    assert left
    assert _staging_tables(world)
    thaw(left)
    refresh(hosts.leading())
    assert _is_exact(world)


def _is_exact(world: World) -> bool:
    wrongs = world.wrongs()
    assert not wrongs
    assert not _staging_tables(world)
    return True


def _staging_tables(world: World) -> list[str]:
    with psycopg.connect(world.warehouse_url) as connection:
        return [name for (name,) in connection.execute("select relname from pg_class where relname like 'staging%'")]
