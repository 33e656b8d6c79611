"""Whom the setting names, and what is imported to ask."""

import subprocess
import sys

import pytest

from totes_dagster.errors import SettingsError
from totes_dagster.feeds.rates import Provider, RatesSource


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


def test_the_client_library_is_imported_when_rates_are_fetched() -> None:
    look = "import sys, totes_dagster.feeds.rates; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
