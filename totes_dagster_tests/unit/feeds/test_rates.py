"""Whom the setting names, and for how long a provider asks to wait."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from totes_dagster.errors import SettingsError
from totes_dagster.feeds.rates import Provider, RatesSource
from totes_dagster.feeds.rates_http import LONGEST_WAIT, retry_after

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("setting", "provider", "url"),
    [
        ("", Provider.ECB, "https://data-api.ecb.europa.eu"),
        ("https://data-api.ecb.europa.eu/", Provider.ECB, "https://data-api.ecb.europa.eu"),
        ("ecb+http://127.0.0.1:8080", Provider.ECB, "http://127.0.0.1:8080"),
        ("frankfurter+https://api.frankfurter.dev", Provider.FRANKFURTER, "https://api.frankfurter.dev"),
        ("Frankfurter+http://[::1]:8080/rates", Provider.FRANKFURTER, "http://[::1]:8080/rates"),
    ],
)
def test_a_setting_names_a_provider_and_its_address(setting: str, provider: Provider, url: str) -> None:
    assert RatesSource.parse(setting) == RatesSource(provider, url)


@pytest.mark.parametrize(
    "setting",
    [
        "frankfurter",
        "data-api.ecb.europa.eu",
        "ftp://data-api.ecb.europa.eu",
        "bank+https://data-api.ecb.europa.eu",
        "https://",
        "https://host:99999",
        "https://host:0",
        "https://host/a b",
        "https://host/\r\nX: 1",
        "https://hóst",
        "https://host\n",
        "https://user:password@host",
        "user:password@host",
        "https://host?key=password",
        "https://host/#password",
    ],
)
def test_anything_else_is_refused_without_repeating_a_password(setting: str) -> None:
    with pytest.raises(SettingsError, match=r"TOTES_RATES_URL.* like https://data-api\.ecb\.europa\.eu") as raised:
        RatesSource.parse(setting)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("9" * 400, LONGEST_WAIT),
        ("Mon, 05 Jan 2026 12:01:30 GMT", 90),
        ("Mon, 05 Jan 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        ("Mon, 05 Jan 2026 13:00:00 +0000", 3600),
        ("-1", None),
        ("1.5", None),
        ("¹", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_server_asks_to_wait_for_seconds_or_until_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_the_client_library_is_imported_when_rates_are_fetched() -> None:
    look = "import sys, totes_dagster.feeds.rates; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
