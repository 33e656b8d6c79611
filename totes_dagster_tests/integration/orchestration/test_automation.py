"""When refreshes are requested, and when not, with a reason that a person understands."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    ScheduleDefinition,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)

from totes_dagster.orchestration import automation
from totes_dagster.orchestration.freshness import FAIL_AFTER, WARN_AFTER
from totes_dagster.orchestration.io_manager import ZoneIOManager
from totes_dagster.orchestration.resources.databases import TotesysResource
from totes_dagster.orchestration.sensors import (
    PastRefresh,
    next_try,
    past_refreshes,
    reconcile_nightly,
    refresh_every_15_minutes,
    totesys_changes,
)
from totes_dagster.pipeline import refresh
from totes_dagster.postgres.database import Database
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.integration.graph import Graph, new_graph

NOTHING_NEW = "Nothing changed in totesys since the refresh at "


@pytest.fixture(autouse=True)
def _look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "LOOK_FOR", 0.0)


@pytest.fixture
def unseen(database: Callable[..., str], tmp_path: Path) -> Graph:
    """A company that nothing was ingested of."""
    return new_graph(database, tmp_path)


@pytest.fixture
def graph(unseen: Graph, tmp_path: Path) -> Iterator[Graph]:
    """A company that the warehouse shows, as an instance of Dagster knows that is on disk, as schedules want it."""
    refresh(unseen.platform)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        graph = replace(unseen, instance=instance)
        end(graph, "refresh", DagsterRunStatus.SUCCESS)
        yield graph


def look(graph: Graph, cursor: str | None = None) -> tuple[RunRequest | SkipReason, str | None]:
    """One evaluation of the sensor: what it returned, and the cursor that it left."""
    resources = {name: graph.resources[name] for name in ("totesys", "ingestion_zone")}
    with build_sensor_context(instance=graph.instance, resources=resources, cursor=cursor) as context:
        return totesys_changes(context), context.cursor


def requested(graph: Graph, cursor: str | None = None) -> str:
    """The tables for which the sensor requests a refresh."""
    request, _ = look(graph, cursor)
    assert isinstance(request, RunRequest)
    return request.tags["totes/changed"]


def skipped(graph: Graph, cursor: str | None = None) -> str | None:
    """The reason for which the sensor requests nothing."""
    skip, _ = look(graph, cursor)
    assert isinstance(skip, SkipReason)
    return skip.skip_message


def scheduled(schedule: ScheduleDefinition, graph: Graph) -> RunRequest | SkipReason:
    """What a schedule returns when it is due."""
    return schedule(build_schedule_context(instance=graph.instance))


def start(graph: Graph, job: str, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> str:
    """A run of a job that another process is at work on."""
    definition = graph.definitions.resolve_job_def(job)
    return graph.instance.create_run_for_job(definition, status=status).run_id


def end(graph: Graph, job: str, status: DagsterRunStatus) -> str:
    """A run of a job that ended just now, by Dagster's own record of it."""
    run = graph.instance.get_run_by_id(start(graph, job))
    assert run is not None
    if status is DagsterRunStatus.SUCCESS:
        event = DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, job, message="It succeeded.")
        graph.instance.report_dagster_event(event, run.run_id)
    else:
        graph.instance.report_run_failed(run)
    return run.run_id


def edit(graph: Graph) -> None:
    graph.change("update staff set first_name = first_name || '!' where staff_id = 1")


def test_a_source_that_nothing_was_ingested_of_is_refreshed(unseen: Graph) -> None:
    *named, more = requested(unseen).split(", ")
    assert named == list(SOURCE_TABLES)[:4]
    assert more == f"and {len(SOURCE_TABLES) - 4} more"
    assert totesys_changes.job_name == "refresh"


def test_a_change_is_requested_with_the_names_of_the_tables(graph: Graph) -> None:
    edit(graph)
    graph.change("delete from payment where payment_id = 3")
    assert requested(graph) == "staff, payment"


def test_when_nothing_changed_there_is_nothing_to_do(graph: Graph) -> None:
    assert str(skipped(graph)).startswith(NOTHING_NEW)


def test_the_cursor_saves_counting_and_never_hides_a_change(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, changed_tables = [], automation.changed_tables
    monkeypatch.setattr(automation, "changed_tables", lambda *of: counted.append(of) or changed_tables(*of))
    _, cursor = look(graph)
    assert cursor
    assert counted
    for _ in range(20):  # The server may have written something of its own in between.
        counted.clear()
        before = cursor
        skip, cursor = look(graph, before)
        assert isinstance(skip, SkipReason)
        assert str(skip.skip_message).startswith(NOTHING_NEW)
        if cursor == before:
            break
    assert counted == []
    edit(graph)
    assert requested(graph, cursor) == "staff"


def test_a_change_that_comes_while_the_sensor_watches_is_seen(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    _, cursor = look(graph)
    monkeypatch.setattr(automation, "LOOK_FOR", 30.0)
    watching, looks = automation.watching, []

    @contextmanager
    def watching_while_somebody_works(source: Database) -> Iterator[Callable[[], str]]:
        with watching(source) as position:

            def look_and_work() -> str:
                looks.append(position())
                if len(looks) == 3:
                    edit(graph)
                return looks[-1]

            yield look_and_work

    monkeypatch.setattr(automation, "watching", watching_while_somebody_works)
    assert requested(graph, cursor) == "staff"
    assert len(looks) == 4


def test_while_a_run_is_in_progress_no_other_is_requested(graph: Graph) -> None:
    edit(graph)
    statuses = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
    for job, status in itertools.product(("refresh", "reconcile"), statuses):
        run = start(graph, job, status)
        reason = skipped(graph)
        assert reason is not None
        assert reason.startswith(f"A {job} is in progress (run {run[:8]})")
        assert scheduled(refresh_every_15_minutes, graph) == SkipReason(reason)
        graph.instance.delete_run(run)
    assert requested(graph) == "staff"


def test_runs_of_other_jobs_are_in_nobodys_way(graph: Graph) -> None:
    job = graph.definitions.resolve_implicit_global_asset_job_def()
    graph.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert isinstance(scheduled(refresh_every_15_minutes, graph), RunRequest)


def test_a_run_that_has_been_in_progress_for_too_long_counts_as_dead(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(graph, "refresh")
    assert isinstance(scheduled(refresh_every_15_minutes, graph), SkipReason)
    monkeypatch.setattr(automation, "PATIENCE", timedelta(0))
    assert isinstance(scheduled(refresh_every_15_minutes, graph), RunRequest)


def test_after_a_failure_there_is_a_pause_and_then_another_try(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.change("alter table staff rename column first_name to forename")
    before = datetime.now(UTC)
    assert not graph.run(raise_on_error=False).success
    reason = skipped(graph)
    moments = {f"{before + timedelta(seconds=later):%H:%M:%S} UTC" for later in range(60)}
    assert any(moment in reason for moment in moments)
    assert isinstance(scheduled(refresh_every_15_minutes, graph), RunRequest)
    monkeypatch.setattr(automation, "FIRST_PAUSE", timedelta(0))
    assert requested(graph) == "not known, for the last refresh failed"


def pause(*outcomes: str, every: float = 1) -> float | None:
    """Minutes to wait after the newest of some refreshes, oldest first, that ended a number of minutes apart.

    Each is `failed`, `blind` (requested by a sensor that could not look; it succeeded) or `good`. None for no wait.
    """
    began = datetime(2026, 1, 1, tzinfo=UTC)
    past = [
        PastRefresh(str(number), began + timedelta(minutes=every * number), outcome == "failed", outcome == "blind")
        for number, outcome in enumerate(outcomes)
    ]
    counted = [refresh.ended_at for refresh in past if refresh.failed or refresh.blind]
    until = next_try(past[::-1])
    return (until - counted[-1]).total_seconds() / 60 if counted else None if until < began else 0


def test_every_failure_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    assert [pause(*["failed"] * failures) for failures in range(1, 8)] == [1, 2, 4, 8, 15, 15, 15]


def test_a_success_between_two_failures_does_not_shorten_the_pause() -> None:
    assert pause("failed", "good", "failed", "good", "good", "failed") == 4
    assert pause("failed", "good", "good", "failed", "good") == 2


def test_a_failure_of_more_than_an_hour_ago_does_not_count() -> None:
    assert pause("failed", "good", "failed", every=29) == 2
    assert pause("failed", "good", "failed", every=30) == 1


def test_what_only_the_sensor_meets_doubles_the_pause_though_every_refresh_succeeds() -> None:
    assert [pause(*["blind"] * requests) for requests in range(1, 8)] == [1, 2, 4, 8, 15, 15, 15]
    assert pause("blind", "failed", "good", "blind") == 4


def test_without_a_failure_there_is_no_pause() -> None:
    assert pause() is None
    assert pause("good", "good") is None


def test_refreshes_are_remembered_newest_first(graph: Graph) -> None:
    failed, good = end(graph, "refresh", DagsterRunStatus.FAILURE), end(graph, "refresh", DagsterRunStatus.SUCCESS)
    end(graph, "reconcile", DagsterRunStatus.FAILURE)
    start(graph, "refresh")
    first, second, _ = past_refreshes(graph.instance)
    assert (first.run, first.failed) == (good, False)
    assert (second.run, second.failed) == (failed, True)
    assert first.ended_at >= second.ended_at > datetime.now(UTC) - timedelta(minutes=5)


def test_after_a_success_there_is_no_pause(graph: Graph) -> None:
    graph.change("alter table staff rename column first_name to forename")
    assert not graph.run(raise_on_error=False).success
    graph.change("alter table staff rename column forename to first_name")
    assert graph.run().success
    edit(graph)
    assert requested(graph) == "staff"


def test_a_fault_that_only_the_sensor_has_does_not_request_one_refresh_after_the_other(graph: Graph) -> None:
    """As with credentials of its own process that have expired: the runs that it requests succeed."""
    astray = replace(
        graph,
        resources={**graph.resources, "ingestion_zone": ZoneIOManager(zone_name="ingestion", url="ftp://nowhere")},
    )
    request, _ = look(astray)
    assert isinstance(request, RunRequest)
    assert request.tags["totes/changed"] == "SettingsError"
    job = graph.definitions.resolve_job_def("refresh")
    run = graph.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED, tags=request.tags).run_id
    graph.instance.report_dagster_event(
        DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, "refresh", message="It succeeded."), run
    )
    reason = str(skipped(astray))
    assert "is no lake: " in reason
    assert "The next refresh is requested at " in reason
    edit(graph)
    assert requested(graph) == "staff"


def test_a_warehouse_that_dagster_knows_nothing_of_is_confirmed_first(graph: Graph) -> None:
    forgetful = replace(graph, instance=DagsterInstance.ephemeral())
    assert requested(forgetful) == "nothing, but the warehouse is to be confirmed as current"


def test_on_a_quiet_night_the_warehouse_is_confirmed_often_enough_to_stay_fresh(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(skipped(graph)).startswith(NOTHING_NEW)
    # Time to look, to start and to run must be left before the warning.
    assert automation.CONFIRM_AFTER + timedelta(minutes=2) < WARN_AFTER < FAIL_AFTER
    monkeypatch.setattr(automation, "CONFIRM_AFTER", timedelta(0))
    assert requested(graph) == "nothing, but the warehouse is to be confirmed as current"


def test_a_reconciliation_confirms_the_warehouse_too(graph: Graph) -> None:
    forgetful = replace(graph, instance=DagsterInstance.ephemeral())
    end(forgetful, "reconcile", DagsterRunStatus.SUCCESS)
    assert str(skipped(forgetful)).startswith(NOTHING_NEW)


def test_while_the_source_is_away_the_sensor_says_so_and_keeps_its_place(graph: Graph) -> None:
    _, cursor = look(graph)
    away = replace(
        graph,
        resources={
            **graph.resources,
            "totesys": TotesysResource(url="postgresql://127.0.0.1:1/totesys?sslmode=disable"),
        },
    )
    skip, kept = look(away, cursor)
    assert isinstance(skip, SkipReason)
    assert str(skip.skip_message).startswith("Cannot connect to totesys: ")
    assert str(skip.skip_message).endswith("The next look is in some seconds.")
    assert kept == cursor
    edit(graph)
    assert requested(graph, cursor) == "staff"


def test_what_is_wrong_with_the_source_for_good_is_told_by_a_refresh_that_fails_of_it(graph: Graph) -> None:
    graph.change("drop table payment")
    assert requested(graph) == "SourceSchemaError"
    result = graph.run(raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "payment: expected a table, found no such table" in str(failure.event_specific_data)
    assert "The last refresh failed" in str(skipped(graph))


def test_a_change_during_a_run_is_requested_as_soon_as_that_has_ended(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "LOOK_FOR", 60.0)
    run = start(graph, "refresh")
    edit(graph)
    asked = []

    def nap(seconds: float) -> None:
        asked.append(seconds)
        if len(asked) == 3:
            graph.instance.delete_run(run)

    monkeypatch.setattr(automation.time, "sleep", nap)
    assert requested(graph) == "staff"
    assert asked == [automation.ASK_EVERY] * 3


def test_the_schedules_request_what_is_due(graph: Graph) -> None:
    for schedule in (refresh_every_15_minutes, reconcile_nightly):
        assert isinstance(scheduled(schedule, graph), RunRequest)
    assert refresh_every_15_minutes.cron_schedule == "*/15 * * * *"
    assert reconcile_nightly.job_name == "reconcile"
