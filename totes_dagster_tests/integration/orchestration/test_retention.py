"""The job and its schedule: what they do to what Dagster keeps of real refreshes, and what they say of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    ExecuteInProcessResult,
    RunRequest,
    SkipReason,
    build_schedule_context,
)

from totes_dagster.definitions import build_defs
from totes_dagster.orchestration import retention
from totes_dagster.orchestration.retention import prune_hourly
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.integration.graph import new_graph
from totes_dagster_tests.integration.orchestration.memory import Memory


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


def test_what_others_deleted_goes_entirely_unless_it_is_shown_still(memory: Memory) -> None:
    superseded, shown = memory.run(), memory.run()
    for run in (superseded, shown):
        memory.instance.delete_run(run)
    assert said(memory.prune())["runs_removed"] == 1
    assert memory.mentions(superseded) == set()
    assert "asset_check_executions" in memory.mentions(shown)
    memory.run()
    assert said(memory.prune())["runs_removed"] == 1
    assert memory.mentions(shown) == set()


def test_prunes_do_not_pile_up(memory: Memory) -> None:
    prunes = [memory.prune(refreshes=1).run_id for _ in range(4)]
    # The third one is the newest that had ended when the fourth looked.
    assert {run.run_id for run in memory.instance.get_runs()} == set(prunes[2:])


def test_after_a_prune_dagster_shows_every_asset_and_check_as_before(
    memory: Memory, database: Callable[..., str], tmp_path: Path
) -> None:
    graph = replace(new_graph(database, tmp_path), instance=memory.instance)
    storage = memory.instance.event_log_storage
    checks = [key for key in graph.definitions.resolve_asset_graph().asset_check_keys if key.name != "matches_source"]
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
    run = memory.instance.create_run_for_job(job).run_id
    memory.start("refresh")
    assert due() == SkipReason(f"A prune is in progress (run {run[:8]}).")
    monkeypatch.setattr(retention, "PATIENCE", timedelta(0))
    assert isinstance(due(), RunRequest)
