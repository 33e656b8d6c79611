"""What `dagster dev` loads: all assets, jobs, the sensor, schedules and resources of the platform."""

import os
from collections.abc import Mapping
from typing import Any

from dagster import Definitions, EnvVar, in_process_executor

from totes_dagster.config import settings
from totes_dagster.orchestration import automation, retention
from totes_dagster.orchestration.alerts.sensor import alerts_sensor
from totes_dagster.orchestration.assets.ingestion import ingest
from totes_dagster.orchestration.assets.processed import processed_assets
from totes_dagster.orchestration.assets.totesys import totesys_assets
from totes_dagster.orchestration.assets.warehouse import load
from totes_dagster.orchestration.checks.reconciliation import matches_source
from totes_dagster.orchestration.checks.star import sound_before_load
from totes_dagster.orchestration.io_manager import Zone
from totes_dagster.orchestration.resources.alerts import DEFAULT_UI_URL, Alerts
from totes_dagster.orchestration.resources.databases import Totesys, Warehouse


def build_defs(resources: Mapping[str, Any] | None = None) -> Definitions:
    """The platform's definitions.

    Args:
        resources: instead of those that the environment names: `totesys`, `warehouse`, `ingestion_zone`,
            `processed_zone` and `alerts`, all or some.

    Raises:
        SettingsError: the environment names some of the databases and zones, but not all.
    """
    return Definitions(
        assets=[*totesys_assets, ingest, *processed_assets, load],
        asset_checks=[sound_before_load, matches_source],
        jobs=[automation.refresh, automation.reconcile, retention.prune],
        sensors=[automation.totesys_changes, alerts_sensor],
        schedules=[automation.refresh_every_15_minutes, automation.reconcile_nightly, retention.prune_hourly],
        resources={**resources_from_environment(), **(resources or {})},
        # A process per step would cost 2.3 s each, nearly all of it imports.
        executor=in_process_executor,
    )


def resources_from_environment() -> dict[str, Any]:
    """Resources as the environment names them, looked up when a run starts; the embedded stack where it names none."""
    settings.is_configured()
    return {
        "totesys": Totesys(url=_env(settings.TOTESYS_URL), secret_id=_env(settings.TOTESYS_SECRET_ID)),
        "warehouse": Warehouse(
            url=_env(settings.WAREHOUSE_URL),
            secret_id=_env(settings.WAREHOUSE_SECRET_ID),
            warehouse_schema=_env(settings.WAREHOUSE_SCHEMA) or "public",
        ),
        "ingestion_zone": Zone(zone="ingestion", url=_env(settings.INGESTION_LAKE)),
        "processed_zone": Zone(zone="processed", url=_env(settings.PROCESSED_LAKE)),
        "alerts": Alerts(topic=_env(settings.ALERT_TOPIC), ui_url=_env(settings.UI_URL) or DEFAULT_UI_URL),
    }


def _env(name: str) -> Any:
    # An EnvVar keeps the value itself out of the UI; one that is not set would fail the run.
    return EnvVar(name) if os.environ.get(name) else ""


defs = build_defs()
