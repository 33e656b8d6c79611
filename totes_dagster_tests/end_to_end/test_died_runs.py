"""Runs that die, with their process or with all of Dagster: they are marked as failed, and the next one carries on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import yaml
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRequest, SkipReason, build_sensor_context

from totes_dagster import automation
from totes_dagster.automation import totesys_changes
from totes_dagster.definitions import build_defs
from totes_dagster.local.dev import _prepare_storage
from totes_dagster.local.processes import die_with_parent
from totes_dagster.resources.databases import Totesys, Warehouse
from totes_dagster.resources.zones import Zone
from totes_dagster_tests.end_to_end.world import World

PATIENCE = 120.0  # seconds
EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"

DAEMON = ("dagster._daemon", "run")

IN_NO_TIME = {
    "poll_interval_seconds": 1,
    "start_timeout_seconds": 1,
    "cancel_timeout_seconds": 1,
    "max_runtime_seconds": 1,
}
"""Limits of run monitoring for a test; nobody is at work on the runs that it is about."""


@dataclass(frozen=True)
class Dagster:
    """An instance of Dagster with the project's own configuration, for a company that its daemon may follow."""

    world: World
    home: Path
    instance: DagsterInstance

    @property
    def resources(self) -> dict[str, Any]:
        platform = self.world.platform
        return {
            "totesys": Totesys(url=platform.source.url),
            "warehouse": Warehouse(url=platform.warehouse.url, warehouse_schema=platform.schema),
            "ingestion_zone": Zone(zone="ingestion", url=platform.ingestion.url),
            "processed_zone": Zone(zone="processed", url=platform.processed.url),
        }

    @contextmanager
    def process(self, *command: str) -> Iterator[psutil.Process]:
        """One of Dagster's programs, which is gone with all that it started when the block ends."""
        with (self.home / "dagster.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
            )
        started = psutil.Process(process.pid)
        try:
            yield started
        finally:
            kill_all(started)
            process.wait()

    def _environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith(("TOTES", "WAREHOUSE"))}
        platform = self.world.platform
        return {
            **others,
            "DAGSTER_HOME": str(self.home),
            "TOTESYS_URL": platform.source.url,
            "WAREHOUSE_URL": platform.warehouse.url,
            "TOTES_INGESTION_LAKE": platform.ingestion.url,
            "TOTES_PROCESSED_LAKE": platform.processed.url,
        }

    def look(self) -> RunRequest | SkipReason:
        """One evaluation of the sensor that requests refreshes."""
        needed = {name: self.resources[name] for name in ("totesys", "ingestion_zone")}
        with build_sensor_context(instance=self.instance, resources=needed) as context:
            return totesys_changes(context)

    def refresh(self) -> None:
        """A run of Dagster's, in this process."""
        job = build_defs(self.resources).resolve_job_def("refresh")
        assert job.execute_in_process(instance=self.instance).success

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def worker(self, run_id: str) -> psutil.Process:
        """The process that is at work on a run."""
        for entry in self.instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
            data = entry.dagster_event and entry.dagster_event.event_specific_data
            pid = data and data.metadata.get("pid")
            if pid:
                return psutil.Process(int(pid.value))
        raise LookupError(f"No process has begun run {run_id}.")

    def create_run(self, status: DagsterRunStatus) -> str:
        """A run that nobody is at work on."""
        job = build_defs(self.resources).resolve_job_def("refresh")
        return self.instance.create_run_for_job(job, status=status).run_id


@pytest.fixture
def dagster(company: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dagster]:
    monkeypatch.setattr(automation, "_LOOK_FOR", 0.0)
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_bytes(files("totes_dagster.local").joinpath("dagster.yaml").read_bytes())
    _prepare_storage(home)
    with DagsterInstance.from_config(str(home)) as instance:
        yield Dagster(company, home, instance)


def until(condition: Callable[[], Any], waiting_for: str) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at, f"Waited in vain for {waiting_for}."
        time.sleep(0.1)


def kill_all(process: psutil.Process) -> None:
    """Kill a process and all that it started, as a power cut does."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=PATIENCE)


@contextmanager
def load_locked(world: World) -> Iterator[Callable[[], bool]]:
    """Let no load begin until the block ends; yields whether one waits."""
    with psycopg.connect(world.warehouse_url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended('totes_dagster.load.public', 0))")
        waiting = "select from pg_locks where locktype = 'advisory' and not granted"
        yield lambda: bool(connection.execute(waiting).rowcount)


def test_a_run_whose_process_is_killed_is_marked_as_failed_and_the_next_one_carries_on(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = dagster.world
    world.change(EDIT.format(7))
    with dagster.process(*DAEMON, "-m", "totes_dagster.definitions"), load_locked(world) as load_waits:
        until(load_waits, "the sensor's run to load")
        (run,) = dagster.instance.get_runs()
        assert run.job_name == "refresh"
        reason = dagster.look()
        assert isinstance(reason, SkipReason)
        assert "A refresh is in progress" in str(reason.skip_message)
        dagster.worker(run.run_id).kill()
        until(lambda: dagster.status(run.run_id) is DagsterRunStatus.FAILURE, "the run to be marked as failed")
    # What it did stays done.
    assert (world.head(), world.ask_one("select max(batch) from load_history")) == (2, 1)

    reason = dagster.look()
    assert isinstance(reason, SkipReason)
    assert "The last refresh failed" in str(reason.skip_message)
    world.change(EDIT.format(8))
    monkeypatch.setattr(automation, "_PAUSE_AFTER_FAILURE", automation._PAUSE_AFTER_FAILURE * 0)
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
            until(lambda run_id=run_id, status=status: dagster.status(run_id) is status, f"a run to be {status}")

    monkeypatch.setattr(automation, "_PAUSE_AFTER_FAILURE", automation._PAUSE_AFTER_FAILURE * 0)
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
    _prepare_storage(dagster.home)
    assert [dagster.status(run_id) for run_id in left] == [DagsterRunStatus.FAILURE] * 2
    assert dagster.status(ended) is DagsterRunStatus.SUCCESS
    monkeypatch.setattr(automation, "_PAUSE_AFTER_FAILURE", automation._PAUSE_AFTER_FAILURE * 0)
    assert isinstance(dagster.look(), RunRequest)


def test_dagster_gives_a_run_up_when_the_automation_does(dagster: Dagster) -> None:
    assert dagster.instance.run_monitoring_enabled
    assert "MONITORING" in dagster.instance.get_required_daemon_types()
    assert dagster.instance.run_monitoring_max_runtime_seconds == automation._PATIENCE.total_seconds()
    assert (
        0 < dagster.instance.run_monitoring_start_timeout_seconds < dagster.instance.run_monitoring_max_runtime_seconds
    )
