"""Feeds beside one another and beside totesys: one that fails stops no other, and all are rebuilt."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import psycopg
import pytest

from totes_dagster.errors import ForeignLakeError, LakeError, ManifestDamagedError, PartDamagedError
from totes_dagster.feed_pipeline import fetch_exchange_rates, load_feed, refresh_feed, take_feed
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, SALES_TARGET, SHIPMENT, Feed
from totes_dagster.feeds.rates import RatesSource
from totes_dagster.feeds.take import take_files
from totes_dagster.lake.batch_log import FeedLog
from totes_dagster.pipeline import rebuild
from totes_dagster.simulator.rates_server import RatesServer
from totes_dagster.warehouse.feed_status import rates_needed
from totes_dagster_tests.feeding import Feeding, rates, shipments, targets
from totes_dagster_tests.system.platforms import lake_in

DAY = date(2026, 11, 26)


def test_feeds_and_totesys_load_at_the_same_time(feeding: Feeding) -> None:
    ((first,),) = feeding.world.ask("select min(date_id) from dim_date")
    together = Barrier(len(FEEDS) + 1, timeout=30)

    def follow() -> None:
        together.wait()
        for number, code in enumerate(("SEK", "NOK", "DKK", "CHF"), 90):
            feeding.world.change(f"insert into currency values ({number}, '{code}', now(), now())")
            feeding.world.refresh()

    def feed_with(feed: Feed) -> None:
        together.wait()
        for number in range(1, 5):
            content = {SHIPMENT: shipments((1, number)), SALES_TARGET: targets(("2026-11", str(number), ""))}
            feeding.drop(feed, "a", content.get(feed, rates("GBP", first, f"0.8{number}", f"0.8{number}")))
            feeding.refresh(feed)

    with ThreadPoolExecutor(len(FEEDS) + 1) as pool:
        for future in [pool.submit(follow), *(pool.submit(feed_with, feed) for feed in FEEDS.values())]:
            future.result(timeout=120)
    assert [len(feeding.versions(feed)) for feed in FEEDS.values()] == [8, 4, 4]
    shown = "select count(*), count(distinct gbp_per_eur) from rate_on_day where date_id = %s and currency_id > 89"
    assert feeding.world.ask(shown, first) == [(4, 1)]
    assert feeding.world.wrongs(strict=True) == []


def test_a_feed_whose_log_is_damaged_stops_neither_others_nor_totesys(feeding: Feeding) -> None:
    for feed in FEEDS.values():
        content = {SHIPMENT: shipments((1, 5)), SALES_TARGET: targets(("2026-11", "1", ""))}
        feeding.drop(feed, "a", content.get(feed, rates("USD", DAY, "1.1")))
        feeding.refresh(feed)
    damage(feeding, SHIPMENT)
    with pytest.raises(ManifestDamagedError):
        feeding.refresh(SHIPMENT)
    feeding.drop(SALES_TARGET, "b", targets(("2026-12", "2", "")))
    feeding.refresh(SALES_TARGET)
    assert len(feeding.current(SALES_TARGET)) == 2
    feeding.world.change("insert into currency values (99, 'SEK', now(), now())")
    feeding.world.refresh()
    assert feeding.world.wrongs() == []


def test_a_part_that_is_torn_is_named_and_nothing_of_the_batch_is_loaded(feeding: Feeding) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5), (2, 0)))
    platform = feeding.world.platform
    (batch,) = take_files(SHIPMENT, feeding.landing, platform.lake.ingestion)
    part = Path(platform.lake.ingestion.url.removeprefix("file://"), batch.parts[0].rows.path)
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PartDamagedError, match=batch.parts[0].rows.path):
        feeding.refresh(SHIPMENT)
    assert (feeding.versions(SHIPMENT), feeding.quarantined(SHIPMENT), feeding.files(SHIPMENT)) == ([], [], {})
    part.write_bytes(whole)
    feeding.refresh(SHIPMENT)
    assert ({order: number for order, _, _, number in feeding.current(SHIPMENT)}, feeding.quarantined(SHIPMENT)) == (
        {1: 5},
        [("a", 2)],
    )


def test_a_warehouse_that_was_loaded_from_another_lake_is_refused(feeding: Feeding, tmp_path: Path) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5)))
    feeding.refresh(SHIPMENT)
    before = feeding.shown()
    platform = feeding.world.platform
    another = lake_in(tmp_path / "another")
    with pytest.raises(ForeignLakeError, match="has loaded batch 1 of shipment from another lake"):
        refresh_feed(SHIPMENT, feeding.landing, another, platform.warehouse)
    # It has a batch 1 now, with another digest.
    with pytest.raises(ForeignLakeError):
        load_feed(SHIPMENT, platform.warehouse, another)
    assert feeding.shown() == before


def test_a_rebuild_shows_what_the_loads_have_shown(feeding: Feeding) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5), (2, 0)))
    feeding.drop(SALES_TARGET, "a", targets(("2026-11", "100", "2026-10-02"), ("2026-12", "x", "")))
    feeding.drop(EXCHANGE_RATE, "a", rates("USD", DAY, "1.1", "1.1", "2.2"))
    for feed in FEEDS.values():
        feeding.refresh(feed)
    feeding.drop(SHIPMENT, "a", shipments((1, 5), (2, 0)))  # as it was
    feeding.drop(SHIPMENT, "b", shipments((1, 6), (3, 0)))
    feeding.drop(SHIPMENT, "c", b"<html>")
    feeding.drop(SALES_TARGET, "b", targets(("2026-11", "90", "2026-10-01"), ("2026-12", "7", "")))
    feeding.drop(EXCHANGE_RATE, "b", rates("USD", DAY, "1.1", "1.15", "2.2", "2.2"))
    feeding.drop(EXCHANGE_RATE, "c", rates("GBP", DAY, "0.8", "0.9"))
    for feed in FEEDS.values():
        feeding.refresh(feed)
    before = feeding.shown()
    assert all(before.values())
    rebuild(feeding.world.platform)
    assert feeding.shown() == before


def test_a_rebuild_of_a_feed_whose_log_is_damaged_rebuilds_the_others(feeding: Feeding) -> None:
    for feed in FEEDS.values():
        content = {SHIPMENT: shipments((1, 5)), SALES_TARGET: targets(("2026-11", "1", ""))}
        feeding.drop(feed, "a", content.get(feed, rates("USD", DAY, "1.1")))
        feeding.refresh(feed)
    before = feeding.shown()
    damage(feeding, EXCHANGE_RATE)
    with psycopg.connect(feeding.world.warehouse_url) as connection:
        connection.execute("update fact_shipment set units = 7; update fact_sales_target set amount_gbp = 7")
    with pytest.raises(ManifestDamagedError):
        rebuild(feeding.world.platform)
    assert feeding.shown() == before


def test_batches_that_wait_are_loaded_although_a_file_cannot_be_read(feeding: Feeding) -> None:
    feeding.drop(SHIPMENT, "a", shipments((1, 5)))
    take_feed(SHIPMENT, feeding.landing, feeding.world.platform.lake.ingestion)
    feeding.drop(SHIPMENT, "/".join(["a" * 200] * 6), shipments((2, 5)))  # too long a path
    with pytest.raises(LakeError, match="Rename the file"):
        feeding.refresh(SHIPMENT)
    assert [order for order, *_ in feeding.current(SHIPMENT)] == [1]


def test_rates_that_a_provider_takes_back_are_fetched_and_hold_again(feeding: Feeding) -> None:
    platform = feeding.world.platform
    with RatesServer() as server:
        source, needed = RatesSource.parse(server.url), rates_needed(platform.warehouse)
        day = max(quote.day for quote in server.quotes(["USD"], DAY - timedelta(10), DAY))
        dropped = []
        (before,) = (quote.rate for quote in server.quotes(["USD"], day, day))
        for rate in (before, Decimal("1.2345"), before):
            server.revise("USD", day, rate)
            for _ in range(2):  # what says nothing new is not kept
                fetched = fetch_exchange_rates(
                    source, needed, feeding.landing, platform.lake.ingestion, since=DAY - timedelta(10)
                )
                dropped.append(fetched.path is not None)
                feeding.refresh(EXCHANGE_RATE)
    assert dropped == [True, False] * 3
    held = [rate for quote, of, rate, _ in feeding.versions(EXCHANGE_RATE) if (quote, of) == ("USD", day)]
    assert len(held) == 3
    assert held[0] == held[2] != held[1] == Decimal("1.2345")


def damage(feeding: Feeding, feed: Feed) -> None:
    """Make the first manifest of a feed unreadable."""
    zone = feeding.world.platform.lake.ingestion
    Path(zone.url.removeprefix("file://"), FeedLog(zone, feed.name).path_of(1)).write_bytes(b"{}")
