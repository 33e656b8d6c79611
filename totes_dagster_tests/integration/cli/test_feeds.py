"""`totes feeds`: what it shows, takes and fetches, and that `totes refresh` takes feeds too."""

import json
import os
from pathlib import Path

import pytest

from totes_dagster.feeds.declared import FEEDS
from totes_dagster.simulator.rates_server import RatesServer
from totes_dagster_tests.companies import Companies, Company
from totes_dagster_tests.integration.commands import refusal_here, run_here, totes_here

COMPANY = Company(orders=20)


@pytest.fixture
def settings(companies: Companies, tmp_path: Path) -> dict[str, str]:
    """A company that the warehouse shows, and a landing zone."""
    platform = companies.seen(COMPANY)
    landing = tmp_path / "landing"
    landing.mkdir(mode=0o700)
    return {
        "TOTESYS_URL": platform.source.url,
        "WAREHOUSE_URL": platform.warehouse.database.url,
        "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
        "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
        "TOTES_LANDING": landing.as_uri(),
    }


@pytest.fixture
def landing(settings: dict[str, str]) -> Path:
    return Path(settings["TOTES_LANDING"].removeprefix("file://"))


def drop(landing: Path, path: str, content: str) -> None:
    file = landing / path
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(content)
    os.utime(file, (1e9, 1e9))


def test_a_refresh_takes_feeds_and_says_what_became_of_them(settings: dict[str, str], landing: Path) -> None:
    drop(landing, "sales_target/2026.csv", "month,department,amount_gbp\n2026-11,Sales,10.00\n2026-12,Sales,-1\n")
    drop(landing, "shipment/broken.ndjson", "<html>")
    done = run_here("refresh", **settings)
    assert done.exit_code == 0
    assert "broken.ndjson of shipment was refused." in done.stderr
    shown = done.stdout
    assert "sales_target: 1 files, 1 new, 1 quarantined." in shown
    assert "shipment: 1 files, 1 refused." in shown
    state = json.loads(totes_here("feeds", "--json", **settings))
    assert set(state) == set(FEEDS)
    assert (state["sales_target"]["versions"], state["sales_target"]["quarantined"]) == (1, 1)
    listed = totes_here("feeds", **settings)
    assert "shipment/broken.ndjson was refused." in listed
    assert "sales_target/2026.csv, line 3: amount_gbp: input should be greater than or equal to 0." in listed
    assert totes_here("feeds", "take", "shipment", **settings) == "shipment: nothing new.\n"
    answer = json.loads(totes_here("refresh", "--json", **settings))
    assert answer["feeds"] == {name: {"loaded": []} for name in FEEDS}


def test_rates_are_fetched_and_loaded(settings: dict[str, str]) -> None:
    with RatesServer() as rates:
        first = totes_here("feeds", "fetch", **settings, TOTES_RATES_URL=rates.url)
        assert "GBP, USD since " in first
        assert "exchange_rate: 1 files, " in first
        again = totes_here("feeds", "fetch", "--since", "2026-01-02", **settings, TOTES_RATES_URL=rates.url)
        assert "since 2026-01-02" in again
        assert "startPeriod=2026-01-02" in rates.requests[-1]


def test_one_feed_that_fails_leaves_the_others_taken(settings: dict[str, str], landing: Path) -> None:
    drop(landing, "sales_target/2026.csv", "month,department,amount_gbp\n2026-11,Sales,10.00\n")
    totes_here("feeds", "take", "sales_target", **settings)
    log = Path(settings["TOTES_INGESTION_LAKE"].removeprefix("file://")) / "feeds/sales_target/batches/0000000001.json"
    log.write_bytes(b"{")
    drop(landing, "shipment/a.ndjson", '{"sales_order_id": 1, "delivered_at": "2026-11-20T10:00:00Z", "units": 3}')
    done = run_here("refresh", **settings)
    assert done.exit_code == 1
    assert "sales_target: ManifestDamagedError: " in done.stderr
    assert "shipment: 1 files, 1 new." in done.stdout


def test_the_contract_of_a_feed_is_json_schema() -> None:
    schema = json.loads(totes_here("feeds", "contract", "shipment"))
    assert schema["required"] == ["sales_order_id", "delivered_at", "units"]
    assert refusal_here("feeds", "contract", "nothing").startswith("FeedUnknownError: There is no feed 'nothing'.")


def test_without_a_landing_zone_it_says_so(settings: dict[str, str]) -> None:
    del settings["TOTES_LANDING"]
    for command in (["take"], ["fetch"]):
        assert refusal_here("feeds", *command, **settings).startswith("SettingsError: There is no landing zone")
