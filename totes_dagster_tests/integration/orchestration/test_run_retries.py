"""Runs that fail, and whether Dagster's daemon runs them again, on the instance that `totes dev` has."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.test_utils import create_test_daemon_workspace_context, poll_for_finished_run
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from totes_dagster.orchestration import development
from totes_dagster.orchestration.development.dev import workspace
from totes_dagster.orchestration.jobs import JOB_TAG
from totes_dagster.pipeline import refresh
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.settings import configure
from totes_dagster_tests.watcher import Watcher

pytestmark = pytest.mark.slow

SHIPPED = Path(development.__file__).parent / "dagster.yaml"

BREAK = "alter table analytics.dim_staff rename column first_name to forename"
MEND = "alter table analytics.dim_staff rename column forename to first_name"


@dataclass(frozen=True)
class Daemon:
    """The daemon that retries runs, a code server that executes them, and a company that they work for."""

    graph: Graph
    instance: DagsterInstance
    workspace: WorkspaceProcessContext

    def look(self) -> list[DagsterRun]:
        """Have the daemon look once; the runs that it launched, after they have ended."""
        before = {run.run_id for run in self.instance.get_runs()}
        list(EventLogConsumerDaemon().run_iteration(self.workspace))
        return [self.ended(run.run_id) for run in self.instance.get_runs() if run.run_id not in before]

    def launch(self, job: str) -> DagsterRun:
        """Launch a run of a job, as a schedule does, and wait until it has ended."""
        context = self.workspace.create_request_context()
        (location,) = context.code_locations
        (repository,) = location.get_repositories().values()
        remote = repository.get_full_job(job)
        run = self.instance.create_run_for_job(
            self.graph.definitions.resolve_job_def(job),
            tags=remote.run_tags,
            remote_job_origin=remote.get_remote_origin(),
            job_code_origin=remote.get_python_origin(),
        )
        self.instance.submit_run(run.run_id, context)
        return self.ended(run.run_id)

    def ended(self, run_id: str) -> DagsterRun:
        """A run, after it has ended."""
        return poll_for_finished_run(self.instance, run_id, timeout=120)

    def reconciliations(self) -> set[str]:
        """The ids of all runs of the job."""
        return {run.run_id for run in self.instance.get_runs(RunsFilter(tags={JOB_TAG: "reconcile"}))}

    def steps(self, run: DagsterRun) -> set[str]:
        """The steps of a run that succeeded."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run.run_id)]
        return {str(event.step_key) for event in events if event and event.is_step_success}


@pytest.fixture(scope="module")
def daemon(shared_graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon of a company that the warehouse shows; each test leaves it with all of its jobs at work."""
    refresh(shared_graph.platform)
    home = tmp_path_factory.mktemp("dagster")
    shutil.copy(SHIPPED, home)
    (home / "workspace.yaml").write_text(json.dumps(workspace(())))
    with pytest.MonkeyPatch.context() as environment:
        configure(environment, shared_graph.platform)
        environment.setenv("TOTES_RETRY_SECONDS", "0")
        with (
            DagsterInstance.from_config(str(home)) as instance,
            create_test_daemon_workspace_context(
                WorkspaceFileTarget([str(home / "workspace.yaml")]), instance
            ) as context,
        ):
            assert EventLogConsumerDaemon.daemon_type() in instance.get_required_daemon_types()
            daemon = Daemon(shared_graph, instance, context)
            assert daemon.look() == []  # it passes over everything before its first look
            yield daemon


def alter_warehouse(graph: Graph, statement: str) -> None:
    with psycopg.connect(graph.platform.warehouse.database.url) as connection:
        connection.execute(statement)


def test_a_reconcile_that_failed_runs_again_whole_and_a_refresh_does_not(daemon: Daemon) -> None:
    watcher = Watcher(daemon.instance)
    assert watcher.tick() == "No open incidents."
    daemon.graph.change("update staff set first_name = first_name || '!' where staff_id = 1")
    alter_warehouse(daemon.graph, BREAK)
    refreshed, failed = daemon.launch("refresh"), daemon.launch("reconcile")
    assert refreshed.status is failed.status is DagsterRunStatus.FAILURE
    assert "ingest" in daemon.steps(failed)
    watcher.tick()
    assert [incident.run_id for incident in watcher.watch.open] == [refreshed.run_id, failed.run_id]

    alter_warehouse(daemon.graph, MEND)
    (again,) = daemon.look()
    assert (again.status, again.parent_run_id) == (DagsterRunStatus.SUCCESS, failed.run_id)
    assert daemon.steps(again) > {"ingest", "load", "compare_with_source"}
    assert again.tags[JOB_TAG] == "reconcile"
    assert watcher.tick().startswith("Published: reconcile works again after ")
    assert [incident.run_id for incident in watcher.watch.open] == [refreshed.run_id]
    assert watcher.tick().startswith("1 incident open since ")
    assert daemon.look() == []

    assert daemon.launch("refresh").status is DagsterRunStatus.SUCCESS


def test_a_reconcile_that_fails_twice_is_left_to_the_schedule(daemon: Daemon) -> None:
    watcher = Watcher(daemon.instance)
    assert watcher.tick() == "No open incidents."
    before = daemon.reconciliations()
    daemon.graph.change("alter table staff rename column first_name to forename")
    failed = daemon.launch("reconcile")
    assert watcher.tick().startswith("Published: reconcile failed: SourceSchemaError: ")
    (again,) = daemon.look()
    assert again.status is DagsterRunStatus.FAILURE
    assert daemon.look() == []
    assert daemon.reconciliations() - before == {failed.run_id, again.run_id}
    assert watcher.tick().startswith("1 incident open since ")
    (incident,) = watcher.watch.open
    assert (incident.run_id, incident.failures) == (failed.run_id, 2)

    daemon.graph.change("alter table staff rename column forename to first_name")
    assert daemon.launch("reconcile").status is DagsterRunStatus.SUCCESS
