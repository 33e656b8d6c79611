"""What the schedules request when they are due."""

from dataclasses import replace
from datetime import timedelta

import pytest
from dagster import DagsterInstance, RunRequest, SkipReason

from totes_dagster.orchestration import schedules
from totes_dagster.orchestration.schedules import reconcile_nightly, refresh_every_15_minutes
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import scheduled


def test_the_schedules_request_what_is_due(refreshed: Graph) -> None:
    with DagsterInstance.local_temp() as knows_nothing:
        for schedule in (refresh_every_15_minutes, reconcile_nightly):
            assert isinstance(scheduled(schedule, replace(refreshed, instance=knows_nothing)), RunRequest)
    assert refresh_every_15_minutes.cron_schedule == "*/15 * * * *"
    assert reconcile_nightly.job_name == "reconcile"


def test_a_warehouse_that_was_confirmed_a_moment_ago_needs_no_refresh(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip = scheduled(refresh_every_15_minutes, refreshed)
    assert isinstance(skip, SkipReason)
    assert str(skip.skip_message).startswith("The warehouse was confirmed to be current at ")
    monkeypatch.setattr(schedules, "WARN_AFTER", timedelta(0))
    assert isinstance(scheduled(refresh_every_15_minutes, refreshed), RunRequest)
