"""The whole platform under the roles of `deploy/roles`, where PUBLIC may do nothing at all: everything works."""

from collections.abc import Callable

import psycopg
import pytest
from dagster import DagsterInstance, RunRequest

from totes_dagster.cli.output import show_status
from totes_dagster.config.platform import Platform
from totes_dagster.definitions import build_defs
from totes_dagster.orchestration import sensors
from totes_dagster.pipeline import reconcile, refresh
from totes_dagster.status import platform_status
from totes_dagster.warehouse.migrations import HEAD, migrate
from totes_dagster_tests import oracle
from totes_dagster_tests.resources import look, resources_of

Change = Callable[..., None]

CHANGES = (
    "update staff set first_name = first_name || '!' where staff_id = 1",
    "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7",
    "delete from payment where payment_id = 3",
    "create table refund as select payment_id from payment",
)


def damage(platform: Platform) -> None:
    with psycopg.connect(platform.warehouse.database.url) as connection:
        connection.execute("update analytics.dim_staff set last_name = 'Nobody' where staff_id = 2")
        connection.execute("delete from analytics.fact_sales_order where sales_order_id = 5")


def wrongs(platform: Platform, warehouse_url: str) -> list[str]:
    return oracle.differences(
        platform.source.url, warehouse_url, platform.warehouse.schema
    ) + oracle.broken_foreign_keys(warehouse_url, platform.warehouse.schema)


def test_the_commands_work(
    platform: Platform, change: Change, analyst: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refresh(platform).loaded
    change(*CHANGES)
    refreshed = refresh(platform)
    assert refreshed.loaded[-1].tables["fact_payment"].deleted == 1
    assert refreshed.ingested.batch is not None
    assert "refund" in refreshed.ingested.batch.tables
    damage(platform)
    reconciled = reconcile(platform)
    assert sum(found.count for found in reconciled.found.values()) == 2
    assert not any(reconciled.left.values())
    assert migrate(platform.warehouse) == HEAD
    show_status(platform_status(platform))
    assert "The warehouse shows the source as it is now." in capsys.readouterr().out
    assert wrongs(platform, analyst) == []


def test_dagster_works(platform: Platform, change: Change, analyst: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "LOOK_FOR", 0.0)
    resources = resources_of(platform)
    definitions = build_defs(resources)
    with DagsterInstance.ephemeral() as instance:
        assert definitions.resolve_job_def("refresh").execute_in_process(instance=instance).success
        change(*CHANGES)
        request = look(instance, resources)
        assert isinstance(request, RunRequest)
        assert request.tags["totes/changed"] == "staff, sales_order, payment"
        damage(platform)
        assert definitions.resolve_job_def("reconcile").execute_in_process(instance=instance).success
    assert wrongs(platform, analyst) == []
