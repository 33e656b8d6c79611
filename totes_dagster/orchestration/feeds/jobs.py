"""The job and the sensor of each feed: it is taken when the landing zone has a file that no batch has taken.

One that fails is tried again after a pause, as a refresh is, and neither stops the other.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dagster import (
    AssetSelection,
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    define_asset_job,
    sensor,
)

from totes_dagster.config.settings import LANDING
from totes_dagster.errors import TotesError
from totes_dagster.feeds.declared import Feed
from totes_dagster.feeds.take import new_files
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.orchestration.feeds.assets import NOTHING_ASKED, SINCE, keys_of
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.jobs import CHANGED, JOB_TAG, changes_tag, run_in_progress
from totes_dagster.orchestration.pauses import next_try, past_runs
from totes_dagster.orchestration.resources.landing import LandingResource
from totes_dagster.orchestration.specs import key_of_landed

LOOK_EVERY = 30
"""Seconds between two looks at the landing zone."""

PUBLISHED = time(16, 10), ZoneInfo("Europe/Berlin")
"""The European Central Bank publishes the rates of a working day at about 16:00 there."""

NEEDED_AFTER = timedelta(minutes=1)
"""How long to wait before looking again whether the warehouse needs rates, if it had no orders."""

ASK_AGAIN_AFTER = timedelta(hours=1)
"""How long to wait before asking again for rates that were not there yet."""


def job_of(feed: Feed, *, fetched: bool) -> Any:
    """The job that takes, remodels and loads a feed's files."""
    return define_asset_job(
        job_name(feed),
        selection=AssetSelection.assets(*_stages(feed, fetched=fetched)),
        description=f"Take the new files of {feed.name}, remodel them, load them.",
        tags={JOB_TAG: job_name(feed), "dagster/max_retries": "0"},
    )


def job_name(feed: Feed) -> str:
    """Name of a feed's job."""
    return f"take_{feed.name}"


def sensor_of(feed: Feed, job: Any, *, fetched: bool) -> SensorDefinition:
    """The sensor that requests a feed's job when there are new files, or when rates are due to be fetched."""

    @sensor(
        name=f"{feed.name}_files",
        job=job,
        minimum_interval_seconds=LOOK_EVERY,
        default_status=DefaultSensorStatus.RUNNING,
        description=f"Lists {feed.name}/ in the landing zone, and requests its files to be taken when one is new.",
    )
    def _watch(
        context: SensorEvaluationContext,
        landing: LandingResource,
        ingestion_zone: ResourceParam[IngestionIOManager],
    ) -> Any:
        now = datetime.now(UTC)
        if reason := _why_not_yet(context.instance, job.name, now):
            return SkipReason(reason)
        try:
            zone = landing.zone()
            if zone is None:
                return SkipReason(f"There is no landing zone: {LANDING} is not set.")
            if fetched and is_due(*_last_fetch(context.instance, feed), now):
                return RunRequest(tags={CHANGED: "rates are due"})
            previous = FeedLog(ingestion_zone.zone, feed.name).newest()
            new = [zone.name_of(feed.name, file) for file in new_files(feed, zone, ingestion_zone.zone, previous)]
        except TotesError as error:
            return RunRequest(asset_selection=_stages(feed), tags={CHANGED: type(error).__name__})  # it says why
        if not new:
            return SkipReason("No file is new.")
        return RunRequest(asset_selection=_stages(feed), tags={CHANGED: changes_tag(new)})

    return _watch


def _why_not_yet(instance: DagsterInstance, job: str, now: datetime) -> str | None:
    """Why a feed's job is not to be requested now: a run is in progress, or one has failed a short while ago."""
    if reason := run_in_progress(instance, job):
        return reason
    again_at = next_try(past_runs(instance, job))
    return f"The last run failed. Trying again at {again_at:%H:%M:%S} UTC." if now < again_at else None


def is_due(fetched_at: datetime | None, since: str, now: datetime) -> bool:
    """Whether exchange rates are to be fetched: those of a day were published since, and no fetch asked since.

    Args:
        fetched_at: when they were fetched last; None if never.
        since: the first day that was asked for then, or `NOTHING_ASKED`.
        now: the current time.
    """
    if fetched_at is None:
        return True
    if since == NOTHING_ASKED:
        return now - fetched_at >= NEEDED_AFTER
    moment, zone = PUBLISHED
    local = now.astimezone(zone)
    published = datetime.combine(local.date(), moment, zone)
    if local < published:
        published -= timedelta(days=1)
    return fetched_at < published and now - fetched_at >= ASK_AGAIN_AFTER


def _last_fetch(instance: DagsterInstance, feed: Feed) -> tuple[datetime | None, str]:
    """When rates were fetched last, and since which day."""
    event = instance.get_latest_materialization_event(key_of_landed(feed.name))
    if not event or not event.asset_materialization:
        return None, ""
    since = event.asset_materialization.metadata.get(SINCE)
    return datetime.fromtimestamp(event.timestamp, UTC), str(since.value) if since else ""


def _stages(feed: Feed, *, fetched: bool = False) -> Sequence[Any]:
    return [key for stage, key in keys_of(feed).items() if fetched or stage != "landing"]
