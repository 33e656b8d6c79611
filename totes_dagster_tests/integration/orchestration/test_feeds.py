"""The feeds in Dagster: what requests them, what a run does and says, and that one stops no other."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dagster import DagsterInstance, RunRequest, SkipReason, build_sensor_context

from totes_dagster.definitions import build_defs
from totes_dagster.feeds.declared import EXCHANGE_RATE, FEEDS, SALES_TARGET, SHIPMENT, Feed
from totes_dagster.orchestration import pauses
from totes_dagster.orchestration.feeds.assets import NOTHING_ASKED
from totes_dagster.orchestration.feeds.jobs import is_due
from totes_dagster.orchestration.resources.landing import LandingResource
from totes_dagster.simulator.rates_server import Fault, RatesServer
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of, metadata_of
from totes_dagster_tests.watcher import Watcher

LONG_AGO = datetime(2026, 1, 5, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def rates() -> Iterator[RatesServer]:
    with RatesServer() as server:
        yield server


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def graph(companies: Companies, rates: RatesServer, landing: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    """A company that the warehouse shows, and a landing zone; exchange rates are fetched."""
    monkeypatch.setenv("TOTES_RATES_URL", rates.url)
    known = graph_of(companies.seen(company_of_a_graph(enforced=True)))
    resource = LandingResource(url=landing.as_uri(), rates_url=rates.url)
    resources = {**known.resources, "landing": resource}
    with DagsterInstance.ephemeral() as instance:
        yield replace(known, resources=resources, definitions=build_defs(resources), instance=instance)


def drop(landing: Path, path: str, content: str | bytes, at: float = LONG_AGO) -> None:
    """Drop a file that was complete some time ago."""
    file = landing / path
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(file, (at, at))


def shipment(order: int, units: int = 3) -> str:
    return json.dumps({"sales_order_id": order, "delivered_at": "2026-11-20T10:00:00Z", "units": units})


def look(graph: Graph, feed: Feed) -> RunRequest | SkipReason:
    sensor = graph.definitions.resolve_sensor_def(f"{feed.name}_files")
    watched = {name: graph.resources[name] for name in ("landing", "ingestion_zone")}
    with build_sensor_context(instance=graph.instance, resources=watched) as context:
        found = sensor(context)
    assert isinstance(found, RunRequest | SkipReason)
    return found


def take(graph: Graph, feed: Feed, **options: Any) -> Any:
    return graph.run(f"take_{feed.name}", **options)


def checks_of(result: Any) -> dict[str, tuple[bool, str]]:
    return {each.check_name: (each.passed, each.description) for each in result.get_asset_check_evaluations()}


def test_a_new_file_is_requested_and_taken_once(graph: Graph, landing: Path) -> None:
    drop(landing, "shipment/monday.ndjson", f"{shipment(1)}\n{shipment(2)}\n{shipment(9_999)}\n")
    request = look(graph, SHIPMENT)
    assert isinstance(request, RunRequest)
    assert request.tags["totes/changed"] == "monday.ndjson"
    result = take(graph, SHIPMENT)
    said = metadata_of(result)
    assert said["ingestion/shipment"]["files"] == 1
    assert said["processed/fact_shipment"]["rows"] == 3
    loaded = said["warehouse/fact_shipment"]
    assert (loaded["new"], loaded["changed"], loaded["dagster/row_count"]) == (3, 0, 3)
    assert checks_of(result) == {
        "files_readable": (True, "All files were read."),
        "rows_accepted": (True, "All rows were accepted."),
        "orders_known": (
            False,
            "Delivered, but not in the warehouse: sales order 9999. They may come with the next refresh.",
        ),
    }
    assert str(look(graph, SHIPMENT).skip_message) == "No file is new."  # type: ignore[union-attr]
    again = metadata_of(take(graph, SHIPMENT))
    assert again["ingestion/shipment"]["files"] == 0
    assert again["warehouse/fact_shipment"]["batches_loaded"] == 0


def test_what_is_wrong_is_told_until_it_is_corrected(graph: Graph, landing: Path) -> None:
    drop(landing, "sales_target/2026.csv", "month,department,amount_gbp\n2026-11,Sales,1000.00\n2026-12,Sales,much\n")
    drop(landing, "sales_target/2027.csv", "month,amount\n2027-01,1\n")
    checks = checks_of(take(graph, SALES_TARGET))
    is_readable, refused = checks["files_readable"]
    assert not is_readable
    assert "2027.csv" in refused
    assert "lacks department" in refused
    assert checks["rows_accepted"][0] is False
    assert graph.ask("select path, line, reason from analytics.feed_quarantine") == [
        ("2026.csv", 3, "amount_gbp: give a number")
    ]
    later = LONG_AGO + 60
    drop(landing, "sales_target/2026.csv", "month,department,amount_gbp\n2026-12,Sales,2000.00\n", later)
    drop(landing, "sales_target/2027.csv", "", later)
    assert {passed for passed, _ in checks_of(take(graph, SALES_TARGET)).values()} == {True}
    assert graph.ask("select * from analytics.feed_quarantine") == []
    amounts = graph.ask("select amount_gbp::int from analytics.current_sales_target order by month")
    assert amounts == [(1000,), (2000,)]


def test_rates_are_fetched_for_the_currencies_of_the_warehouse(graph: Graph, rates: RatesServer) -> None:
    request = look(graph, EXCHANGE_RATE)
    assert isinstance(request, RunRequest)
    assert request.tags["totes/changed"] == "rates are due"
    assert request.asset_selection is None  # the fetch, too
    result = take(graph, EXCHANGE_RATE)
    assert metadata_of(result)["landing/exchange_rate"]["currencies"] == "GBP, USD"
    assert {passed for passed, _ in checks_of(result).values()} == {True}
    ((first, missing),) = graph.ask(
        "select min(created_date), count(*) filter (where per_eur is null or gbp_per_eur is null) "
        "from analytics.fact_sales_order left join analytics.rate_on_day "
        "on (date_id, rate_on_day.currency_id) = (created_date, fact_sales_order.currency_id)"
    )
    assert missing == 0
    published = {quote.day: quote.rate for quote in rates.quotes(["USD"], first) if quote.rate}
    assert published
    loaded = dict(graph.ask("select rate_date, rate from analytics.current_exchange_rate where quote_code = 'USD'"))
    assert {day: loaded.get(day) for day in published} == published
    assert str(look(graph, EXCHANGE_RATE).skip_message) == "No file is new."  # type: ignore[union-attr]
    day = max(published)
    rates.revise("USD", day, (published[day] * Decimal("1.01")).quantize(Decimal("0.0001")))
    try:
        since = metadata_of(take(graph, EXCHANGE_RATE))["landing/exchange_rate"]["since"]
    finally:
        rates.revise("USD", day, published[day])
    assert date.fromisoformat(since) == day - timedelta(days=14)
    assert graph.ask(f"select count(*) from analytics.fact_exchange_rate where rate_date = '{day}'") == [(3,)]


def test_a_provider_that_fails_stops_no_other_feed(
    graph: Graph, landing: Path, rates: RatesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    rates.queue(Fault.HTML)
    failed = take(graph, EXCHANGE_RATE, raise_on_error=False)
    assert not failed.success
    assert "RatesFormatError" in str(failed.all_events)
    drop(landing, "shipment/a.ndjson", shipment(1))
    assert isinstance(look(graph, SHIPMENT), RunRequest)
    assert take(graph, SHIPMENT).success
    reason = look(graph, EXCHANGE_RATE)
    assert isinstance(reason, SkipReason)
    assert str(reason.skip_message).startswith("The last run failed. Trying again at ")
    monkeypatch.setattr(pauses, "FIRST_PAUSE", timedelta(0))
    assert isinstance(look(graph, EXCHANGE_RATE), RunRequest)


def test_a_feed_that_fails_and_a_file_that_is_refused_are_told_by_alerts(
    graph: Graph, landing: Path, rates: RatesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    watcher = Watcher(graph.instance)
    watcher.tick()
    rates.queue(Fault.HTML)
    take(graph, EXCHANGE_RATE, raise_on_error=False)
    drop(landing, "shipment/a.ndjson", "<html>")
    take(graph, SHIPMENT)
    watcher.tick()
    opened = {incident.subject: incident.why for incident in watcher.watch.open}
    assert opened.keys() >= {"take_exchange_rate", "files_readable"}
    assert "It is HTML or XML." in opened["take_exchange_rate"]
    assert "a.ndjson" in opened["files_readable"]


def test_without_a_landing_zone_there_is_nothing_to_do(graph: Graph) -> None:
    without = replace(graph, resources={**graph.resources, "landing": LandingResource()})
    for feed in FEEDS.values():
        reason = look(without, feed)
        assert isinstance(reason, SkipReason)
        assert str(reason.skip_message) == "There is no landing zone: TOTES_LANDING is not set."


def test_a_landing_zone_that_cannot_be_read_is_told_by_a_run_that_fails(graph: Graph, landing: Path) -> None:
    unreadable = LandingResource(url=f"file://{urlsplit(landing.as_uri()).path}/shipment/file")
    drop(landing, "shipment/file", "")
    broken = replace(graph, resources={**graph.resources, "landing": unreadable})
    request = look(broken, SHIPMENT)
    assert isinstance(request, RunRequest)
    assert request.tags["totes/changed"] == "SettingsError"


NOON, EVENING = datetime(2026, 11, 27, 11, 0, tzinfo=UTC), datetime(2026, 11, 27, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fetched_at", "since", "now", "due"),
    [
        (None, "", NOON, True),
        (NOON - timedelta(hours=2), "2026-11-13", NOON, False),  # nothing was published since
        (NOON, "2026-11-13", EVENING, True),
        (EVENING - timedelta(minutes=10), "2026-11-13", EVENING, False),  # asked after it was published
        (NOON - timedelta(days=3), "2026-11-13", NOON, True),
        (NOON - timedelta(seconds=30), NOTHING_ASKED, NOON, False),
        (NOON - timedelta(minutes=2), NOTHING_ASKED, NOON, True),
    ],
)
def test_rates_are_due_once_they_are_published(
    fetched_at: datetime | None, since: str, now: datetime, *, due: bool
) -> None:
    assert is_due(fetched_at, since, now) is due
