"""What the schedules request when they are due."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SkipReason, build_schedule_context

from totes_dagster.orchestration import jobs, schedules
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.schedules import reconcile_nightly, refresh_every_15_minutes
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import scheduled
from totes_dagster_tests.integration.orchestration.memory import Memory
from totes_dagster_tests.watcher import OTHERS, create, fail, run


def test_the_schedule_requests_a_refresh(refreshed: Graph) -> None:
    with DagsterInstance.local_temp() as knows_nothing:
        assert isinstance(scheduled(refresh_every_15_minutes, replace(refreshed, instance=knows_nothing)), RunRequest)
    assert refresh_every_15_minutes.cron_schedule == "*/15 * * * *"


def test_a_warehouse_that_was_confirmed_a_moment_ago_needs_no_refresh(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip = scheduled(refresh_every_15_minutes, refreshed)
    assert isinstance(skip, SkipReason)
    assert str(skip.skip_message).startswith("The warehouse was confirmed to be current at ")
    monkeypatch.setattr(schedules, "WARN_AFTER", timedelta(0))
    assert isinstance(scheduled(refresh_every_15_minutes, refreshed), RunRequest)


def tonight(hour: int) -> datetime:
    """That hour of the night that has begun last."""
    now = datetime.now(UTC)
    return (now - timedelta(days=now.hour < 3)).replace(hour=hour, minute=0, second=0, microsecond=0)


def due(memory: Memory, at: datetime) -> RunRequest | str:
    """What the schedule of reconciliations requests at a time, or why it requests nothing."""
    nowhere = {"ingestion_zone": IngestionIOManager(url="file:///there/is/none")}
    with build_schedule_context(instance=memory.instance, scheduled_execution_time=at, resources=nowhere) as context:
        answer = reconcile_nightly(context)
    assert isinstance(answer, RunRequest | SkipReason)
    return answer if isinstance(answer, RunRequest) else str(answer.skip_message)


def test_a_reconcile_is_requested_at_three_and_then_every_hour_until_six() -> None:
    assert (reconcile_nightly.job_name, reconcile_nightly.cron_schedule) == ("reconcile", "0 3-6 * * *")
    assert reconcile_nightly.execution_timezone is None  # that is UTC


def test_a_reconcile_that_failed_is_tried_again_until_it_succeeds(memory: Memory) -> None:
    assert isinstance(due(memory, tonight(3)), RunRequest)
    fail(memory.instance, "reconcile")
    create(memory.instance, DagsterRunStatus.CANCELED, "reconcile")
    assert isinstance(due(memory, tonight(4)), RunRequest)
    succeeded = run(memory.instance, "reconcile")
    for hour in (5, 6):
        reason = due(memory, tonight(hour))
        assert str(reason).startswith("The reconcile of this night succeeded at ")
        assert str(reason).endswith(f" UTC (run {succeeded[:8]}).")


def test_the_success_of_one_night_does_not_count_in_the_next(memory: Memory) -> None:
    run(memory.instance, "reconcile")
    for hour in (3, 4):
        assert isinstance(due(memory, tonight(hour) + timedelta(days=1)), RunRequest)


def test_a_success_counts_though_a_later_one_failed(memory: Memory) -> None:
    run(memory.instance, "reconcile")
    fail(memory.instance, "reconcile")
    assert str(due(memory, tonight(4))).startswith("The reconcile of this night succeeded at ")


@pytest.mark.parametrize("status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED])
def test_while_a_reconcile_is_in_progress_no_other_is_requested(
    memory: Memory, status: DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_progress = create(memory.instance, status, "reconcile")
    assert (
        due(memory, tonight(4))
        == f"A reconcile is in progress (run {in_progress[:8]}). The next one picks up what it misses."
    )
    monkeypatch.setattr(jobs, "PATIENCE", timedelta(hours=-14))
    assert isinstance(due(memory, tonight(4)), RunRequest)


def test_neither_a_refresh_nor_a_reconcile_of_another_location_replaces_one(memory: Memory) -> None:
    run(memory.instance, "refresh")
    create(memory.instance, DagsterRunStatus.STARTED, "refresh")
    run(memory.instance, "reconcile", jobs=OTHERS)
    memory.instance.create_run_for_job(
        OTHERS["reconcile"],
        run_config={"ops": {"work": {"config": {"fails": False, "why": ""}}}},
        status=DagsterRunStatus.STARTED,
    )
    assert isinstance(due(memory, tonight(4)), RunRequest)
