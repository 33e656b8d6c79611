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
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from totes_dagster.errors import TotesError
from totes_dagster.feeds.declared import FEEDS, Feed
from totes_dagster.feeds.take import newest_batch, new_files
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.lake.zone import Zone
from totes_dagster.orchestration.feeds.assets import keys_of
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.jobs import JOB_TAG, run_in_progress
from totes_dagster.orchestration.pauses import next_try, past_runs
from totes_dagster.orchestration.resources.landing import LandingResource
from totes_dagster.orchestration.specs import key_of_landed

LOOK_EVERY = 30
"""Seconds between two looks at the landing zone."""

PUBLISHED = time(16, 10), ZoneInfo("Europe/Berlin")
"""The European Central Bank publishes the rates of a working day at about 16:00 there."""

ASK_AGAIN_AFTER = timedelta(hours=1)
"""How long to wait before asking again for rates that were not there yet."""


def job_of(feed: Feed, *, fetched: bool) -> UnresolvedAssetJobDefinition:
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


JOBS = [job_name(feed) for feed in FEEDS.values()]
"""The names of all feeds' jobs."""


def sensor_of(feed: Feed, job: UnresolvedAssetJobDefinition, *, fetched: bool) -> SensorDefinition:
    """The sensor that requests a feed's job when there are new files, or when rates are due to be fetched."""

    @sensor(
        name=f"{feed.name}_files",
        job=job,
        minimum_interval_seconds=LOOK_EVERY,
        default_status=DefaultSensorStatus.RUNNING,
        description=f"Lists the landing zone's folder {feed.name}/, and requests its files to be taken when one is new.",
    )
    def _watch(
        context: SensorEvaluationContext,
        landing: LandingResource,
        ingestion_zone: ResourceParam[IngestionIOManager],
    ) -> Any:
        zone = landing.zone()
        if zone is None:
            return SkipReason("There is no landing zone.")
        if reason := run_in_progress(context.instance, job.name):
            return SkipReason(reason)
        again_at = next_try(past_runs(context.instance, job.name))
        if (now := datetime.now(UTC)) < again_at:
            return SkipReason(f"The last run failed. Trying again at {again_at:%H:%M:%S} UTC.")
        if fetched and is_due(_last_fetch(context.instance, feed), now):
            return RunRequest(tags={"totes/changed": "rates are due"})
        try:
            ingestion: Zone = ingestion_zone.zone
            new = new_files(feed, zone, ingestion, newest_batch(FeedLog(ingestion, feed.name)))
        except TotesError as error:
            return RunRequest(asset_selection=_stages(feed), tags={"totes/changed": type(error).__name__})
        if not new:
            return SkipReason("No file is new.")
        names = ", ".join(zone.name_of(feed.name, file) for file in new[:3])
        more = f", and {len(new) - 3} more" if len(new) > 3 else ""  # noqa: PLR2004
        return RunRequest(asset_selection=_stages(feed), tags={"totes/changed": f"{names}{more}"})

    return _watch


def is_due(fetched_at: datetime | None, now: datetime) -> bool:
    """Whether exchange rates are to be fetched: those of a day were published since, and no fetch asked since.

    Args:
        fetched_at: when they were fetched last; None if never.
        now: the current time.
    """
    if fetched_at is None:
        return True
    moment, zone = PUBLISHED
    local = now.astimezone(zone)
    published = datetime.combine(local.date(), moment, zone)
    if local < published:
        published -= timedelta(days=1)
    return fetched_at < published and now - fetched_at >= ASK_AGAIN_AFTER


def _last_fetch(instance: DagsterInstance, feed: Feed) -> datetime | None:
    event = instance.get_latest_materialization_event(key_of_landed(feed.name))
    return datetime.fromtimestamp(event.timestamp, UTC) if event else None


def _stages(feed: Feed, *, fetched: bool = False) -> Sequence[Any]:
    return [key for stage, key in keys_of(feed).items() if fetched or stage != "landing"]
