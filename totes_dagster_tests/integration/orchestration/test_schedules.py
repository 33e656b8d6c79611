"""What the schedules request when they are due."""

from dagster import RunRequest

from totes_dagster.orchestration.schedules import reconcile_nightly, refresh_every_15_minutes
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import scheduled


def test_the_schedules_request_what_is_due(refreshed: Graph) -> None:
    for schedule in (refresh_every_15_minutes, reconcile_nightly):
        assert isinstance(scheduled(schedule, refreshed), RunRequest)
    assert refresh_every_15_minutes.cron_schedule == "*/15 * * * *"
    assert reconcile_nightly.job_name == "reconcile"
