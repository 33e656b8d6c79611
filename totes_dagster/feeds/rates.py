"""Euro reference exchange rates: fetches what a provider sends, as it is.

A body is checked as the file that it becomes (`files.py`), and requests are sent in `rates_http`. Where bodies are
kept, and how they get from there into the warehouse, does not belong here.
"""

import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Self
from urllib.parse import urlsplit

from totes_dagster.config.settings import RATES_URL, retry_seconds
from totes_dagster.errors import (
    FileRefusedError,
    RatesCurrencyError,
    RatesFormatError,
    RatesMissingError,
    SettingsError,
)
from totes_dagster.feeds.contracts import BASE
from totes_dagster.feeds.declared import EXCHANGE_RATE
from totes_dagster.feeds.files import LINE, PATH, read_file
from totes_dagster.feeds.rates_http import Limits, received
from totes_dagster.runtime.retry import Backoff, retried

__all__ = ["Body", "Limits", "Provider", "Rate", "RatesSource", "fetch_rates", "parse_rates"]

logger = logging.getLogger(__name__)

ECB_URL = "https://data-api.ecb.europa.eu"
"""Where rates come from unless the setting says otherwise: the European Central Bank's Data Portal."""

MOST_ATTEMPTS = 6

CODE = re.compile(r"[A-Z]{3}")
"""A currency's ISO 4217 code."""

Suffix = Literal["csv", "json"]

_SETTING = re.compile(
    r"(?:(ecb|frankfurter)\+)?(https?://(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?(?:/[\w./~%-]*)?)",
    re.ASCII | re.IGNORECASE,
)


class Provider(StrEnum):
    """Who is asked for the European Central Bank's rates: the bank itself, or a service that passes them on."""

    ECB = "ecb"
    FRANKFURTER = "frankfurter"


@dataclass(frozen=True)
class RatesSource:
    """Where exchange rates are fetched.

    Attributes:
        provider: whose requests and responses are spoken there.
        url: base URL, http or https, without credentials, query or trailing slash.
    """

    provider: Provider
    url: str

    @classmethod
    def parse(cls, setting: str) -> Self:
        """The source that a setting names.

        Args:
            setting: a base URL, as of the European Central Bank; with `frankfurter+` before it, as of Frankfurter. An
                empty setting means the European Central Bank's own address.

        Raises:
            SettingsError: it is something else, or contains credentials, which messages would show.
        """
        found = _SETTING.fullmatch(setting or ECB_URL)
        if not found or not _has_port(found[2]):
            # Whatever comes with an @ or a query may be a secret.
            shown = "" if re.search("[@?#]", setting) else f" ({setting!r})"
            raise SettingsError(
                f"{RATES_URL}{shown} is not the http:// or https:// address of a provider of exchange rates. Give "
                f"it without credentials and query, like {ECB_URL} or frankfurter+https://api.frankfurter.dev, or "
                "leave it empty for the European Central Bank."
            )
        return cls(Provider((found[1] or Provider.ECB).lower()), found[2].rstrip("/"))


@dataclass(frozen=True)
class Body:
    """What a provider sent.

    Attributes:
        content: the body as it was received, without compression.
        suffix: its format, `csv` or `json`, as the suffix of a file's name.
        fetched_at: when it had been received completely, in UTC.
    """

    content: bytes
    suffix: Suffix
    fetched_at: datetime


def fetch_rates(
    source: RatesSource,
    currencies: Collection[str],
    since: date,
    *,
    limits: Limits | None = None,
    backoff: Backoff | None = None,
) -> Body:
    """Fetch the exchange rates of currencies since a day, and check that they are rates of these currencies.

    Ask for a day well before the newest publication: the response then also contains revisions, and is not empty on a
    weekend or in the morning. If the day itself has no rates, Frankfurter also returns those of the last day before it.

    Args:
        source: whom to ask.
        currencies: ISO 4217 codes, in upper or lower case. The euro itself is left out.
        since: the first day.
        limits: how long a request may take, and how large the response may be.
        backoff: how long to wait between attempts; by default as `Backoff` says, with at most six attempts and the
            patience that `TOTES_RETRY_SECONDS` sets.

    Returns:
        The body, with at least one rate.

    Raises:
        RatesCurrencyError: there is no currency to ask for, or a code is not three letters. Nothing was sent.
        RatesUnavailableError: the provider was not available, and still is not after the last attempt.
        RatesCertificateError: the server's certificate cannot be trusted.
        RatesRefusedError: the provider refuses the request, or redirects it to another host.
        RatesMissingError: there are no rates since that day.
        RatesFormatError: the response is too large, or is not the rates that were asked for.
        RatesError: the request cannot be sent.
    """
    codes = _codes(currencies)
    url = _URLS[source.provider](source.url, codes, since)
    waits = backoff or Backoff(patience=retry_seconds(default=Backoff.patience), attempts=MOST_ATTEMPTS)
    content = retried("Fetching exchange rates", lambda: received(url, limits or Limits()), waits)
    body = Body(content, suffix_of(content), datetime.now(UTC))
    try:
        rates = parse_rates(content)
    except FileRefusedError as error:
        raise RatesFormatError(
            f"The response of {url} is not the exchange rates that were asked for. {error} Check that {RATES_URL} is "
            "the address of a provider of exchange rates; if it is, fetch again."
        ) from error
    _check_asked(url, rates, codes, since)
    return body


@dataclass(frozen=True)
class Rate:
    """The exchange rate of a currency on a day.

    Attributes:
        quote_code: ISO 4217 code of the currency: three upper-case letters, never EUR.
        rate_date: the day that the rate is for.
        rate: units of the currency for one euro; more than 0.
    """

    quote_code: str
    rate_date: date
    rate: Decimal


def parse_rates(content: bytes) -> list[Rate]:
    """The exchange rates in a body, read as the file of the feed that it becomes.

    Returns:
        One rate for each currency and day, in the order of the body; none if it lists none.

    Raises:
        FileRefusedError: the feed would refuse it.
    """
    rows = read_file(EXCHANGE_RATE, "the response", [content]).rows
    return [*dict.fromkeys(Rate(**row) for row in rows.drop_columns([PATH, LINE]).to_pylist())]


def suffix_of(content: bytes) -> Suffix:
    """The format that a body begins like: `json` if its first character opens an array, otherwise `csv`."""
    return "json" if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else "csv"


def _ecb_url(base: str, codes: list[str], since: date) -> str:
    return f"{base}/service/data/EXR/D.{'+'.join(codes)}.{BASE}.SP00.A?startPeriod={since:%Y-%m-%d}&format=csvdata"


def _frankfurter_url(base: str, codes: list[str], since: date) -> str:
    return f"{base}/v2/rates?from={since:%Y-%m-%d}&base={BASE}&providers=ecb&quotes={','.join(codes)}"


_URLS: dict[Provider, Callable[[str, list[str], date], str]] = {
    Provider.ECB: _ecb_url,
    Provider.FRANKFURTER: _frankfurter_url,
}


def _codes(currencies: Collection[str]) -> list[str]:
    """The currencies to ask for, in alphabetical order."""
    invalid = sorted(code for code in currencies if not CODE.fullmatch(code.upper()) or not code.isascii())
    if invalid:
        raise RatesCurrencyError(
            f"Exchange rates of {', '.join(map(repr, invalid))} cannot be fetched: a currency's code is three letters. "
            "Correct the codes in the source's table currency."
        )
    codes = sorted({code.upper() for code in currencies} - {BASE})
    if not codes:
        raise RatesCurrencyError(
            "There is no currency to fetch exchange rates of, other than the euro itself. Name at least one."
        )
    return codes


def _check_asked(url: str, rates: list[Rate], codes: list[str], since: date) -> None:
    """Check that the rates are of the currencies that were asked for, and that there are any."""
    found = {rate.quote_code for rate in rates}
    if unasked := found.difference(codes):
        raise RatesFormatError(
            f"The response of {url} contains rates of {', '.join(sorted(unasked))}, which were not asked for. Check "
            f"that {RATES_URL} is the address of a provider of exchange rates."
        )
    if not found:
        raise RatesMissingError(
            f"{url} has no exchange rates since {since}. Ask for an earlier day, or try again after the next "
            "publication, about 16:00 in Frankfurt on a working day."
        )
    if absent := set(codes) - found:
        logger.warning("%s has no exchange rates of %s since %s.", url, ", ".join(sorted(absent)), since)


def _has_port(url: str) -> bool:
    """Whether the port of a URL can be one, or there is none."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
