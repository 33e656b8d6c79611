"""One HTTP request for exchange rates, and the named errors for what can go wrong with it.

What is requested is decided in `rates`, which also repeats what failed because of a transient error.
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from totes_dagster.config.settings import RATES_URL
from totes_dagster.errors import (
    RatesCertificateError,
    RatesError,
    RatesFormatError,
    RatesRefusedError,
    RatesUnavailableError,
)

if TYPE_CHECKING:
    from requests import Response, Session

LONGEST_WAIT = 24 * 60 * 60.0
"""What a longer `Retry-After` counts as, in seconds."""

_MOST_REDIRECTS = 3
_READ_AT_ONCE = 64 * 1024
_OK, _NOT_FOUND, _REQUEST_TIMEOUT, _TOO_MANY_REQUESTS, _SERVER_ERRORS = 200, 404, 408, 429, 500
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Limits:
    """How long one request may take, in seconds, and how large its response may be, in bytes.

    Attributes:
        connect: until the connection is established.
        read: between two pieces of the response.
        whole: until the response has been received completely.
        size: of the response, without compression. All days of a currency since 1999 are about 1.5 MB.
    """

    connect: float = 5.0
    read: float = 10.0
    whole: float = 30.0
    size: int = 10_000_000


def received(url: str, limits: Limits) -> bytes:
    """The body of the response to one request, which the same host may redirect.

    Args:
        url: what to request, without credentials.
        limits: how long it may take, and how large the response may be.

    Returns:
        The body as it was received, without compression; it may be empty.

    Raises:
        RatesUnavailableError: there is no complete response in time, or its status is 408, 429 or 5xx.
        RatesCertificateError: the server's certificate cannot be trusted.
        RatesRefusedError: the status is another than 200, or the request is redirected to another host.
        RatesFormatError: the response is too large.
        RatesError: the request cannot be sent.
    """
    # Slow to import, and most commands fetch nothing. urllib3 is what requests reads responses with.
    import requests  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    ends_at = time.monotonic() + limits.whole
    try:
        with requests.Session() as session:
            session.auth = lambda request: request  # instead of a password from ~/.netrc
            # Otherwise requests reads all of a redirect's body, and parses its location, though it is not to follow it.
            session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]  # noqa: ARG005
            with _response(session, url, limits) as response:
                _check_status(url, response)
                return _content(url, response, limits, ends_at)
    except (requests.RequestException, HTTPError, OSError) as error:
        raise _named_error(url, error) from error


def retry_after(header: str | None, now: datetime) -> float | None:
    """For how long a server asks to wait, from its `Retry-After` header: seconds, or a date in the format of HTTP.

    Returns:
        Seconds, from 0 to a day; None if the server does not say, or not in either form.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return min(max(wait / timedelta(seconds=1), 0.0), LONGEST_WAIT)


def _response(session: "Session", url: str, limits: Limits) -> "Response":
    target = url
    for _ in range(1 + _MOST_REDIRECTS):
        response = session.get(
            target,
            headers={"User-Agent": "totes-dagster", "Accept": "text/csv, application/json"},
            timeout=(limits.connect, limits.read),
            allow_redirects=False,
            stream=True,
        )
        if not response.is_redirect:
            return response
        response.close()
        target = _redirected(target, response.headers["location"])
    raise RatesRefusedError(
        f"{url} redirects more than {_MOST_REDIRECTS} times. Set {RATES_URL} to the address where the rates are now."
    )


def _redirected(url: str, location: str) -> str:
    """Where a response redirects to, if that is the same host, and not without the encryption that there was."""
    try:
        old, new = urlsplit(url), urlsplit(urljoin(url, location))
        is_same = (new.scheme, new.hostname, _port(new)) == (old.scheme, old.hostname, _port(old))
        is_encrypted = (old.scheme, new.scheme) == ("http", "https") and new.hostname == old.hostname
    except ValueError:
        is_same = is_encrypted = False
    if (is_same or is_encrypted) and "@" not in new.netloc:
        return new.geturl()
    # The location may contain a secret; where it leads to is not said.
    raise RatesRefusedError(
        f"{url} redirects to another host, or to http. Check the address with a browser, and set {RATES_URL} to "
        "the one where the rates are now, if it can be trusted."
    )


def _check_status(url: str, response: "Response") -> None:
    status = response.status_code
    if status == _OK:
        return
    if status in {_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS} or status >= _SERVER_ERRORS:
        wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
        asked, facts = ("", {}) if wait is None else (f", and asks to wait for {wait:.0f} s", {"retry_after": wait})
        raise RatesUnavailableError(f"{url} answers with HTTP {status}{asked}. Try again later.", **facts)
    advice = " The European Central Bank also answers like this if it has no rates." if status == _NOT_FOUND else ""
    raise RatesRefusedError(
        f"{url} answers with HTTP {status}. Check {RATES_URL}, and the currencies and the day in the address.{advice}"
    )


def _content(url: str, response: "Response", limits: Limits, ends_at: float) -> bytes:
    pieces, size = [], 0
    # Unlike the methods of requests, `read1` returns what has arrived, so that a slow server cannot delay the checks.
    while piece := response.raw.read1(_READ_AT_ONCE, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > limits.size:
            raise RatesFormatError(
                f"The response of {url} is larger than {limits.size:,} bytes. Ask for fewer currencies or a later day, "
                f"and check that {RATES_URL} is the address of a provider of exchange rates."
            )
        if time.monotonic() > ends_at:
            raise RatesUnavailableError(f"The response of {url} took longer than {limits.whole:g} s. Try again later.")
    return b"".join(pieces)


def _named_error(url: str, error: Exception) -> RatesError:
    """The named error for a request that could not be sent, or whose response could not be received."""
    from requests import ConnectionError as NoConnectionError  # noqa: PLC0415 - as above
    from requests import Timeout  # noqa: PLC0415
    from urllib3 import exceptions as of_body  # noqa: PLC0415

    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "CA certificate bundle" in text:
        return RatesCertificateError(
            f"The certificate of {url} cannot be trusted. Correct the address, the clock of this machine, or the file "
            "of trusted certificates that REQUESTS_CA_BUNDLE names."
        )
    if isinstance(error, Timeout | of_body.TimeoutError):
        return RatesUnavailableError(f"{url} does not answer in time. Try again later.")
    if isinstance(error, of_body.HTTPError) and not isinstance(error, of_body.LocationValueError):
        return RatesUnavailableError(f"The response of {url} was cut off or damaged. Try again later.")
    if isinstance(error, NoConnectionError):
        reason = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
        return RatesUnavailableError(
            f"{url} cannot be reached: {reason[1] if reason else 'the connection was lost'}. Check the network, the "
            f"proxy and {RATES_URL}, or try again later."
        )
    # The texts of other errors quote the settings of proxies, which may contain passwords.
    return RatesError(
        f"{url} cannot be requested ({type(error).__name__}). Check {RATES_URL}, and the settings HTTPS_PROXY and "
        "HTTP_PROXY."
    )


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)
