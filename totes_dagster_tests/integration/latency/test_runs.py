"""The runs of Dagster that brought what was measured."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance
from rich.console import Console

from totes_dagster.config.platform import Platform
from totes_dagster.latency import measurement
from totes_dagster.latency.measurement import measure, with_runs
from totes_dagster.latency.runs import with_run
from totes_dagster.latency.timings import Change, steps_of
from totes_dagster.pipeline import refresh
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.latency.repeating import AT_ONCE, PATIENCE, repeating


def test_a_run_of_dagster_that_brought_a_change_is_found(graph: Graph, tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    with DagsterInstance.from_config(str(home)) as instance:
        running = replace(graph, instance=instance)
        with repeating(running.run):
            (change,) = measure(graph.platform, changes=1, pauses=AT_ONCE, timeout=PATIENCE)
        (found,) = with_run([change], home)
        assert found.run is not None
        ingested = instance.fetch_materializations(AssetKey(["ingestion", "staff"]), limit=1000).records
        (run_id,) = (
            record.run_id
            for record in ingested
            for metadata in [record.asset_materialization.metadata if record.asset_materialization else {}]
            if metadata["batch"].value == change.batch and metadata["rows"].value
        )
    assert found.run.run_id == run_id
    assert replace(found, run=None) == change
    assert {("requested", "started"), ("started", "snapshot")} <= set(steps_of(found))


def test_an_instance_without_a_fitting_run_changes_nothing(platform: Platform, tmp_path: Path) -> None:
    with repeating(lambda: refresh(platform)):
        changes = measure(platform, changes=1, pauses=AT_ONCE, timeout=PATIENCE)
    home = tmp_path / "dagster"
    home.mkdir()
    assert with_run(changes, home) == changes
    assert with_run([], home) == []


def test_records_of_dagster_that_cannot_be_read_are_told_and_cost_no_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("no_such_setting: 1")
    monkeypatch.setenv("TOTES_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    changes = [Change(1, datetime.now(UTC), None, None, datetime.now(UTC))]
    recorder = Console(record=True, width=100, highlight=False)
    monkeypatch.setattr(measurement, "console", recorder)
    assert with_runs(changes) == changes
    assert f"Dagster's records in {tmp_path / 'dagster'} cannot be read (" in recorder.export_text()
