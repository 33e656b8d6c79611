"""Runs that start warm: each is a process of its own all the same, can be stopped, and survives what it comes from."""

import psutil
import pytest
from dagster import DagsterRun, DagsterRunStatus

from totes_dagster_tests.system.end_to_end.dagster_at_work import Dagster, load_locked, until

pytestmark = pytest.mark.slow

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"


def next_run(dagster: Dagster, before: set[str]) -> DagsterRun:
    """The run that the sensor requests next."""
    until(lambda: len(dagster.instance.get_runs()) > len(before), "the sensor to request a refresh")
    (run,) = (run for run in dagster.instance.get_runs() if run.run_id not in before)
    return run


def wait_for_the_end_of(process: psutil.Process) -> None:
    until(lambda: not process.is_running(), "the run's process to end")


def test_every_run_is_a_process_of_its_own_forked_from_one_that_has_imported_everything(dagster: Dagster) -> None:
    world = dagster.world
    seen: dict[str, psutil.Process] = {}
    with dagster.daemon():
        for key in (7, 8, 9):
            with load_locked(world) as load_waits:
                world.change(EDIT.format(key))
                run = next_run(dagster, set(seen))
                until(load_waits, "the run to load")
                worker = dagster.worker(run.run_id)
                parent = worker.parent()
                assert parent is not None
                assert "totes_dagster.orchestration.internals.preloaded" in " ".join(parent.cmdline())
                seen[run.run_id] = parent
            dagster.wait_for(run.run_id, DagsterRunStatus.SUCCESS)
            wait_for_the_end_of(worker)
            if key == 8:
                parent.kill()  # what all runs are forked from
    first, second, third = seen.values()
    assert first == second != third
    assert world.wrongs() == []
    assert [world.versions("fact_sales_order", key) for key in (7, 8, 9)] == [["live", "live"]] * 3


def test_a_run_can_be_stopped_and_the_next_one_carries_on(dagster: Dagster) -> None:
    world = dagster.world
    with dagster.daemon():
        with load_locked(world) as load_waits:
            world.change(EDIT.format(7))
            stopped = next_run(dagster, set())
            until(load_waits, "the run to load")
            worker = dagster.worker(stopped.run_id)
            assert dagster.instance.run_launcher.terminate(stopped.run_id)
        dagster.wait_for(stopped.run_id, DagsterRunStatus.CANCELED)
        wait_for_the_end_of(worker)
        world.change(EDIT.format(8))
        run = next_run(dagster, {stopped.run_id})
        dagster.wait_for(run.run_id, DagsterRunStatus.SUCCESS)
    assert world.wrongs() == []
    assert [world.versions("fact_sales_order", key) for key in (7, 8)] == [["live", "live"]] * 2
