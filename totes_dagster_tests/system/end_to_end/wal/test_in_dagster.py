"""The log in Dagster: what the sensor requests, and what the run does and says."""

from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, RunRequest, SensorResult, SkipReason

from totes_dagster.definitions import build_defs
from totes_dagster.ingest import run
from totes_dagster.ingest.wal import start
from totes_dagster.orchestration import sensors
from totes_dagster.orchestration.alerts.incidents import Kind
from totes_dagster.orchestration.alerts.observing import failing_checks
from totes_dagster.orchestration.checks.source import contract_specs
from totes_dagster_tests.integration.graph import metadata_of
from totes_dagster_tests.printed import printed_to, values
from totes_dagster_tests.resources import look, resources_of
from totes_dagster_tests.system.end_to_end.wal.logged import EDIT, is_from_log, versions
from totes_dagster_tests.world import World


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_every_version_arrives_by_a_requested_run_which_says_where_it_is_from(
    unseen_logged: World, instance: DagsterInstance
) -> None:
    resources = resources_of(unseen_logged.platform)
    definitions = build_defs(resources)
    refresh, reconcile = (definitions.resolve_job_def(name) for name in ("refresh", "reconcile"))
    assert refresh.execute_in_process(instance=instance).success
    before = versions(unseen_logged)
    unseen_logged.change(EDIT)
    unseen_logged.change(EDIT, "update staff set first_name = 'New' where staff_id = 1")
    request = look(instance, resources)
    assert isinstance(request, RunRequest)
    assert request.tags["totes/changed"] == "sales_order, staff"
    result = refresh.execute_in_process(instance=instance, tags=request.tags)
    assert result.success
    assert versions(unseen_logged) == before + 2
    assert is_from_log(unseen_logged)
    assert unseen_logged.wrongs() == []
    said = metadata_of(result)
    assert (said["ingestion/sales_order"]["rows"], said["ingestion/sales_order"]["parts"]) == (2, 2)
    assert said["ingestion/sales_order"]["content"] == "every version, from the log"
    assert "dagster/row_count" not in said["ingestion/sales_order"]
    assert said["warehouse/fact_sales_order"]["changed"] == 2
    assert isinstance(look(instance, resources), SkipReason)
    # When the warehouse is due to be confirmed, what a census would count again is no change.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sensors, "due", lambda recorded, _: list(recorded))
        assert isinstance(look(instance, resources), SensorResult)
        patched.setattr(run, "MOVE_AFTER_BYTES", 2**16)
        unseen_logged.change("create table noise as select generate_series(1, 5000)", "drop table noise")
        request = look(instance, resources)
        assert isinstance(request, RunRequest)
        assert "keeps its log" in request.tags["totes/changed"]
    assert reconcile.execute_in_process(instance=instance).success
    assert unseen_logged.has_arrived()


def test_a_log_that_piles_up_raises_an_alert_and_is_measured(
    logged: World, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refresh = build_defs(resources_of(logged.platform)).resolve_job_def("refresh")
    keys = [spec.key for spec in contract_specs]
    with printed_to(tmp_path / "printed", asked=True) as printed:
        assert refresh.execute_in_process(instance=instance).success
        (little,) = values(printed.points(among_others=True), "KeptLog")
    assert failing_checks(instance, keys) == {(Kind.CHECK, "as_declared"): None}
    monkeypatch.setattr(start, "WARN_AFTER_BYTES", 2**16)
    with logged.transaction() as connection:  # while it is open, the source keeps its log
        connection.execute(EDIT)
        logged.change("create table noise as select generate_series(1, 10000)", "drop table noise")
        with printed_to(tmp_path / "printed", asked=True) as printed:
            assert refresh.execute_in_process(instance=instance).success
            *_, much = values(printed.points(among_others=True), "KeptLog")
    assert much > little + 2**16
    incident = failing_checks(instance, keys)[Kind.CHECK, "as_declared"]
    assert incident is not None
    assert "kept for the replication slot totes_" in incident.why
