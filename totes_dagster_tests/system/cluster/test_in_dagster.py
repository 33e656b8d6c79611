"""Runs of Dagster whose large batches workers share: the same steps, which say who did what."""

import pytest
from dagster import AssetKey, DagsterInstance

from totes_dagster.orchestration.definitions import build_defs
from totes_dagster.orchestration.resources.workers import WorkersResource
from totes_dagster_tests.resources import resources_of
from totes_dagster_tests.system.cluster.hosts import Hosts
from totes_dagster_tests.world import World


@pytest.mark.slow
def test_a_run_says_what_workers_did(world: World, hosts: Hosts) -> None:
    hosts.start_workers(workers=2)
    settings = hosts.settings()
    workers = WorkersResource(address=settings["TOTES_WORKERS"], credentials=settings["TOTES_WORKERS_CREDENTIALS"])
    refresh = build_defs({**resources_of(world.platform), "workers": workers}).resolve_job_def("refresh")
    with DagsterInstance.ephemeral() as instance:
        assert refresh.execute_in_process(instance=instance).success
        said = {}
        for key in ("ingestion/sales_order", "processed/fact_sales_order", "warehouse/fact_sales_order"):
            event = instance.get_latest_materialization_event(AssetKey(key.split("/")))
            assert event
            assert event.asset_materialization
            said[key] = str(event.asset_materialization.metadata["workers"].value)
    assert "shares of sales_order were done by workers on 1 machine" in said["ingestion/sales_order"]
    assert "parts to remodel were done by workers on 1 machine" in said["processed/fact_sales_order"]
    assert "parts to stage were done by workers on 1 machine" in said["warehouse/fact_sales_order"]
    assert not world.wrongs()
