"""The job and its schedule: what they do to what Dagster keeps of real refreshes, and what they say of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunRequest,
    SkipReason,
    build_schedule_context,
)

from totes_dagster.definitions import build_defs
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.orchestration import jobs, retention
from totes_dagster.orchestration.feeds.assets import keys_of
from totes_dagster.orchestration.internals.run_history import HistoryStorageError
from totes_dagster.orchestration.jobs import JOB_TAG
from totes_dagster.orchestration.retention import ASSETS, history_of, prune_hourly
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import company_of_a_graph, graph_of
from totes_dagster_tests.integration.orchestration.memory import BREAK, EARLIER, ELSEWHERE, TABLE, THEIRS, Memory

pytestmark = pytest.mark.slow


def said(result: ExecuteInProcessResult) -> dict[str, object]:
    """What a prune tells of itself."""
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def logged(memory: Memory, result: ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in memory.instance.all_logs(result.run_id) if not entry.is_dagster_event]


def test_a_prune_removes_what_is_due_and_says_so(memory: Memory) -> None:
    runs = [memory.run() for _ in range(3)]
    result = memory.prune(refreshes=1)
    assert memory.runs() == {runs[-1]}
    told = said(result)
    assert (told["runs_removed"], told["runs_left"], told["runless_events_removed"]) == (2, 0, 0)
    freed = told["bytes_of_files_removed"]
    assert isinstance(freed, int)
    assert freed > 0
    assert logged(memory, result) == [
        "Removed 2 of 2 runs.",
        f"Removed 2 runs, 0 events without a run, and {freed / 1e6:,.1f} MB of files. "
        "0 runs are left for the next prune.",
    ]


def test_a_prune_with_nothing_to_do_says_that(memory: Memory) -> None:
    memory.run()
    result = memory.prune()
    assert said(result)["runs_removed"] == 0
    assert len(logged(memory, result)) == 1
    assert memory.instance.get_run_by_id(result.run_id) is not None


def test_what_one_prune_has_no_time_for_the_next_one_does(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RUNS_AT_ONCE", 2)
    runs = [memory.run() for _ in range(4)]
    result = memory.prune(refreshes=1, minutes=0)
    assert (said(result)["runs_removed"], said(result)["runs_left"]) == (2, 1)
    assert memory.runs() == set(runs[2:])
    result = memory.prune(refreshes=1, minutes=0)
    assert (said(result)["runs_removed"], said(result)["runs_left"]) == (1, 0)
    assert memory.runs() == {runs[3]}
    assert [memory.mentions(run) for run in runs[:3]] == [set()] * 3


def test_while_there_is_time_batch_follows_batch(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RUNS_AT_ONCE", 1)
    for _ in range(3):
        memory.run()
    assert logged(memory, memory.prune(refreshes=1))[:2] == ["Removed 1 of 2 runs.", "Removed 2 of 2 runs."]


def test_runs_of_other_code_locations_and_materializations_by_hand_are_left_alone(memory: Memory) -> None:
    elsewhere = [
        memory.run(definitions=ELSEWHERE, partition_key=partition, tags=tags)
        for partition in ("east", "west")
        for tags in ({}, {}, {BREAK: "yes"}, {BREAK: "yes"})
    ]
    by_hand = [memory.run("__ASSET_JOB", asset_selection=[TABLE]) for _ in range(2)]
    before = {run: memory.mentions(run) for run in elsewhere}
    own = [memory.run() for _ in range(3)]
    memory.prune(refreshes=1, failures=1, others=1)
    assert memory.runs() == {*elsewhere, *by_hand, own[-1]}
    assert {run: memory.mentions(run) for run in elsewhere} == before
    assert memory.instance.get_materialized_partitions(THEIRS) == {"east", "west"}


def test_runs_of_an_earlier_version_are_left_alone_until_they_get_the_tag(memory: Memory) -> None:
    earlier = [memory.run(definitions=EARLIER) for _ in range(2)]
    run = memory.run()
    memory.prune(refreshes=1)
    assert memory.runs() == {*earlier, run}
    for run_id in earlier:
        memory.instance.add_run_tags(run_id, {JOB_TAG: "refresh"})
    memory.prune(refreshes=1)
    assert memory.runs() == {run}
    assert [memory.mentions(run_id) for run_id in earlier] == [set()] * 2


def test_events_without_a_run_are_kept_for_as_long_as_refreshes(memory: Memory) -> None:
    for _ in range(3):
        memory.instance.report_runless_asset_event(AssetMaterialization(TABLE))
        memory.instance.report_runless_asset_event(AssetMaterialization(THEIRS))
    assert said(memory.prune(other_days=0))["runless_events_removed"] == 0
    assert said(memory.prune(refresh_days=0))["runless_events_removed"] == 2
    assert len(memory.instance.fetch_materializations(TABLE, limit=9).records) == 1
    assert len(memory.instance.fetch_materializations(THEIRS, limit=9).records) == 3


def test_prunes_do_not_pile_up(memory: Memory) -> None:
    prunes = [memory.prune(refreshes=1).run_id for _ in range(4)]
    # The third one is the newest that had ended when the fourth looked.
    assert {run.run_id for run in memory.instance.get_runs()} == set(prunes[2:])


def test_after_a_prune_dagster_shows_every_asset_and_check_as_before(memory: Memory, companies: Companies) -> None:
    graph = replace(graph_of(companies.unseen(company_of_a_graph())), instance=memory.instance)
    storage = memory.instance.event_log_storage
    refreshed = {*ASSETS} - {key for feed in FEEDS.values() for key in keys_of(feed).values()}
    checks = [
        key
        for key in graph.definitions.resolve_asset_graph().asset_check_keys
        if key.name != "matches_source" and key.asset_key in refreshed
    ]
    # The first run was the last to see most tables of the source, and is held for that.
    runs = []
    for _ in range(3):
        graph.change("update staff set first_name = first_name || '!' where staff_id = 1")
        runs.append(graph.run())
    first, _, last = runs
    assets = memory.instance.get_asset_records()
    summaries = storage.get_asset_check_summary_records(checks)
    pruned = dict(said(graph.run("prune", run_config={"ops": {"prune_history": {"config": {"refreshes": 1}}}})))
    assert int(str(pruned.pop("bytes_of_files_removed"))) > 1_000
    assert pruned == {"runs_removed": 1, "runs_left": 0, "runless_events_removed": 0}
    assert memory.runs() == {first.run_id, last.run_id}
    assert memory.instance.get_asset_records() == assets
    assert storage.get_asset_check_summary_records(checks) == summaries
    assert len(assets) == 2 * len(SOURCE_TABLES) + 2 * len(STAR_TABLES)
    assert {summary.last_run_id for summary in summaries.values()} == {last.run_id}
    assert len(memory.instance.fetch_materializations(AssetKey(["warehouse", "fact_payment"]), limit=9).records) == 2


def test_an_hourly_prune_waits_for_the_one_in_progress(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    def due() -> object:
        return prune_hourly(build_schedule_context(instance=memory.instance))

    assert isinstance(due(), RunRequest)
    job = build_defs().resolve_job_def("prune")
    run = memory.instance.create_run_for_job(job, tags=job.run_tags).run_id
    memory.start("refresh")
    skip = due()
    assert isinstance(skip, SkipReason)
    assert str(skip.skip_message).startswith(f"A prune is in progress (run {run[:8]}).")
    monkeypatch.setattr(jobs, "PATIENCE", timedelta(hours=-14))
    assert isinstance(due(), RunRequest)


def test_a_prune_of_another_location_is_in_nobodys_way(memory: Memory) -> None:
    job = build_defs().resolve_job_def("prune")
    memory.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert isinstance(prune_hourly(build_schedule_context(instance=memory.instance)), RunRequest)


@pytest.mark.parametrize("kind", ["run", "event_log"])
def test_a_storage_without_tables_is_left_to_its_own_means(tmp_path: Path, kind: str) -> None:
    name = {"run": "LegacyRunStorage", "event_log": "LegacyEventLogStorage"}[kind]
    wrapped = {
        "module_name": "dagster._core.storage.sqlite_storage",
        "class_name": "DagsterSqliteStorage",
        "config_yaml": yaml.safe_dump({"base_dir": str(tmp_path)}),
    }
    storage = {"module": "dagster._core.storage.legacy_storage", "class": name, "config": wrapped}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({f"{kind}_storage": storage}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        skipped = prune_hourly(build_schedule_context(instance=instance))
        assert isinstance(skipped, SkipReason)
        assert skipped.skip_message == (
            f"Dagster's storage is {name}, which has no tables to remove old runs from. Remove them by that storage's "
            "own means."
        )
        with pytest.raises(HistoryStorageError, match=f"Dagster's storage is {name}, "):
            history_of(instance)
