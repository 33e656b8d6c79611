"""A landing zone that a test drops files into, and the platform that takes and loads them."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import boto3

from totes_dagster.feed_pipeline import FeedRefreshed, refresh_feed
from totes_dagster.feeds.declared import FEEDS, Feed
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.world import World

Shown = dict[str, list[tuple[Any, ...]]]
"""What the warehouse shows of feeds, but for generated ids and the time."""

_SHOWN = {
    "feed_history": "select feed, batch, manifest_sha256, counts::text from feed_history order by 1, 2",
    "feed_file": "select * from feed_file order by feed, path",
    "feed_quarantine": "select * from feed_quarantine order by 1, 2, 3",
    "rate_on_day": "select * from rate_on_day order by 1, 2",
}


@dataclass(frozen=True)
class Feeding:
    """A world with a landing zone.

    Attributes:
        world: the platform.
        landing: where files are dropped; none of them has to wait until it is settled.
    """

    world: World
    landing: LandingZone
    _moments: Iterator[int] = field(default_factory=lambda: count(1_700_000_000))

    def drop(self, feed: Feed, path: str, content: bytes, *, modified_at: int | None = None) -> None:
        """Write a file, or replace it; in a folder, each a second later than the one before."""
        kind, _, where = self.landing.zone.url.partition("://")
        if kind == "s3":
            bucket, _, prefix = where.partition("/")
            boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{feed.name}/{path}", Body=content)
        else:
            file = self.file(feed, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            moment = next(self._moments) if modified_at is None else modified_at
            os.utime(file, (moment, moment))

    def file(self, feed: Feed, path: str) -> Path:
        """A file in a landing folder."""
        return Path(self.landing.zone.url.removeprefix("file://")) / feed.name / path

    def refresh(self, feed: Feed) -> FeedRefreshed:
        """Take what is new, and load it."""
        platform = self.world.platform
        return refresh_feed(feed, self.landing, platform.lake, platform.warehouse)

    def versions(self, feed: Feed) -> list[tuple[Any, ...]]:
        """The rows of a feed's fact with their batch, oldest first, without the record id."""
        names = ", ".join([*feed_columns(feed), "batch"])
        return self.world.ask(f"select {names} from {feed.fact.name} order by {feed.fact.info['record_id']}")

    def current(self, feed: Feed) -> list[tuple[Any, ...]]:
        """The rows of a feed's fact that hold now."""
        names = ", ".join(feed_columns(feed))
        return self.world.ask(f"select {names} from {feed.fact.name.replace('fact_', 'current_')} order by {names}")

    def quarantined(self, feed: Feed) -> list[tuple[str, int]]:
        """The rows in quarantine: file and line."""
        return self.world.ask("select path, line from feed_quarantine where feed = %s order by 1, 2", feed.name)

    def files(self, feed: Feed) -> dict[str, tuple[int, str | None, str | None]]:
        """The files that were taken: how many rows, why refused, and what they repeat."""
        rows = self.world.ask("select path, rows, refused, repeats from feed_file where feed = %s", feed.name)
        return {path: (number, refused, repeats) for path, number, refused, repeats in rows}

    def shown(self) -> Shown:
        """All that the warehouse shows of feeds."""
        asked = {table: self.world.ask(query) for table, query in _SHOWN.items()}
        return {**asked, **{feed.fact.name: self.versions(feed) for feed in FEEDS.values()}}


def feed_columns(feed: Feed) -> list[str]:
    """The columns of a feed's fact, without those that only the load fills in."""
    own = {feed.fact.info["record_id"], "is_deleted", "batch"}
    return [column.name for column in feed.fact.columns if column.name not in own]


def feeding_from(world: World, landing: str) -> Feeding:
    """A world with a landing zone at a URL."""
    return Feeding(world, LandingZone(Zone(landing), timedelta()))


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows as JSON objects, one on each line."""
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()


def shipments(*orders: tuple[int, int]) -> bytes:
    """Deliveries of orders: their numbers, and the units."""
    return lines(
        {"sales_order_id": order, "delivered_at": "2026-11-26T10:00:00Z", "units": units} for order, units in orders
    )


def targets(*decisions: tuple[str, str, str]) -> bytes:
    """Targets for sales: the month, the amount, and when it was decided."""
    rows = (f"{month},Sales,{amount},{decided_on}" for month, amount, decided_on in decisions)
    return "\r\n".join(["month,department,amount_gbp,decided_on", *rows, ""]).encode()


def rates(quote: str, first: date, *series: object) -> bytes:
    """The rates of a currency on days in a row; None for a day without one."""
    return lines(
        {"date": first + timedelta(number), "base": "EUR", "quote": quote, "rate": None if rate is None else str(rate)}
        for number, rate in enumerate(series)
    )
