"""What a run leaves in Dagster's storage, and that nothing of it is left when it is removed."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetRecordsFilter,
    DagsterInstance,
    DagsterRunStatus,
)

from totes_dagster.orchestration.internals.run_history import History, HistoryStorageError
from totes_dagster_tests.integration.orchestration.memory import BREAK, OWN_CHECK, Memory


def test_a_run_leaves_something_of_every_kind(memory: Memory) -> None:
    run = memory.run()
    left = memory.mentions(run)
    assert left >= {"runs", "event_logs", "asset_check_executions", "asset_event_tags", "asset_keys", f"storage/{run}"}
    assert (f"history/runs/{run}.db" in left) == (memory.database is None)


def test_nothing_is_left_of_a_run_that_is_removed(memory: Memory) -> None:
    run = memory.run(tags={"totes/changed": "staff"})
    memory.run()
    freed = History(memory.instance).remove([run])
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
    History(memory.instance).remove([runs[1]])
    assert (all_of(runs[0]), all_of(runs[2])) == before


def test_several_runs_are_removed_at_once(memory: Memory) -> None:
    runs = [memory.run() for _ in range(4)]
    History(memory.instance).remove(runs[:3])
    assert memory.runs() == set(runs[3:])
    assert [memory.mentions(run) for run in runs[:3]] == [set()] * 3


def test_removing_a_run_once_more_is_no_error(memory: Memory) -> None:
    run = memory.run()
    memory.run()
    for _ in range(2):
        History(memory.instance).remove([run])
        assert memory.mentions(run) == set()


def test_runs_are_listed_with_how_and_when_they_ended(memory: Memory) -> None:
    before = datetime.now(UTC)
    succeeded, failed, started = memory.run(), memory.run(tags={BREAK: "yes"}), memory.start("other")
    listed = {run.run_id: run for run in History(memory.instance).runs()}
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
    assert History(memory.instance).held() == {only, runs[-1]}


@pytest.mark.parametrize("job", ["refresh", "other", "check"])
def test_a_failed_attempt_is_held_beside_the_last_success(memory: Memory, job: str) -> None:
    succeeded = memory.run(job)
    failed = [memory.run(job, tags={BREAK: "yes"}) for _ in range(2)]
    assert History(memory.instance).held() == {succeeded, failed[-1]}
    succeeded = memory.run(job)
    assert History(memory.instance).held() == {succeeded}


def test_the_run_of_a_checks_last_result_is_held_while_its_asset_goes_on(memory: Memory) -> None:
    old, checked = memory.run("check"), memory.run("check")
    runs = [memory.run("other") for _ in range(2)]
    assert History(memory.instance).held() == {checked, runs[-1]}
    History(memory.instance).remove([old, runs[0]])
    (record,) = memory.instance.event_log_storage.get_asset_check_execution_history(OWN_CHECK, limit=10)
    assert record.run_id == checked


def test_the_run_that_observed_an_asset_last_is_held(memory: Memory) -> None:
    runs = [memory.run() for _ in range(2)]
    memory.instance.wipe_assets([AssetKey("table")])
    assert History(memory.instance).held() == {runs[-1]}


@pytest.mark.parametrize("job", ["refresh", "other"])
def test_what_dagster_leaves_of_a_run_that_it_deletes_is_found(memory: Memory, job: str) -> None:
    history = History(memory.instance)
    deleted, kept, started = memory.run(job), memory.run(job), memory.start(job)
    assert history.leftovers() == set()
    memory.instance.delete_run(deleted)
    assert memory.mentions(deleted) != set()
    assert history.leftovers() == {deleted}
    history.remove([deleted])
    assert history.leftovers() == memory.mentions(deleted) == set()
    assert memory.runs() == {kept, started}


def test_results_of_checks_are_found_when_nothing_else_is_left(memory: Memory) -> None:
    run = memory.run()
    memory.run()
    memory.instance.delete_run(run)
    memory.instance.compute_log_manager.delete_logs(prefix=[run])
    (memory.home / f"history/runs/{run}.db").unlink(missing_ok=True)
    assert memory.mentions(run) == {"asset_check_executions"}
    assert History(memory.instance).leftovers() == {run}


def report(instance: DagsterInstance, *, runless: int) -> None:
    """Events of two kinds and two assets, of no run."""
    for _ in range(runless):
        for key in ("table", "other"):
            instance.report_runless_asset_event(AssetMaterialization(key))
            instance.report_runless_asset_event(AssetObservation(key, tags={"dagster/data_version": "1"}))


def runless(memory: Memory) -> int:
    return sum(1 for name, row in memory.rows() if name == "event_logs" and row[1] == "")


def test_of_old_events_without_a_run_the_newest_of_each_asset_and_kind_stay(memory: Memory) -> None:
    run = memory.run()
    report(memory.instance, runless=3)
    history = History(memory.instance)
    assert runless(memory) == 12
    newest = memory.instance.get_latest_materialization_event(AssetKey("other"))
    assert history.remove_runless(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert runless(memory) == 12
    assert history.remove_runless(datetime.now(UTC) + timedelta(hours=1)) == 8
    assert runless(memory) == 4
    assert memory.untagged() == set()
    assert memory.instance.get_latest_materialization_event(AssetKey("other")) == newest
    records = memory.instance.fetch_materializations(AssetRecordsFilter(AssetKey("table")), limit=10).records
    assert len(records) == 2
    assert run in {record.run_id for record in records}
    assert len(memory.instance.all_logs("")) == 4
    assert history.leftovers() == set()


def test_a_storage_without_tables_is_refused_clearly() -> None:
    class Elsewhere:
        run_storage = event_log_storage = object()

    with pytest.raises(HistoryStorageError, match="Turn off the schedule `prune_hourly`"):
        History(cast("DagsterInstance", Elsewhere()))
