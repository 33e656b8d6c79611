"""The stages of feeds, in their order, as the command line, Dagster's assets and the demo run them.

Those of totesys are in `pipeline.py`. Stages are retried after transient errors here, and only here.
"""

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from totes_dagster.config.platform import Platform, Warehouse
from totes_dagster.errors import RatesMissingError, TotesError
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, Feed
from totes_dagster.feeds.known_files import KnownFiles
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.rates import RatesSource, fetch_rates
from totes_dagster.feeds.remodel import FeedPartPath, parts_of, remodel_part
from totes_dagster.feeds.take import take_files
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.lake.feed_manifest import FeedManifest
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.runtime.retry import retried
from totes_dagster.warehouse.feed_load import LoadedFeed, reload_feed
from totes_dagster.warehouse.feed_load import load_feed as load_batches
from totes_dagster.warehouse.feed_status import RatesNeeded
from totes_dagster.warehouse.migrations import migrate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeedRefreshed:
    """What a refresh of a feed did.

    Attributes:
        taken: the committed batches, oldest first.
        loaded: what was done for each loaded batch, oldest first.
    """

    taken: list[FeedManifest]
    loaded: list[LoadedFeed]


def refresh_feed(
    feed: Feed, landing: LandingZone, lake: Lake, warehouse: Warehouse, progress: Progress = silent
) -> FeedRefreshed:
    """Take the files of a feed that it has not taken yet, and load its batches into the warehouse.

    Args:
        feed: the feed.
        landing: where its files are.
        lake: both zones.
        warehouse: the warehouse.
        progress: called as rows move.

    Raises:
        TotesError: see `take_files` and `load_feed`.
    """
    try:
        taken = take_feed(feed, landing, lake.ingestion, progress)
    except TotesError:
        load_feed(feed, warehouse, lake, progress)  # what was taken before waits for no file
        raise
    return FeedRefreshed(taken, load_feed(feed, warehouse, lake, progress))


def refresh_feeds(
    platform: Platform, progress: Progress = silent, *, only: Collection[str] | None = None
) -> dict[str, FeedRefreshed | TotesError]:
    """Refresh feeds, one after the other; one that fails stops no other.

    Args:
        platform: what to work on.
        progress: called as rows move.
        only: the names of the feeds; all by default.

    Returns:
        What was done for each feed, or the error that it failed with; nothing if there is no landing zone.
    """
    done: dict[str, FeedRefreshed | TotesError] = {}
    if platform.landing:
        landing = LandingZone(platform.landing)
        for name, feed in FEEDS.items():
            if only is not None and name not in only:
                continue
            try:
                done[name] = refresh_feed(feed, landing, platform.lake, platform.warehouse, progress)
            except TotesError as error:
                done[name] = error
    return done


def take_feed(feed: Feed, landing: LandingZone, ingestion: Zone, progress: Progress = silent) -> list[FeedManifest]:
    """Commit the files of a feed that it has not taken yet; return the committed batches, oldest first.

    Raises:
        TotesError: see `take_files`.
    """
    taken: list[FeedManifest] = []
    retried("Take files", lambda: taken.extend(take_files(feed, landing, ingestion, progress)))
    return taken


def load_feed(feed: Feed, warehouse: Warehouse, lake: Lake, progress: Progress = silent) -> list[LoadedFeed]:
    """Migrate the warehouse, and load every batch of a feed that it has not loaded yet.

    Raises:
        TotesError: see `feed_load.load_feed`.
    """
    retried("Migrate", lambda: migrate(warehouse))
    loaded: list[LoadedFeed] = []
    retried("Load", lambda: loaded.extend(load_batches(feed, warehouse, lake, progress)))
    return loaded


@dataclass(frozen=True)
class RemodelledFeed:
    """What a remodel wrote for a feed: its batches, and their rows."""

    batches: tuple[int, ...] = ()
    rows: int = 0
    quarantined: int = 0


def remodel_feed(feed: Feed, lake: Lake) -> RemodelledFeed:
    """Write the parts of a feed's fact that the processed zone lacks.

    Walks back from the newest batch to the newest that has all its parts.

    Raises:
        TotesError: see `remodel_part`.
    """
    log = FeedLog(lake.ingestion, feed.name)
    missing: list[FeedPartPath] = []
    for batch in range(retried("Remodel", log.head), 0, -1):
        parts = parts_of(retried("Remodel", partial(log.manifest, batch)))
        gaps = [part for part in parts if not retried("Remodel", partial(lake.processed.exists, part.path))]
        if parts and not gaps:
            break
        missing[:0] = gaps
    written = [(part.batch, retried("Remodel", partial(remodel_part, part, lake))) for part in missing]
    return RemodelledFeed(
        batches=(*dict.fromkeys(batch for batch, _ in written),),
        rows=sum(contents.rows.num_rows for _, contents in written),
        quarantined=sum(contents.quarantined.num_rows for _, contents in written),
    )


RATES_READ_AGAIN = timedelta(days=14)
"""How far before the newest rate a fetch begins: the rates of these days may have been revised."""


@dataclass(frozen=True)
class FetchedRates:
    """What a fetch of exchange rates did.

    Attributes:
        currencies: what was asked for.
        since: the first day that was asked for; None if nothing was, because the warehouse needs no rates yet.
        path: the file that was dropped into the landing zone; None if the response said nothing new.
    """

    currencies: tuple[str, ...]
    since: date | None
    path: str | None


def fetch_exchange_rates(
    source: RatesSource, needed: RatesNeeded, landing: LandingZone, ingestion: Zone, *, since: date | None = None
) -> FetchedRates:
    """Fetch exchange rates, and drop what the provider sent into the landing zone as a file of the feed.

    Args:
        source: whom to ask.
        needed: the currencies, and from when on the warehouse needs rates.
        landing: the landing zone.
        ingestion: the ingestion zone, whose log of the feed tells whether the same body was taken before.
        since: the first day to ask for; by default, two weeks before the newest rate, or before the calendar begins.

    Raises:
        RatesError: see `fetch_rates`.
        LakeError: the body cannot be stored.
    """
    start = needed.newest_rate or needed.first_day
    if not needed.currencies or start is None:
        return FetchedRates(needed.currencies, None, None)
    since = since or start - RATES_READ_AGAIN
    try:
        body = fetch_rates(source, needed.currencies, since)
    except RatesMissingError:
        return FetchedRates(needed.currencies, since, None)
    digest = hashlib.sha256(body.content).hexdigest()
    previous = retried("Read the lake", lambda: FeedLog(ingestion, EXCHANGE_RATE.name).newest())
    known = retried("Read the lake", lambda: KnownFiles.read(ingestion, previous.known if previous else ()))
    if digest == known.newest_digest:
        return FetchedRates(needed.currencies, since, None)
    path = f"{body.fetched_at:%Y-%m-%dT%H%M%S.%fZ}-{digest[:8]}.{body.suffix}"
    retried("Drop the rates", lambda: landing.zone.create(f"{EXCHANGE_RATE.name}/{path}", body.content))
    return FetchedRates(needed.currencies, since, path)


def rebuild_feeds(warehouse: Warehouse, lake: Lake, *, from_another_lake: bool = False) -> None:
    """Replace what the loads of all feeds have brought, one feed after the other; one that fails stops no other.

    Raises:
        TotesError: see `reload_feed`. That feed is unchanged; of several that fail, the first is told, and the others
            are logged.
    """
    failed: list[TotesError] = []
    for name, feed in FEEDS.items():
        try:
            retried("Rebuild", partial(reload_feed, feed, warehouse, lake, from_another_lake=from_another_lake))
        except TotesError as error:
            logger.warning("%s was not rebuilt. %s: %s", name, type(error).__name__, error)
            failed.append(error)
    if failed:
        raise failed[0]
