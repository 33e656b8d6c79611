"""The sensor as Dagster's own daemon evaluates it, in a code server's process."""

import logging
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration

from totes_dagster.orchestration.alerts.incidents import Watch
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.watcher import fail

CLOSED = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.mark.slow
def test_the_daemon_evaluates_the_sensor_and_keeps_its_cursor(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "TOTESYS_URL": CLOSED,
        "WAREHOUSE_URL": CLOSED,
        "TOTES_INGESTION_LAKE": (tmp_path / "ingestion").as_uri(),
        "TOTES_PROCESSED_LAKE": (tmp_path / "processed").as_uri(),
        "TOTES_ALERT_TOPIC": mailbox.topic,
        "TOTES_UI_URL": "https://dagster.example.com",
    }.items():
        monkeypatch.setenv(name, value)
    target = ModuleTarget("totes_dagster.definitions", attribute=None, working_directory=None, location_name="here")
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        failed = fail(instance)
        with create_test_daemon_workspace_context(target, instance) as workspace:
            list(execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None))
        (arrived,) = mailbox.arrived()
        states = instance.all_instigator_state()
    assert f"https://dagster.example.com/runs/{failed}\n" in arrived.text
    (state,) = [state for state in states if state.instigator_name == "alerts"]
    assert isinstance(state.instigator_data, SensorInstigatorData)
    watch = Watch.resumed(state.instigator_data.cursor)
    assert watch is not None
    assert [incident.run_id for incident in watch.open] == [failed]
    assert watch.pending == ()
