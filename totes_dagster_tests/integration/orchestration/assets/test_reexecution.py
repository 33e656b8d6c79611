"""Runs that are executed again, as the UI offers it: from the step that failed, or one asset alone."""

import psycopg
import pytest
from dagster import DagsterInstance, JobDefinition, ReexecutionOptions, execute_job, reconstructable

from totes_dagster.definitions import build_defs
from totes_dagster.schema import totesys
from totes_dagster_tests.integration.graph import Graph, metadata_of
from totes_dagster_tests.settings import configure


def refresh_job() -> JobDefinition:
    """The job as the environment has it, for Dagster to load by itself."""
    return build_defs().resolve_job_def("refresh")


@pytest.fixture
def configured(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """A graph that the environment names."""
    configure(monkeypatch, graph.platform)
    return graph


def rename(graph: Graph, table: str, name: str) -> None:
    with psycopg.connect(graph.platform.warehouse.database.url) as connection:
        connection.execute(f"alter table analytics.{table} rename to {name}")


def test_a_run_that_failed_while_loading_is_executed_again_from_there(configured: Graph) -> None:
    with DagsterInstance.local_temp() as instance:
        assert execute_job(reconstructable(refresh_job), instance=instance).success
        configured.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 7")
        rename(configured, "dim_staff", "dim_people")
        failed = execute_job(reconstructable(refresh_job), instance=instance)
        assert not failed.success
        rename(configured, "dim_people", "dim_staff")
        again = execute_job(
            reconstructable(refresh_job),
            instance=instance,
            reexecution_options=ReexecutionOptions.from_failure(failed.run_id, instance),
        )
        assert again.success
        assert {event.step_key for event in again.all_events if event.is_step_success} == {"load"}
    assert configured.ask("select batch from analytics.load_history order by batch") == [(1,), (2,)]


def test_one_processed_asset_can_be_materialised_with_its_checks(graph: Graph) -> None:
    graph.materialise(*(f"ingestion/{name}" for name in totesys.SOURCE_TABLES))
    result = graph.materialise("processed/dim_staff")
    assert set(metadata_of(result)) == {"processed/dim_staff"}
    assert {check.check_name for check in result.get_asset_check_evaluations()} == {"unique_and_not_null"}
