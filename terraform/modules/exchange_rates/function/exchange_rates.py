"""Fetches the European Central Bank's exchange rates, and puts them into the landing bucket exactly as received.

It runs on AWS Lambda, outside the platform's network, which has no way to the internet. Here a response is only checked
for being a complete CSV of rates; the platform checks the rates themselves when it takes the file. After a change, run
`make lambda`.
"""

import csv
import http.client
import io
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

PREFIX = "exchange_rate/"
COLUMNS = {"CURRENCY", "CURRENCY_DENOM", "TIME_PERIOD", "OBS_VALUE"}

MOST_BYTES = 10_000_000  # all days of a currency since 1999 are about 1.5 MB
MOST_ATTEMPTS = 4
FIRST_DELAY = 2.0  # seconds; it doubles with every attempt
TIME_TO_PUT = 20.0  # seconds of the invocation that are left for S3

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class RatesError(Exception):
    """The rates could not be fetched. Nothing was put into the landing bucket."""


class RatesUnavailableError(RatesError):
    """The rates could not be fetched this time; another attempt may succeed.

    Attributes:
        retry_after: how many seconds the server asks to wait.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RatesRefusedError(RatesError):
    """The response is not what was asked for, and another attempt would not change that."""


def handler(event: Mapping[str, str], context: Any) -> dict[str, Any]:
    """Fetch the rates of the last days, and put them into the landing bucket.

    Args:
        event: `time`, when the invocation was scheduled, by default now: it names the file, so that a repeated
            invocation finds it there. `start`, the first day, for a longer history.
        context: of the invocation, from Lambda.

    Returns:
        The `key` of the file, its `bytes`, and whether it was `created` rather than there already.

    Raises:
        RatesError: the rates could not be fetched. Nothing was put.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - TIME_TO_PUT
    scheduled = datetime.fromisoformat(event["time"]).astimezone(UTC) if "time" in event else datetime.now(UTC)
    first = (
        datetime.fromisoformat(event["start"]) if "start" in event else scheduled - timedelta(int(os.environ["DAYS"]))
    )
    body = fetched(
        f"{os.environ['BASE_URL']}/service/data/EXR/D.{os.environ['CURRENCIES']}.EUR.SP00.A"
        f"?startPeriod={first:%Y-%m-%d}&format=csvdata",
        deadline,
    )
    key = f"{PREFIX}{scheduled:%Y-%m-%dT%H%M%SZ}.csv"
    created = put(os.environ["LANDING_BUCKET"], key, body)
    logger.info("%s %s with %d bytes", "Created" if created else "There was already", key, len(body))
    return {"key": key, "bytes": len(body), "created": created}


def fetched(url: str, deadline: float) -> bytes:
    """The body at a URL, after several attempts if need be.

    Args:
        url: where the rates are.
        deadline: until when to try, on the monotonic clock.

    Raises:
        RatesError: there was no complete body with rates by then.
    """
    for attempt in range(MOST_ATTEMPTS):
        try:
            body = received(url, deadline)
            check(body)
        except RatesUnavailableError as error:
            delay = max(FIRST_DELAY * 2**attempt, error.retry_after)
            if attempt + 1 == MOST_ATTEMPTS or time.monotonic() + delay > deadline:
                raise
            logger.warning("%s Trying again in %.0f seconds.", error, delay)
            time.sleep(delay)
        else:
            return body
    raise AssertionError("the last attempt returns or raises")


class _SameHost(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        asked, told = urlsplit(req.full_url), urlsplit(newurl)
        if (asked.scheme, asked.netloc) != (told.scheme, told.netloc):
            raise RatesRefusedError(
                f"{asked.netloc} redirects to {told.scheme}://{told.netloc}, which was not asked for. If that is where "
                "the rates are now, set base_url."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def received(url: str, deadline: float) -> bytes:
    """The body of one response.

    Raises:
        RatesUnavailableError: there is no response, an error of the server's, or only a part of the body.
        RatesRefusedError: the status is another error, the body is HTML or too long, or the server redirects elsewhere.
    """
    request = urllib.request.Request(url, headers={"Accept": "text/csv", "User-Agent": "totes_dagster"})  # noqa: S310 - Terraform allows https alone
    seconds = min(float(os.environ["TIMEOUT_SECONDS"]), deadline - time.monotonic())
    opener = urllib.request.build_opener(_SameHost)
    try:
        with opener.open(request, timeout=max(seconds, 0.001)) as response:
            if "html" in response.headers.get_content_type():
                raise RatesRefusedError(f"{url} returned HTML. Open it in a browser to see why.")
            return _whole(response, min(deadline, time.monotonic() + seconds))
    except urllib.error.HTTPError as error:
        message = f"{url} returned {error.code} {error.reason}."
        if error.code in (408, 429) or error.code >= 500:  # noqa: PLR2004
            raise RatesUnavailableError(message, _retry_after(error.headers.get("Retry-After"))) from error
        raise RatesRefusedError(message) from error
    except (OSError, http.client.HTTPException) as error:  # among them time-outs, and connections that end too early
        raise RatesUnavailableError(f"{url} could not be read: {error!r}.") from error


def _whole(response: http.client.HTTPResponse, deadline: float) -> bytes:
    # In small pieces, to look at the clock: the socket's time-out starts anew with each, however slow the server is.
    body = b""
    while piece := response.read1(65536):
        body += piece
        if len(body) > MOST_BYTES:
            raise RatesRefusedError(f"The response is longer than {MOST_BYTES} bytes. Ask for fewer days.")
        if time.monotonic() > deadline:
            raise TimeoutError("the response takes too long")
    announced = response.headers.get("Content-Length")
    if announced is not None and len(body) != int(announced):
        raise http.client.IncompleteRead(body, int(announced) - len(body))
    return body


def _retry_after(value: str | None) -> float:
    """The seconds to wait by a header `Retry-After`, which gives a number of seconds or a time."""
    if value is None:
        return 0.0
    try:
        return float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0


def check(body: bytes) -> None:
    """Check that a body is a complete CSV with rates.

    Raises:
        RatesUnavailableError: its last line was cut off.
        RatesRefusedError: it is something else, or has no rates.
    """
    try:
        header, *lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"))) if line] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RatesRefusedError(f"The response is not CSV in UTF-8: {error}.") from error
    if not set(header) >= COLUMNS:
        raise RatesRefusedError(
            f"The response has no columns {', '.join(sorted(COLUMNS))}; it starts with {body[:60]!r}."
        )
    if not lines:
        raise RatesRefusedError("The response has no rates. Check the currencies and the first day.")
    if any(len(line) != len(header) for line in lines):
        raise RatesUnavailableError("The response is incomplete: a line has too few values.")


def put(bucket: str, key: str, body: bytes) -> bool:
    """Create an object, unless it exists already.

    Returns:
        Whether it was created.
    """
    try:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/csv", IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] == "PreconditionFailed":
            return False
        raise
    return True
