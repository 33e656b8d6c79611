"""Dagster's resources for a platform, and one evaluation of the sensor on them."""

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, RunRequest, SensorResult, SkipReason, build_sensor_context

from totes_dagster.config.platform import Platform
from totes_dagster.orchestration.definitions import resources_for
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.orchestration.sensors import totesys_changes

WATCHED = ("totesys", "warehouse", "ingestion_zone")
"""The resources that the sensor needs."""


def resources_of(platform: Platform) -> dict[str, Any]:
    """The resources that work on a platform."""
    return resources_for(
        totesys=TotesysResource(url=platform.source.url, capture="log" if platform.from_log else ""),
        warehouse=WarehouseResource(url=platform.warehouse.database.url, warehouse_schema=platform.warehouse.schema),
        ingestion_lake=platform.lake.ingestion.url,
        processed_lake=platform.lake.processed.url,
    )


def look(instance: DagsterInstance, resources: Mapping[str, Any], cursor: str | None = None) -> Any:
    """What the sensor answers when it is evaluated once."""
    watched = {name: resources[name] for name in WATCHED}
    with build_sensor_context(instance=instance, resources=watched, cursor=cursor) as context:
        found = totesys_changes(context)
    assert isinstance(found, RunRequest | SkipReason | SensorResult)
    return found
