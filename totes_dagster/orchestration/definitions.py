"""All assets, checks, jobs, sensors, schedules and resources of the platform."""

import os
from collections.abc import Mapping
from typing import Any

from dagster import Definitions, EnvVar, in_process_executor

from totes_dagster.config import settings
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS
from totes_dagster.orchestration.alerts.sensor import alerts_sensor
from totes_dagster.orchestration.assets.ingestion import ingest
from totes_dagster.orchestration.assets.processed import processed_assets
from totes_dagster.orchestration.assets.totesys import totesys_assets
from totes_dagster.orchestration.assets.views import view_assets
from totes_dagster.orchestration.assets.warehouse import load
from totes_dagster.orchestration.checks.reconciliation import matches_source
from totes_dagster.orchestration.checks.star import sound_before_load
from totes_dagster.orchestration.feeds.assets import assets_of
from totes_dagster.orchestration.feeds.jobs import job_of, sensor_of
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.orchestration.io_managers.warehouse import WarehouseIOManager
from totes_dagster.orchestration.jobs import reconcile, refresh
from totes_dagster.orchestration.resources.alerts import DEFAULT_UI_URL, Alerts
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.orchestration.resources.landing import LandingResource
from totes_dagster.orchestration.resources.workers import WorkersResource
from totes_dagster.orchestration.retention import prune, prune_hourly
from totes_dagster.orchestration.schedules import reconcile_nightly, refresh_every_15_minutes
from totes_dagster.orchestration.sensors import totesys_changes
from totes_dagster.orchestration.specs import INGESTION_ZONE, LANDING_ZONE, PROCESSED_ZONE, WAREHOUSE_TABLES


def build_defs(resources: Mapping[str, Any] | None = None) -> Definitions:
    """The platform's definitions.

    Args:
        resources: resources that replace those from the environment: those of `resources_for`, and `alerts`.

    Raises:
        SettingsError: the environment names some of the databases and zones, but not all.
    """
    # Exchange rates are fetched where an address is set, and otherwise dropped like any file.
    fetched = {EXCHANGE_RATE.name} if os.environ.get(settings.RATES_URL) else set()
    feed_jobs = {name: job_of(feed, fetched=name in fetched) for name, feed in FEEDS.items()}
    return Definitions(
        assets=[
            *totesys_assets,
            ingest,
            *processed_assets,
            load,
            *(each for name, feed in FEEDS.items() for each in assets_of(feed, fetched=name in fetched)),
            *view_assets,
        ],
        asset_checks=[sound_before_load, matches_source],
        jobs=[refresh, reconcile, prune, *feed_jobs.values()],
        sensors=[
            totesys_changes,
            alerts_sensor,
            *(sensor_of(feed, feed_jobs[name], fetched=name in fetched) for name, feed in FEEDS.items()),
        ],
        schedules=[refresh_every_15_minutes, reconcile_nightly, prune_hourly],
        resources={**resources_from_environment(), **(resources or {})},
        # A process per step would cost 2.3 s each, nearly all of it imports.
        executor=in_process_executor,
    )


def resources_from_environment() -> dict[str, Any]:
    """Resources that the environment configures, read when a run starts; the embedded stack if it configures none."""
    settings.is_configured()
    named = settings.PlatformSettings.read(_variable)
    return {
        **resources_for(
            totesys=TotesysResource(url=named.totesys_url, secret_id=named.totesys_secret_id, capture=named.capture),
            warehouse=WarehouseResource(
                url=named.warehouse_url,
                secret_id=named.warehouse_secret_id,
                warehouse_schema=named.warehouse_schema or settings.DEFAULT_SCHEMA,
            ),
            ingestion_lake=named.ingestion_lake,
            processed_lake=named.processed_lake,
            workers=WorkersResource(
                address=named.workers,
                credentials=named.workers_credentials,
                secret_id=named.workers_secret_id,
                service=named.workers_service,
            ),
        ),
        LANDING_ZONE: LandingResource(
            url=named.landing, embedded=not settings.is_configured(), rates_url=_variable(settings.RATES_URL)
        ),
        "alerts": Alerts(topic=_variable(settings.ALERT_TOPIC), ui_url=_variable(settings.UI_URL) or DEFAULT_UI_URL),
    }


def resources_for(
    *,
    totesys: TotesysResource,
    warehouse: WarehouseResource,
    ingestion_lake: str = "",
    processed_lake: str = "",
    workers: WorkersResource | None = None,
) -> dict[str, Any]:
    """The databases and the lake as resources, and the IO managers that load from them.

    Args:
        totesys: the source.
        warehouse: the warehouse.
        ingestion_lake: URL of the ingestion zone; the embedded stack's if empty, as for the next one.
        processed_lake: URL of the processed zone.
        workers: take a share of large batches; None if there are none.
    """
    ingestion_zone = IngestionIOManager(url=ingestion_lake)
    return {
        "totesys": totesys,
        "warehouse": warehouse,
        INGESTION_ZONE: ingestion_zone,
        PROCESSED_ZONE: ProcessedIOManager(url=processed_lake, ingestion=ingestion_zone),
        WAREHOUSE_TABLES: WarehouseIOManager(warehouse=warehouse),
        "workers": workers or WorkersResource(),
    }


def _variable(name: str) -> Any:
    # An EnvVar keeps the value out of the UI, but fails the run if it is not set.
    return EnvVar(name) if os.environ.get(name) else ""
