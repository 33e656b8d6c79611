"""While a refresh or a reconciliation is in progress, no other is requested."""

import itertools
from datetime import timedelta

import pytest
from dagster import DagsterRunStatus, RunRequest, SkipReason

from totes_dagster.orchestration import jobs
from totes_dagster.orchestration.schedules import refresh_every_15_minutes
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import edit, requested, scheduled, skipped, start

pytestmark = pytest.mark.usefixtures("one_look")


def test_while_a_run_is_in_progress_no_other_is_requested(refreshed: Graph) -> None:
    edit(refreshed)
    statuses = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
    for job, status in itertools.product(("refresh", "reconcile"), statuses):
        run = start(refreshed, job, status)
        reason = skipped(refreshed)
        assert reason.startswith(f"A {job} is in progress (run {run[:8]})")
        assert scheduled(refresh_every_15_minutes, refreshed) == SkipReason(reason)
        refreshed.instance.delete_run(run)
    assert requested(refreshed) == "staff"


def test_runs_of_other_jobs_are_in_nobodys_way(refreshed: Graph) -> None:
    job = refreshed.definitions.resolve_implicit_global_asset_job_def()
    refreshed.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert isinstance(scheduled(refresh_every_15_minutes, refreshed), RunRequest)


def test_a_run_that_has_been_in_progress_for_too_long_counts_as_dead(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(refreshed, "refresh")
    assert isinstance(scheduled(refresh_every_15_minutes, refreshed), SkipReason)
    monkeypatch.setattr(jobs, "PATIENCE", timedelta(0))
    assert isinstance(scheduled(refresh_every_15_minutes, refreshed), RunRequest)
