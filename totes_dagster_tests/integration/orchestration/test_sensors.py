"""When the sensor requests refreshes, and when not, with a reason that a person understands."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SkipReason

from totes_dagster.ingest.run import changed_tables
from totes_dagster.ingest.watch import watching
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration import pauses, recorded, sensors
from totes_dagster.orchestration.freshness import FAIL_AFTER, WARN_AFTER
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.pauses import past_refreshes
from totes_dagster.orchestration.recorded import recorded_loads
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.orchestration.sensors import totesys_changes
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.postgres.database import Database
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import (
    confirmed,
    edit,
    fail,
    look,
    report_success,
    requested,
    skipped,
    start,
    succeed,
)

pytestmark = pytest.mark.usefixtures("one_look")

NOTHING_NEW = "Nothing changed in totesys. The warehouse was confirmed at "


def test_a_source_that_nothing_was_ingested_of_is_refreshed(unseen: Graph) -> None:
    *named, more = requested(unseen).split(", ")
    assert named == list(SOURCE_TABLES)[:4]
    assert more == f"and {len(SOURCE_TABLES) - 4} more"
    assert totesys_changes.job_name == "refresh"


def test_a_change_is_requested_with_the_names_of_the_tables(refreshed: Graph) -> None:
    edit(refreshed)
    refreshed.change("delete from payment where payment_id = 3")
    assert requested(refreshed) == "staff, payment"


def test_when_nothing_changed_there_is_nothing_to_do(refreshed: Graph) -> None:
    assert skipped(refreshed).startswith(NOTHING_NEW)


def test_the_cursor_saves_counting_and_never_hides_a_change(refreshed: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Database] = []

    def count(source: Database, ingestion: Zone, **options: Any) -> list[str]:
        counted.append(source)
        return changed_tables(source, ingestion, **options)

    monkeypatch.setattr(sensors, "changed_tables", count)
    _, cursor = look(refreshed)
    assert cursor
    assert counted
    for _ in range(20):  # The server may have written something of its own in between.
        counted.clear()
        before = cursor
        skip, cursor = look(refreshed, before)
        assert isinstance(skip, SkipReason)
        assert str(skip.skip_message).startswith(NOTHING_NEW)
        if cursor == before:
            break
    assert counted == []
    edit(refreshed)
    assert requested(refreshed, cursor) == "staff"


def test_a_change_that_comes_while_the_sensor_watches_is_seen(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor = look(refreshed)
    monkeypatch.setattr(sensors, "LOOK_FOR", 30.0)
    looks: list[str] = []

    @contextmanager
    def watching_while_somebody_works(source: Database) -> Iterator[Callable[[], str]]:
        with watching(source) as position:

            def look_and_work() -> str:
                looks.append(position())
                if len(looks) == 3:
                    edit(refreshed)
                return looks[-1]

            yield look_and_work

    monkeypatch.setattr(sensors, "watching", watching_while_somebody_works)
    assert requested(refreshed, cursor) == "staff"
    assert len(looks) == 4


def test_after_a_failure_there_is_a_pause_and_then_another_try(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed.change("alter table staff rename column first_name to forename")
    before = datetime.now(UTC)
    assert not refreshed.run(raise_on_error=False).success
    reason = skipped(refreshed)
    moments = {f"{before + timedelta(seconds=later):%H:%M:%S} UTC" for later in range(60)}
    assert any(moment in reason for moment in moments)
    monkeypatch.setattr(pauses, "FIRST_PAUSE", timedelta(0))
    assert requested(refreshed) == "unknown, because the last refresh failed"


def test_refreshes_are_remembered_newest_first(refreshed: Graph) -> None:
    failed, good = fail(refreshed, "refresh"), succeed(refreshed, "refresh")
    fail(refreshed, "reconcile")
    start(refreshed, "refresh")
    first, second, _ = past_refreshes(refreshed.instance)
    assert (first.run, first.failed) == (good, False)
    assert (second.run, second.failed) == (failed, True)
    assert first.ended_at >= second.ended_at > datetime.now(UTC) - timedelta(minutes=5)


def test_after_a_success_there_is_no_pause(refreshed: Graph) -> None:
    fail(refreshed, "refresh")
    edit(refreshed)
    assert "The last refresh failed" in skipped(refreshed)
    succeed(refreshed, "refresh")
    assert requested(refreshed) == "staff"


def test_a_fault_that_only_the_sensor_has_does_not_request_one_refresh_after_the_other(refreshed: Graph) -> None:
    """As with credentials of its own process that have expired: the runs that it requests succeed."""
    astray = replace(
        refreshed,
        resources={**refreshed.resources, "ingestion_zone": IngestionIOManager(url="ftp://nowhere")},
    )
    request, _ = look(astray)
    assert isinstance(request, RunRequest)
    assert request.tags["totes/changed"] == "SettingsError"
    job = refreshed.definitions.resolve_job_def("refresh")
    run = refreshed.instance.create_run_for_job(
        job, status=DagsterRunStatus.STARTED, tags={**job.tags, **request.tags}
    ).run_id
    report_success(refreshed, "refresh", run)
    reason = skipped(astray)
    assert "is not the URL of a lake: " in reason
    assert "The next refresh is requested at " in reason
    edit(refreshed)
    assert requested(refreshed) == "staff"


def test_a_warehouse_that_dagster_knows_nothing_of_is_confirmed_first(refreshed: Graph) -> None:
    forgetful = replace(refreshed, instance=DagsterInstance.ephemeral())
    assert {event.asset_key for event in confirmed(forgetful)} == set(map(key_of_loaded, STAR_TABLES))
    assert skipped(forgetful).startswith(NOTHING_NEW)
    assert {each.version for each in recorded_loads(forgetful.instance).values()} == {1}


def test_on_a_quiet_night_the_warehouse_is_confirmed_often_enough_to_stay_fresh_and_without_a_run(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert skipped(refreshed).startswith(NOTHING_NEW)
    # Time to look must be left before the warning.
    assert recorded.CONFIRM_AFTER + timedelta(minutes=2) < WARN_AFTER < FAIL_AFTER
    before = recorded_loads(refreshed.instance)
    monkeypatch.setattr(recorded, "CONFIRM_AFTER", timedelta(0))
    confirmed(refreshed)
    after = recorded_loads(refreshed.instance)
    for star, each in after.items():
        assert each.at > before[star].at
        assert replace(each, at=before[star].at) == before[star]


def test_a_batch_that_waits_to_be_loaded_is_no_reason_to_confirm(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(refreshed)
    refreshed.materialise("ingestion/staff")
    assert skipped(refreshed).startswith(NOTHING_NEW)
    monkeypatch.setattr(recorded, "CONFIRM_AFTER", timedelta(0))
    assert requested(refreshed) == "nothing, but batches wait to be loaded"


def test_a_warehouse_that_cannot_be_read_is_not_confirmed(refreshed: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "CONFIRM_AFTER", timedelta(0))
    away = WarehouseResource(url="postgresql://127.0.0.1:1/warehouse?sslmode=disable")
    assert requested(replace(refreshed, resources={**refreshed.resources, "warehouse": away})) == "PortClosedError"


def test_an_undeclared_table_that_changed_is_requested_when_the_warehouse_is_to_be_confirmed(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed.change("create table voucher (code text)", "insert into voucher values ('A')")
    assert skipped(refreshed).startswith(NOTHING_NEW)
    monkeypatch.setattr(recorded, "CONFIRM_AFTER", timedelta(0))
    assert requested(refreshed) == "voucher"


def test_a_reconciliation_confirms_the_warehouse_too(refreshed: Graph) -> None:
    forgetful = replace(refreshed, instance=DagsterInstance.ephemeral())
    assert forgetful.run("reconcile").success
    assert skipped(forgetful).startswith(NOTHING_NEW)


def test_while_the_source_is_away_the_sensor_says_so_and_keeps_its_place(refreshed: Graph) -> None:
    _, cursor = look(refreshed)
    away = replace(
        refreshed,
        resources={
            **refreshed.resources,
            "totesys": TotesysResource(url="postgresql://127.0.0.1:1/totesys?sslmode=disable"),
        },
    )
    skip, kept = look(away, cursor)
    assert isinstance(skip, SkipReason)
    assert str(skip.skip_message).startswith("Cannot connect to totesys: ")
    assert str(skip.skip_message).endswith("The sensor tries again in a few seconds.")
    assert kept == cursor
    edit(refreshed)
    assert requested(refreshed, cursor) == "staff"


def test_what_is_wrong_with_the_source_for_good_is_told_by_a_refresh_that_fails_of_it(refreshed: Graph) -> None:
    refreshed.change("drop table payment")
    assert requested(refreshed) == "SourceSchemaError"
    result = refreshed.run(raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "payment: expected a table, found no such table" in str(failure.event_specific_data)
    assert "The last refresh failed" in skipped(refreshed)


def test_a_change_during_a_run_is_requested_as_soon_as_that_has_ended(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "LOOK_FOR", 60.0)
    run = start(refreshed, "refresh")
    edit(refreshed)
    asked: list[float] = []

    def nap(seconds: float) -> None:
        asked.append(seconds)
        if len(asked) == 3:
            refreshed.instance.delete_run(run)

    monkeypatch.setattr(time, "sleep", nap)
    assert requested(refreshed) == "staff"
    assert asked == [sensors.ASK_EVERY] * 3


def test_a_source_that_takes_too_long_to_count_is_left_to_the_schedule(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_LOOK_AT_MOST", 0.001)
    monkeypatch.setattr(sensors, "_count_not_before", [0.0])
    edit(refreshed)
    assert skipped(refreshed).startswith("Counting the source's tables takes longer than 40 s")
    # It does not count one time after the other: whatever the source does meanwhile is not looked at.
    counted: list[Any] = []
    monkeypatch.setattr(sensors, "changed_tables", lambda *looked, **_: counted.append(looked))
    monkeypatch.setattr(sensors, "_count_not_before", [time.monotonic() + 1000])
    assert skipped(refreshed).startswith("Counting the source's tables takes longer than 40 s")
    assert counted == []
