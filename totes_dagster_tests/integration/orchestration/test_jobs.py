"""While a refresh or a reconciliation is in progress, no other is requested."""

import itertools
from datetime import timedelta

import pytest
from dagster import DagsterRunStatus, SkipReason, job

from totes_dagster.orchestration import jobs
from totes_dagster.orchestration.schedules import refresh_every_15_minutes
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import edit, requested, scheduled, skipped, start

pytestmark = pytest.mark.usefixtures("one_look")


def test_while_a_run_is_in_progress_no_other_is_requested(refreshed: Graph) -> None:
    edit(refreshed)
    statuses = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
    for name, status in itertools.product(("refresh", "reconcile"), statuses):
        run = start(refreshed, name, status)
        reason = skipped(refreshed)
        assert reason.startswith(f"A {name} is in progress (run {run[:8]})")
        assert scheduled(refresh_every_15_minutes, refreshed) == SkipReason(reason)
        refreshed.instance.delete_run(run)
    assert requested(refreshed) == "staff"


def test_runs_of_others_are_in_nobodys_way(refreshed: Graph) -> None:
    by_hand = refreshed.definitions.resolve_implicit_global_asset_job_def()
    refreshed.instance.create_run_for_job(by_hand, status=DagsterRunStatus.STARTED)

    @job
    def refresh() -> None:
        """A job of another code location that has the same name."""

    refreshed.instance.create_run_for_job(refresh, status=DagsterRunStatus.STARTED)
    edit(refreshed)
    assert requested(refreshed) == "staff"


def test_a_run_that_has_been_in_progress_for_too_long_counts_as_dead(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(refreshed, "refresh")
    edit(refreshed)
    assert skipped(refreshed).startswith("A refresh is in progress")
    monkeypatch.setattr(jobs, "PATIENCE", timedelta(hours=-14))
    assert requested(refreshed) == "staff"
