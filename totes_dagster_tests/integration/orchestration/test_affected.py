"""A refresh that the sensor requests: what it selects, what it tells of other tables, and what it costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, ExecuteInProcessResult, RunRequest, serialize_value
from sqlalchemy import Engine, event

from totes_dagster.orchestration import recorded
from totes_dagster.orchestration.jobs import assets_affected_by, checks_affected_by
from totes_dagster.orchestration.recorded import recorded_loads, recorded_versions
from totes_dagster.orchestration.specs import key_of_processed
from totes_dagster.pipeline import refresh
from totes_dagster.schema.registry import STAR_TABLES, inputs_of
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.integration.graph import Graph, metadata_of
from totes_dagster_tests.integration.orchestration.automation import look
from totes_dagster_tests.world import of_the_older_source

pytestmark = pytest.mark.usefixtures("one_look")

ORDER = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"
PAYMENT = "update payment set payment_amount = payment_amount + 1 where payment_id = 3"

EVENTS_OF_TWO_FACTS = 150
STATEMENTS_OF_TWO_FACTS = 600
BYTES_OF_TWO_FACTS = 200_000
"""The most that a refresh of two facts may cost on Dagster's storage."""


def request_of(graph: Graph) -> RunRequest:
    request, _ = look(graph)
    assert isinstance(request, RunRequest)
    return request


def run(graph: Graph, request: RunRequest) -> ExecuteInProcessResult:
    """Run what the sensor requested, as the daemon would."""
    job = graph.definitions.resolve_job_def("refresh")
    if request.asset_selection is not None:
        assert request.asset_check_keys is not None
        job = job.get_subset(
            asset_selection=set(request.asset_selection), asset_check_selection=set(request.asset_check_keys)
        )
    return job.execute_in_process(instance=graph.instance, tags=request.tags)


def names(keys: Any) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_what_a_change_affects_is_what_is_computed_from_it() -> None:
    assert names(assets_affected_by(["department"])) == {
        "ingestion/department",
        "processed/dim_staff",
        "warehouse/dim_staff",
    }
    assert names(assets_affected_by(["sales_order", "payment"])) == {
        *(f"ingestion/{name}" for name in ("sales_order", "payment")),
        *(
            f"{stage}/{star}"
            for stage in ("processed", "warehouse")
            for star in ("fact_sales_order", "fact_payment", "dim_date")
        ),
    }
    everything = names(assets_affected_by(list(SOURCE_TABLES)))
    assert len(everything) == len(SOURCE_TABLES) + 2 * len(STAR_TABLES)
    assert {(key.asset_key.to_user_string(), key.name) for key in checks_affected_by(["department"])} == {
        ("ingestion/sales_order", "as_declared"),
        ("processed/dim_staff", "unique_and_not_null"),
        ("warehouse/dim_staff", "healthy"),
    }


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(table, marks=[] if table in {"design", "payment", "staff"} else [pytest.mark.slow])
        for table in SOURCE_TABLES
    ],
)
def test_a_change_of_any_table_reaches_the_warehouse(refreshed: Graph, source: str) -> None:
    refreshed.change(f"update {source} set created_at = created_at - interval '1 day'")
    request = request_of(refreshed)
    assert request.tags["totes/changed"] == source
    told = metadata_of(run(refreshed, request))
    assert set(told) == names(assets_affected_by([source]))
    assert refreshed.ask("select max(batch) from analytics.load_history") == [(2,)]
    brought = {star for star in STAR_TABLES if source in inputs_of(star)}
    assert {star for star in STAR_TABLES if told.get(f"warehouse/{star}", {}).get("ingested")} == brought - {"dim_date"}


def test_the_daemon_accepts_what_is_requested(refreshed: Graph) -> None:
    refreshed.change(ORDER, PAYMENT)
    request = request_of(refreshed)
    assert names(request.asset_selection) == names(assets_affected_by(["sales_order", "payment"]))
    selected = refreshed.definitions.resolve_job_def("refresh").asset_layer
    assert set(request.asset_selection or ()) <= set(selected.selected_asset_keys)
    assert set(request.asset_check_keys or ()) <= set(selected.asset_graph.asset_check_keys)


@pytest.mark.slow
def test_what_changed_after_the_request_is_loaded_and_told_too(refreshed: Graph) -> None:
    refreshed.change(ORDER)
    request = request_of(refreshed)
    refreshed.change(PAYMENT, "update staff set first_name = 'Noor' where staff_id = 1")
    result = run(refreshed, request)
    assert result.success
    told = metadata_of(result)
    assert set(told) == names(assets_affected_by(["sales_order", "payment", "staff"]))
    assert told["warehouse/fact_payment"]["changed"] == told["warehouse/dim_staff"]["changed"] == 1
    assert {star: each.version for star, each in recorded_loads(refreshed.instance).items() if each.version == 2} == {
        "fact_sales_order": 2,
        "fact_payment": 2,
        "dim_staff": 2,
    }
    assert recorded_versions(refreshed.instance, key_of_processed)["dim_staff"] == 2
    assert refreshed.ask("select first_name from analytics.dim_staff where staff_id = 1") == [("Noor",)]


@of_the_older_source
def test_a_dimension_that_gets_a_placeholder_is_told_of_with_its_check(refreshed: Graph) -> None:
    refreshed.change("update sales_order set design_id = 7777 where sales_order_id = 7")
    result = run(refreshed, request_of(refreshed))
    assert metadata_of(result)["warehouse/dim_design"]["placeholders"] == 1
    assert recorded_loads(refreshed.instance)["dim_design"].version == 2
    check = AssetCheckKey(AssetKey(["warehouse", "dim_design"]), "healthy")
    found = refreshed.instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    assert found.evaluation is not None
    assert not found.evaluation.passed


def test_tables_that_nothing_changed_are_confirmed_by_the_load_when_they_are_due(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recorded_loads(refreshed.instance)
    refreshed.change(ORDER)
    told = metadata_of(run(refreshed, request_of(refreshed)))
    assert "warehouse/dim_staff" not in told
    monkeypatch.setattr(recorded, "CONFIRM_AFTER", timedelta(0))
    refreshed.change(ORDER)
    told = metadata_of(run(refreshed, request_of(refreshed)))
    assert {f"warehouse/{star}" for star in STAR_TABLES} <= set(told)
    after = recorded_loads(refreshed.instance)
    assert (after["dim_staff"].version, after["dim_staff"].rows) == (1, before["dim_staff"].rows)
    assert after["dim_staff"].batch == after["fact_sales_order"].batch == after["fact_sales_order"].version == 3


def test_a_batch_that_changes_no_row_changes_no_data_version_of_the_warehouse(refreshed: Graph) -> None:
    refreshed.change("update staff set first_name = first_name")
    refreshed.run()
    assert refreshed.ask("select max(batch) from analytics.load_history") == [(2,)]
    assert recorded_loads(refreshed.instance)["dim_staff"].version == 1


def test_batches_that_dagster_knows_nothing_of_count_for_the_data_versions(refreshed: Graph) -> None:
    refreshed.change(ORDER)
    refresh(refreshed.platform)  # as the command line does
    refreshed.change(PAYMENT)
    run(refreshed, request_of(refreshed))
    versions = {star: each.version for star, each in recorded_loads(refreshed.instance).items()}
    assert (versions["fact_payment"], versions["dim_staff"]) == (3, 1)
    refreshed.run()
    assert recorded_loads(refreshed.instance)["fact_sales_order"].version == 2


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that SQLAlchemy executes during the block: Dagster's, on its storage."""
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        executed.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.slow
@pytest.mark.usefixtures("dagsters_storage_as_it_is")
def test_a_refresh_of_two_facts_costs_little_of_dagsters_storage(graph: Graph, tmp_path: Path) -> None:
    with DagsterInstance.from_config(str(instance_home(tmp_path))) as instance:
        graph = replace(graph, instance=instance)
        graph.run()
        graph.change(ORDER, PAYMENT)
        request = request_of(graph)
        with statements() as executed:
            result = run(graph, request)
        events = instance.all_logs(result.run_id)
        assert 50 < len(events) <= EVENTS_OF_TWO_FACTS
        assert 100 < len(executed) <= STATEMENTS_OF_TWO_FACTS
        assert 50_000 < sum(len(serialize_value(entry)) for entry in events) <= BYTES_OF_TWO_FACTS


def instance_home(folder: Path) -> Path:
    home = folder / "dagster"
    home.mkdir()
    return home
