"""The state of the stages, of a warehouse that an earlier version of the platform left."""

from totes_dagster import pipeline
from totes_dagster.status import platform_status
from totes_dagster_tests.integration.graph import Graph


def test_a_warehouse_that_waits_for_a_migration_is_not_empty(graph: Graph) -> None:
    pipeline.refresh(graph.platform)
    assert graph.ask("update analytics.totes_warehouse_version set version_num = '0004' returning 1") == [(1,)]
    status = platform_status(graph.platform)
    assert (status.revision, status.newest.batch, status.warehouse) == ("0004", 1, None)
    assert status.is_current
