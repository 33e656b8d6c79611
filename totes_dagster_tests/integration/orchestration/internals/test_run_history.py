"""What a run leaves in Dagster's storage, and that nothing of it is left when it is removed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import AssetMaterialization, AssetObservation, AssetRecordsFilter, DagsterInstance, DagsterRunStatus

from totes_dagster.orchestration.internals import run_history
from totes_dagster_tests.integration.orchestration.memory import (
    BREAK,
    ELSEWHERE,
    OTHER,
    OWN_CHECK,
    TABLE,
    THEIRS,
    Memory,
)

pytestmark = pytest.mark.slow


def test_a_run_leaves_something_of_every_kind(memory: Memory) -> None:
    run = memory.run()
    left = memory.mentions(run)
    assert left >= {"runs", "event_logs", "asset_check_executions", "asset_event_tags", "asset_keys", f"storage/{run}"}
    assert (f"history/runs/{run}.db" in left) == (memory.database is None)


def test_nothing_is_left_of_a_run_that_is_removed(memory: Memory) -> None:
    run = memory.run(tags={"totes/changed": "staff"})
    memory.run()
    freed = memory.history().remove([run])
    assert memory.mentions(run) == set()
    assert memory.mentions("totes/changed") == set()
    assert memory.untagged() == set()
    assert freed > (0 if memory.database else 100_000)


def test_other_runs_are_left_as_they_are(memory: Memory) -> None:
    runs = [memory.run() for _ in range(3)]

    def all_of(run: str) -> Any:
        rows = [row for row in memory.rows() if run in str(row)]
        files = {file: file.read_bytes() for file in (memory.home / "storage" / run).rglob("*.err")}
        return rows, files, [str(entry) for entry in memory.instance.all_logs(run)]

    before = all_of(runs[0]), all_of(runs[2])
    memory.history().remove([runs[1]])
    assert (all_of(runs[0]), all_of(runs[2])) == before


def test_several_runs_are_removed_at_once(memory: Memory) -> None:
    runs = [memory.run() for _ in range(4)]
    memory.history().remove(runs[:3])
    assert memory.runs() == set(runs[3:])
    assert [memory.mentions(run) for run in runs[:3]] == [set()] * 3


def test_removing_a_run_once_more_is_no_error(memory: Memory) -> None:
    run = memory.run()
    memory.run()
    for _ in range(2):
        memory.history().remove([run])
        assert memory.mentions(run) == set()


def test_runs_are_listed_with_how_and_when_they_ended(memory: Memory) -> None:
    before = datetime.now(UTC)
    succeeded, failed, started = memory.run(), memory.run(tags={BREAK: "yes"}), memory.start("other")
    listed = {run.run_id: run for run in memory.history().runs()}
    assert {run_id: (run.job, run.status) for run_id, run in listed.items()} == {
        succeeded: ("refresh", DagsterRunStatus.SUCCESS),
        failed: ("refresh", DagsterRunStatus.FAILURE),
        started: ("other", DagsterRunStatus.STARTED),
    }
    for run_id in (succeeded, failed):
        record = memory.instance.get_run_record_by_id(run_id)
        assert record is not None
        assert record.end_time == listed[run_id].updated_at.timestamp()
    # PostgreSQL stamps it by its own clock.
    assert abs(listed[started].updated_at - before) < timedelta(minutes=5)


def test_the_run_of_an_assets_only_materialisation_is_held(memory: Memory) -> None:
    only = memory.run("other")
    runs = [memory.run() for _ in range(3)]
    assert memory.history().held() == {only, runs[-1]}


@pytest.mark.parametrize("job", ["refresh", "other", "check"])
def test_a_failed_attempt_is_held_beside_the_last_success(memory: Memory, job: str) -> None:
    succeeded = memory.run(job)
    failed = [memory.run(job, tags={BREAK: "yes"}) for _ in range(2)]
    assert memory.history().held() == {succeeded, failed[-1]}
    succeeded = memory.run(job)
    assert memory.history().held() == {succeeded}


def test_the_run_of_a_checks_last_result_is_held_while_its_asset_goes_on(memory: Memory) -> None:
    old, checked = memory.run("check"), memory.run("check")
    runs = [memory.run("other") for _ in range(2)]
    assert memory.history().held() == {checked, runs[-1]}
    memory.history().remove([old, runs[0]])
    (record,) = memory.instance.event_log_storage.get_asset_check_execution_history(OWN_CHECK, limit=10)
    assert record.run_id == checked


def test_the_run_that_observed_an_asset_last_is_held(memory: Memory) -> None:
    runs = [memory.run() for _ in range(2)]
    memory.instance.wipe_assets([TABLE])
    assert memory.history().held() == {runs[-1]}


def test_only_runs_with_the_tag_are_listed_by_the_job_that_it_names(memory: Memory) -> None:
    memory.run(definitions=ELSEWHERE, partition_key="east")
    memory.run("__ASSET_JOB", asset_selection=[TABLE])
    run = memory.run(tags={"another": "tag"})
    assert [(listed.run_id, listed.job) for listed in memory.history().runs()] == [(run, "refresh")]


def report(instance: DagsterInstance, *, runless: int) -> None:
    """Events of two kinds and two assets, of no run."""
    for _ in range(runless):
        for key in (TABLE, OTHER):
            instance.report_runless_asset_event(AssetMaterialization(key))
            instance.report_runless_asset_event(AssetObservation(key, tags={"dagster/data_version": "1"}))


def runless(memory: Memory) -> int:
    return sum(1 for name, row in memory.rows() if name == "event_logs" and row[1] == "")


def test_of_old_events_without_a_run_the_newest_of_each_asset_and_kind_stay(memory: Memory) -> None:
    run = memory.run()
    report(memory.instance, runless=3)
    history = memory.history()
    assert runless(memory) == 12
    newest = memory.instance.get_latest_materialization_event(OTHER)
    assert history.remove_runless(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert runless(memory) == 12
    assert history.remove_runless(datetime.now(UTC) + timedelta(hours=1)) == 8
    assert runless(memory) == 4
    assert memory.untagged() == set()
    assert memory.instance.get_latest_materialization_event(OTHER) == newest
    records = memory.instance.fetch_materializations(AssetRecordsFilter(TABLE), limit=10).records
    assert len(records) == 2
    assert run in {record.run_id for record in records}
    assert len(memory.instance.all_logs("")) == 4


def test_events_without_a_run_of_other_assets_stay(memory: Memory) -> None:
    for _ in range(3):
        memory.instance.report_runless_asset_event(AssetMaterialization(THEIRS, tags={"dagster/data_version": "1"}))
    report(memory.instance, runless=2)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert memory.history().remove_runless(tomorrow) == 4
    assert len(memory.instance.fetch_materializations(THEIRS, limit=10).records) == 3
    assert runless(memory) == 3 + 4
    assert memory.untagged() == set()


def test_old_events_without_a_run_go_in_several_statements(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_history, "_EVENTS_AT_ONCE", 2)
    report(memory.instance, runless=6)
    assert memory.history().remove_runless(datetime.now(UTC) + timedelta(days=1)) == 4 * 5
    assert runless(memory) == 4
    assert memory.untagged() == set()
