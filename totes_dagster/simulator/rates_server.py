"""A local HTTP server with made-up exchange rates, in the formats of the European Central Bank and of Frankfurter.

It answers like the real ones: nothing before a day's rates are published, an empty response where the European Central
Bank has none, and the last rate before the day asked for where Frankfurter has none on it. What goes wrong is what was
queued. Which rates there are is in `euro_rates`.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from totes_dagster.simulator.euro_rates import FIRST_DAY, LEVELS, EuroRates, Quote, is_working_day, published_at

ECB_PATH = "/service/data/EXR/"
FRANKFURTER_PATH = "/v2/rates"

CSV_HEADER = (
    "KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE,OBS_STATUS,OBS_CONF,DECIMALS,TITLE,UNIT"
)

_STOPS_WITHIN = 0.02  # seconds between looks of the serving thread at whether it has to stop


class Fault(StrEnum):
    """What can go wrong with one response."""

    TOO_MANY_REQUESTS = "429, with the detail as Retry-After"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    FORBIDDEN = "403"
    CUT_OFF = "half of the body that Content-Length announces"
    CUT_OFF_CHUNKS = "half of the chunks"
    HANG = "no response for as long as the server runs"
    HTML = "an HTML page, with status 200"
    EMPTY = "no body, with status 200"
    ENDLESS = "a body that never ends"
    WRONG_BASE = "the same rates, as of the US dollar"
    NEGATIVE_RATE = "a minus before the first rate"
    UNASKED_CURRENCY = "rates of another currency as well"
    REDIRECT = "302, with the detail as Location"


@dataclass(frozen=True)
class _Response:
    status: int = 200
    body: bytes = b""
    type: str = "text/csv"
    headers: dict[str, str] = field(default_factory=dict)


class RatesServer:
    """Serves exchange rates on 127.0.0.1, on a free port, for as long as it is open as a context manager.

    Args:
        seed: seed of the rates.
        clock: returns the current time with a time zone; later rates are not published yet.

    Attributes:
        requests: paths and queries of the requests so far, in the order of their arrival.
    """

    def __init__(self, *, seed: int = 0, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.requests: list[str] = []
        self._rates, self._clock = EuroRates(seed), clock
        self._changed: dict[tuple[str, date], Decimal | None] = {}
        self._late: dict[date, datetime] = {}
        self._faults: deque[tuple[Fault, str]] = deque()
        self._is_closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self), bind_and_activate=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_STOPS_WITHIN,), daemon=True)

    def __enter__(self) -> Self:
        self._server.server_bind()
        self._server.server_activate()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Base URL, for both formats."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def revise(self, code: str, day: date, rate: Decimal | None) -> None:
        """Replace a published rate; with None, the day is listed without a rate."""
        self._changed[code, day] = rate

    def delay(self, day: date, until: datetime) -> None:
        """Publish the rates of a day later than usual."""
        self._late[day] = until

    def queue(self, fault: Fault, detail: str = "") -> None:
        """Have the next request without a fault get this one; those after it are served as usual.

        Args:
            fault: what goes wrong.
            detail: value of the header that belongs to the fault.
        """
        self._faults.append((fault, detail))

    def quotes(self, codes: Iterable[str], since: date, until: date = date.max) -> list[Quote]:
        """The rates of currencies between two days, both included, that are published by now: by currency, then day."""
        now = self._clock()
        first, last = max(since, FIRST_DAY), min(until, now.date())
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        published = [day for day in days if is_working_day(day) and self._late.get(day, published_at(day)) <= now]
        return [
            Quote(code, day, self._changed[code, day] if (code, day) in self._changed else self._rates.rate(code, day))
            for code in codes
            if code in LEVELS
            for day in published
        ]

    def next_fault(self) -> tuple[Fault | None, str]:
        """Take the next fault from the queue."""
        try:
            return self._faults.popleft()
        except IndexError:
            return None, ""

    def wait_until_closing(self) -> None:
        """Wait until the server stops."""
        self._is_closing.wait()

    def respond(self, target: str, fault: Fault | None) -> _Response:
        """The response to a request."""
        parts = urlsplit(target)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith(ECB_PATH):
            return self._as_ecb(parts.path.removeprefix(ECB_PATH), asked, fault)
        if parts.path == FRANKFURTER_PATH:
            return self._as_frankfurter(asked, fault)
        return _Response(404, b"No results found.", "text/plain")

    def _as_ecb(self, key: str, asked: dict[str, str], fault: Fault | None) -> _Response:
        dimensions = key.split(".")
        if asked.get("format") != "csvdata":
            return _Response(406, b"Not acceptable.", "text/plain")
        days = _days(asked, "startPeriod", "endPeriod")
        if days is None:
            return _Response(400, b"Syntax error.", "text/plain")
        codes = dimensions[1].split("+") if len(dimensions) > 1 else []
        if dimensions[:1] + dimensions[2:] != ["D", "EUR", "SP00", "A"] or not LEVELS.keys() & set(codes):
            return _Response(404, b"No results found.", "text/plain")
        quotes = self.quotes(_with_unasked(codes, fault), *days)
        return _Response(body=as_csv(_faulty(quotes, fault), _base(fault)).encode() if quotes else b"")

    def _as_frankfurter(self, asked: dict[str, str], fault: Fault | None) -> _Response:
        days = _days(asked, "from", "to")
        codes = asked.get("quotes", "").split(",")
        is_known = asked.keys() <= {"from", "to", "base", "providers", "quotes"} and LEVELS.keys() >= set(codes)
        if days is None or not is_known or asked.get("base", "EUR") != "EUR" or asked.get("providers") != "ecb":
            return _Response(422, b'{"status":422,"message":"invalid request"}', "application/json")
        quotes = self.quotes(_with_unasked(codes, fault), *days)
        if days[0] not in {quote.day for quote in quotes}:
            longest_break = days[0] - timedelta(days=14)
            earlier = self.quotes(codes, longest_break, days[0] - timedelta(days=1))
            quotes += [quote for quote in earlier if quote.day == max(each.day for each in earlier)]
        quotes.sort(key=lambda quote: (quote.day, quote.code))
        return _Response(body=as_json(_faulty(quotes, fault), _base(fault)).encode(), type="application/json")


def as_csv(quotes: Iterable[Quote], base: str = "EUR") -> str:
    """Rates as the European Central Bank's Data Portal returns them for `format=csvdata`."""
    lines = [CSV_HEADER]
    for quote in quotes:
        title = f'"Made-up exchange rate, {quote.code}/{base}"'
        value, status = ("", "M") if quote.rate is None else (quote.rate, "A")
        key = f"EXR.D.{quote.code}.{base}.SP00.A,D,{quote.code},{base},SP00,A"
        lines.append(f"{key},{quote.day},{value},{status},F,4,{title},{quote.code}")
    return "\r\n".join((*lines, ""))


def as_json(quotes: Iterable[Quote], base: str = "EUR") -> str:
    """Rates as Frankfurter returns them; days without a rate are left out."""
    entries = (
        f'{{"date":"{quote.day}","base":"{base}","quote":"{quote.code}","rate":{quote.rate}}}'
        for quote in quotes
        if quote.rate is not None
    )
    return f"[{','.join(entries)}]"


def _days(asked: dict[str, str], first: str, last: str) -> tuple[date, date] | None:
    try:
        until = date.fromisoformat(asked[last]) if last in asked else date.max
        return date.fromisoformat(asked[first]), until
    except (KeyError, ValueError):
        return None


def _with_unasked(codes: list[str], fault: Fault | None) -> list[str]:
    return [*codes, *sorted(LEVELS.keys() - set(codes))[:1]] if fault is Fault.UNASKED_CURRENCY else codes


def _faulty(quotes: list[Quote], fault: Fault | None) -> list[Quote]:
    if fault is not Fault.NEGATIVE_RATE or not quotes or quotes[0].rate is None:
        return quotes
    return [Quote(quotes[0].code, quotes[0].day, -quotes[0].rate), *quotes[1:]]


def _base(fault: Fault | None) -> str:
    return "USD" if fault is Fault.WRONG_BASE else "EUR"


_INSTEAD = {
    Fault.SERVER_ERROR: _Response(500, b"Internal Server Error", "text/plain"),
    Fault.UNAVAILABLE: _Response(503, b"Service unavailable", "text/plain"),
    Fault.FORBIDDEN: _Response(403, b"Forbidden", "text/plain"),
    Fault.HTML: _Response(200, b"<!DOCTYPE html><title>Maintenance</title>", "text/html"),
    Fault.EMPTY: _Response(),
}
_HEADERS = {Fault.TOO_MANY_REQUESTS: (429, "Retry-After"), Fault.REDIRECT: (302, "Location")}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, rates: RatesServer, *connection: Any) -> None:
        self._rates = rates
        super().__init__(*connection)

    def do_GET(self) -> None:
        self._rates.requests.append(self.path)
        fault, detail = self._rates.next_fault()
        self.close_connection = True
        if fault is Fault.HANG:
            self._rates.wait_until_closing()
        elif fault in _HEADERS:
            status, header = _HEADERS[fault]
            self._send(_Response(status, headers={header: detail} if detail else {}))
        elif fault in _INSTEAD:
            self._send(_INSTEAD[fault])
        elif fault is Fault.ENDLESS:
            self._send_endlessly()
        elif fault is Fault.CUT_OFF_CHUNKS:
            self._send_half_of_the_chunks(self._rates.respond(self.path, fault))
        else:
            self._send(self._rates.respond(self.path, fault), is_cut_off=fault is Fault.CUT_OFF)

    def _send(self, response: _Response, *, is_cut_off: bool = False) -> None:
        self._begin(response, **{"Content-Length": str(len(response.body))})
        self.wfile.write(response.body[: len(response.body) // 2] if is_cut_off else response.body)

    def _send_half_of_the_chunks(self, response: _Response) -> None:
        self._begin(response, **{"Transfer-Encoding": "chunked"})
        self._send_chunk(response.body[: len(response.body) // 2])

    def _send_endlessly(self) -> None:
        self._begin(_Response(), **{"Transfer-Encoding": "chunked"})
        with suppress(OSError):  # the client has closed the connection
            while True:
                self._send_chunk(b"0" * 1024)

    def _send_chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def _begin(self, response: _Response, **framing: str) -> None:
        self.send_response(response.status)
        headers = {"Content-Type": response.type, "Connection": "close", **framing, **response.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""
