"""Runs that die, with their process or with all of Dagster: they are marked as failed, and the next one carries on."""

import pytest
import yaml
from dagster import DagsterRunStatus, RunRequest, SkipReason

from totes_dagster.orchestration import pauses
from totes_dagster.orchestration.development.dev import prepare_storage
from totes_dagster.orchestration.jobs import PATIENCE
from totes_dagster_tests.system.end_to_end.dagster_at_work import DAEMON, Dagster, kill_all, load_locked, until

pytestmark = pytest.mark.slow

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"

IN_NO_TIME = {
    "poll_interval_seconds": 1,
    "start_timeout_seconds": 1,
    "cancel_timeout_seconds": 1,
    "max_runtime_seconds": 1,
}
"""Limits of run monitoring for a test; nobody is at work on the runs that it is about."""


def test_a_run_whose_process_is_killed_is_marked_as_failed_and_the_next_one_carries_on(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = dagster.world
    world.change(EDIT.format(7))
    with dagster.daemon(), load_locked(world) as load_waits:
        until(load_waits, "the sensor's run to load")
        (run,) = dagster.instance.get_runs()
        assert run.job_name == "refresh"
        reason = dagster.look()
        assert isinstance(reason, SkipReason)
        assert "A refresh is in progress" in str(reason.skip_message)
        dagster.worker(run.run_id).kill()
        dagster.wait_for(run.run_id, DagsterRunStatus.FAILURE)
    # What it did stays done.
    assert (world.head(), world.ask_one("select max(batch) from load_history")) == (2, 1)

    reason = dagster.look()
    assert isinstance(reason, SkipReason)
    assert "The last refresh failed" in str(reason.skip_message)
    world.change(EDIT.format(8))
    monkeypatch.setattr(pauses, "FIRST_PAUSE", pauses.FIRST_PAUSE * 0)
    assert isinstance(dagster.look(), RunRequest)
    dagster.refresh()
    assert world.wrongs() == []
    assert [world.versions("fact_sales_order", key) for key in (7, 8)] == [["live", "live"]] * 2
    assert isinstance(dagster.look(), SkipReason)


def test_runs_of_which_nobody_can_know_that_they_died_are_given_up_in_time_by_the_daemon(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = dagster.world
    world.change(EDIT.format(7))
    cancelled = dagster.instance.get_run_by_id(dagster.create_run(DagsterRunStatus.STARTED))
    assert cancelled is not None
    dagster.instance.report_run_canceling(cancelled)
    requested = dagster.create_run(DagsterRunStatus.NOT_STARTED)
    execute = ("dagster", "job", "execute", "-m", "totes_dagster.definitions", "-j", "refresh")
    with dagster.process(*execute) as process, load_locked(world) as load_waits:
        until(load_waits, "the run to load")
        kill_all(process)
    run, *_ = dagster.instance.get_runs()
    assert dagster.status(run.run_id) is DagsterRunStatus.STARTED
    assert isinstance(dagster.look(), SkipReason)

    file = dagster.home / "dagster.yaml"
    configuration = yaml.safe_load(file.read_text())
    configuration["run_monitoring"].update(IN_NO_TIME)
    file.write_text(yaml.safe_dump(configuration))
    with dagster.process(*DAEMON, "--empty-workspace"):
        for run_id, status in {
            run.run_id: DagsterRunStatus.FAILURE,
            requested: DagsterRunStatus.FAILURE,
            cancelled.run_id: DagsterRunStatus.CANCELED,
        }.items():
            dagster.wait_for(run_id, status)

    monkeypatch.setattr(pauses, "FIRST_PAUSE", pauses.FIRST_PAUSE * 0)
    assert isinstance(dagster.look(), RunRequest)
    dagster.refresh()
    assert world.wrongs() == []
    assert world.versions("fact_sales_order", 7) == ["live", "live"]


def test_what_a_killed_development_server_left_is_marked_as_failed_when_the_next_one_starts(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [dagster.create_run(status) for status in (DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED)]
    ended = dagster.create_run(DagsterRunStatus.SUCCESS)
    dagster.world.change(EDIT.format(7))
    assert isinstance(dagster.look(), SkipReason)
    prepare_storage(dagster.home)
    assert [dagster.status(run_id) for run_id in left] == [DagsterRunStatus.FAILURE] * 2
    assert dagster.status(ended) is DagsterRunStatus.SUCCESS
    monkeypatch.setattr(pauses, "FIRST_PAUSE", pauses.FIRST_PAUSE * 0)
    assert isinstance(dagster.look(), RunRequest)


def test_dagster_gives_a_run_up_when_the_automation_does(dagster: Dagster) -> None:
    assert dagster.instance.run_monitoring_enabled
    assert "MONITORING" in dagster.instance.get_required_daemon_types()
    assert dagster.instance.run_monitoring_max_runtime_seconds == PATIENCE.total_seconds()
    assert (
        0 < dagster.instance.run_monitoring_start_timeout_seconds < dagster.instance.run_monitoring_max_runtime_seconds
    )
