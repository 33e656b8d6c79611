"""Exchange rates fetched over HTTP: what passes is tried again, and everything else fails by name."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from totes_dagster.errors import (
    RatesCertificateError,
    RatesCurrencyError,
    RatesError,
    RatesFormatError,
    RatesMissingError,
    RatesRefusedError,
    RatesUnavailableError,
)
from totes_dagster.feeds.rates import Body, Limits, Provider, Rate, RatesSource, fetch_rates, parse_rates
from totes_dagster.runtime.retry import Backoff
from totes_dagster.simulator.euro_rates import EuroRates
from totes_dagster.simulator.rates_server import Fault, RatesServer
from totes_dagster_tests.system.errors.certificates import self_signed
from totes_dagster_tests.wires import listening

WEDNESDAY, THURSDAY, GOOD_FRIDAY, EASTER_TUESDAY = (date(2026, 4, day) for day in (1, 2, 3, 7))
SOON = Backoff(first=0.001, longest=0.002, attempts=3)
ONCE = Backoff(attempts=1)
IMPATIENT = Limits(connect=5, read=0.05, whole=5)
ASKED = ("USD", "GBP")

both_providers = pytest.mark.parametrize("provider", list(Provider))


class Clock:
    """A clock that stands still until a test turns it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 4, 2, 14, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """It is the Thursday before Easter, half past four in Frankfurt: today's rates are published."""
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[RatesServer]:
    with RatesServer(seed=3, clock=clock) as server:
        yield server


def fetched(server: RatesServer, provider: Provider = Provider.ECB, since: date = WEDNESDAY) -> Body:
    return fetch_rates(RatesSource(provider, server.url), ASKED, since, backoff=SOON)


@both_providers
def test_rates_are_fetched_as_they_were_published(server: RatesServer, provider: Provider) -> None:
    before = datetime.now(UTC)
    body = fetched(server, provider)
    assert before <= body.fetched_at <= datetime.now(UTC)
    assert body.suffix == {Provider.ECB: "csv", Provider.FRANKFURTER: "json"}[provider]
    expected = {(code, day, EuroRates(3).rate(code, day)) for code in ASKED for day in (WEDNESDAY, THURSDAY)}
    assert {(rate.quote_code, rate.rate_date, rate.rate) for rate in parse_rates(body.content)} == expected


def test_a_request_names_currencies_but_the_euro_in_order_once_and_the_first_day(server: RatesServer) -> None:
    for provider in Provider:
        fetch_rates(RatesSource(provider, server.url), ["usd", "EUR", "GBP", "USD"], WEDNESDAY, backoff=ONCE)
    assert server.requests == [
        "/service/data/EXR/D.GBP+USD.EUR.SP00.A?startPeriod=2026-04-01&format=csvdata",
        "/v2/rates?from=2026-04-01&base=EUR&providers=ecb&quotes=GBP,USD",
    ]


@pytest.mark.parametrize("currencies", [[], ["EUR"], ["US"], ["USDX"], ["U1D"], ["ÜSD"], ["USD", "../"], ["USD\n"]])
def test_currencies_that_cannot_be_asked_for_are_refused_and_nothing_is_sent(
    server: RatesServer, currencies: list[str]
) -> None:
    with pytest.raises(RatesCurrencyError):
        fetch_rates(RatesSource(Provider.ECB, server.url), currencies, WEDNESDAY)
    assert server.requests == []


def test_rates_of_a_day_are_there_from_four_in_the_afternoon_or_later_if_they_are_late(
    server: RatesServer, clock: Clock
) -> None:
    def days() -> set[date]:
        return {rate.rate_date for rate in parse_rates(fetched(server).content)}

    clock.now = datetime(2026, 4, 2, 13, 59, 59, tzinfo=UTC)
    assert days() == {WEDNESDAY}
    clock.now += timedelta(seconds=1)
    assert days() == {WEDNESDAY, THURSDAY}
    server.delay(THURSDAY, until=clock.now + timedelta(minutes=5))
    assert days() == {WEDNESDAY}
    clock.now = datetime(2026, 4, 7, 14, tzinfo=UTC)
    assert days() == {WEDNESDAY, THURSDAY, EASTER_TUESDAY}


def test_the_ecb_has_nothing_between_publications(server: RatesServer) -> None:
    with pytest.raises(RatesMissingError, match=r"no exchange rates since 2026-04-03\. Ask for an earlier day"):
        fetched(server, since=GOOD_FRIDAY)


def test_frankfurter_has_the_last_rates_between_publications(server: RatesServer) -> None:
    rates = parse_rates(fetched(server, Provider.FRANKFURTER, since=GOOD_FRIDAY).content)
    assert {rate.rate_date for rate in rates} == {THURSDAY}


@both_providers
def test_a_revised_rate_is_fetched_and_a_day_may_lose_its_rate(server: RatesServer, provider: Provider) -> None:
    server.revise("USD", WEDNESDAY, Decimal("1.2345"))
    server.revise("GBP", WEDNESDAY, None)
    rates = parse_rates(fetched(server, provider).content)
    assert Rate("USD", WEDNESDAY, Decimal("1.2345")) in rates
    assert {rate.rate_date for rate in rates if rate.quote_code == "GBP"} == {THURSDAY}


def test_a_currency_without_rates_is_mentioned_in_the_log(
    server: RatesServer, caplog: pytest.LogCaptureFixture
) -> None:
    body = fetch_rates(RatesSource(Provider.ECB, server.url), ["USD", "XXX"], WEDNESDAY, backoff=ONCE)
    assert {rate.quote_code for rate in parse_rates(body.content)} == {"USD"}
    assert "has no exchange rates of XXX since 2026-04-01" in caplog.text


PASSING = (
    (Fault.TOO_MANY_REQUESTS, "0"),
    (Fault.TOO_MANY_REQUESTS, "Mon, 05 Jan 2026 12:00:00 GMT"),
    (Fault.TOO_MANY_REQUESTS, ""),
    (Fault.SERVER_ERROR, ""),
    (Fault.UNAVAILABLE, ""),
    (Fault.CUT_OFF, ""),
    (Fault.CUT_OFF_CHUNKS, ""),
)


@both_providers
@pytest.mark.parametrize(("fault", "detail"), PASSING, ids=lambda value: getattr(value, "name", value))
def test_what_passes_is_tried_again(server: RatesServer, provider: Provider, fault: Fault, detail: str) -> None:
    server.queue(fault, detail)
    server.queue(fault, detail)
    assert parse_rates(fetched(server, provider).content)
    assert len(server.requests) == 3


@pytest.mark.parametrize(("fault", "detail"), PASSING, ids=lambda value: getattr(value, "name", value))
def test_what_does_not_pass_fails_by_name_after_the_last_attempt(
    server: RatesServer, fault: Fault, detail: str
) -> None:
    for _ in range(4):
        server.queue(fault, detail)
    with pytest.raises(RatesUnavailableError, match="Try again later"):
        fetched(server)
    assert len(server.requests) == 3


def test_the_environment_may_forbid_to_try_again(server: RatesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    server.queue(Fault.UNAVAILABLE)
    with pytest.raises(RatesUnavailableError, match="answers with HTTP 503"):
        fetch_rates(RatesSource(Provider.ECB, server.url), ASKED, WEDNESDAY)
    assert len(server.requests) == 1


def test_a_server_is_not_asked_again_before_it_wants_to_be(server: RatesServer) -> None:
    server.queue(Fault.TOO_MANY_REQUESTS, "3600")
    with pytest.raises(RatesUnavailableError, match="answers with HTTP 429, and asks to wait for 3600 s") as raised:
        fetched(server)
    assert raised.value.facts == {"retry_after": 3600}
    assert len(server.requests) == 1


def test_a_server_that_hangs_is_given_up(server: RatesServer) -> None:
    server.queue(Fault.HANG)
    source = RatesSource(Provider.ECB, server.url)
    with pytest.raises(RatesUnavailableError, match="does not answer in time"):
        fetch_rates(source, ASKED, WEDNESDAY, limits=IMPATIENT, backoff=ONCE)
    assert fetch_rates(source, ASKED, WEDNESDAY, backoff=ONCE)


def test_a_response_that_never_ends_is_given_up_however_many_bytes_arrive(server: RatesServer) -> None:
    server.queue(Fault.ENDLESS)
    limits = Limits(whole=0, size=10**12)
    with pytest.raises(RatesUnavailableError, match="took longer than 0 s"):
        fetch_rates(RatesSource(Provider.ECB, server.url), ASKED, WEDNESDAY, limits=limits, backoff=ONCE)


def test_a_response_that_is_too_large_is_refused_before_it_is_received(server: RatesServer) -> None:
    server.queue(Fault.ENDLESS)
    limits = Limits(size=100_000)
    with pytest.raises(RatesFormatError, match="is larger than 100,000 bytes"):
        fetch_rates(RatesSource(Provider.ECB, server.url), ASKED, WEDNESDAY, limits=limits, backoff=SOON)
    assert len(server.requests) == 1


@both_providers
@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        (Fault.FORBIDDEN, RatesRefusedError, "answers with HTTP 403. Check TOTES_RATES_URL"),
        (Fault.HTML, RatesFormatError, "It is HTML or XML"),
        (Fault.EMPTY, RatesMissingError, "no exchange rates since 2026-04-01"),
        (Fault.WRONG_BASE, RatesFormatError, "the base is USD, not EUR"),
        (Fault.NEGATIVE_RATE, RatesFormatError, "should be greater than 0"),
        (Fault.UNASKED_CURRENCY, RatesFormatError, "rates of AUD, which were not asked for"),
        (Fault.REDIRECT, RatesRefusedError, "answers with HTTP 302"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_lasts_fails_at_once(
    server: RatesServer, provider: Provider, fault: Fault, error: type[RatesError], reason: str
) -> None:
    server.queue(fault)
    with pytest.raises(RatesError, match=reason) as raised:
        fetched(server, provider)
    assert type(raised.value) is error
    assert server.url in str(raised.value)
    assert len(server.requests) == 1


def test_an_address_of_something_else_is_refused(server: RatesServer) -> None:
    with pytest.raises(RatesRefusedError, match="answers with HTTP 404"):
        fetch_rates(RatesSource(Provider.ECB, f"{server.url}/elsewhere"), ASKED, WEDNESDAY, backoff=SOON)


def test_a_redirect_on_the_same_host_is_followed(server: RatesServer) -> None:
    server.queue(Fault.REDIRECT, "/v2/rates?from=2026-04-02&base=EUR&providers=ecb&quotes=USD")
    assert fetched(server).suffix == "json"
    assert len(server.requests) == 2


def test_a_redirect_in_a_circle_is_given_up(server: RatesServer) -> None:
    for _ in range(10):
        server.queue(Fault.REDIRECT, "/again")
    with pytest.raises(RatesRefusedError, match="redirects more than 3 times"):
        fetched(server)
    assert len(server.requests) == 4


@pytest.mark.parametrize("location", ["{other}/rates", "http://name:secret@{host}/rates", "ftp://{host}/", "//[/"])
def test_a_redirect_to_another_host_is_not_followed(server: RatesServer, location: str) -> None:
    with RatesServer() as other:
        host = server.url.removeprefix("http://")
        server.queue(Fault.REDIRECT, location.format(other=other.url, host=host))
        with pytest.raises(RatesRefusedError, match="redirects to another host, or to http") as raised:
            fetched(server)
        assert other.requests == []
    assert "secret" not in str(raised.value)
    assert len(server.requests) == 1


def test_what_comes_with_a_redirect_is_not_waited_for() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 1000\r\n\r\n")
        connection.recv(65536)  # until the client closes the connection

    with listening(serve) as listener:
        source = RatesSource(Provider.ECB, f"http://127.0.0.1:{listener.port}")
        with pytest.raises(RatesRefusedError, match="redirects to another host"):
            fetch_rates(source, ASKED, WEDNESDAY, backoff=ONCE)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.invalid"])
def test_a_host_that_cannot_exist_is_refused_by_name(host: str) -> None:
    with pytest.raises(RatesError, match=r"cannot be requested .*Check TOTES_RATES_URL") as raised:
        fetch_rates(RatesSource(Provider.ECB, f"http://{host}"), ASKED, WEDNESDAY, backoff=ONCE)
    assert not raised.value.transient


def test_a_server_that_is_gone_cannot_be_reached() -> None:
    with RatesServer() as server:
        url = server.url
    with pytest.raises(RatesUnavailableError, match=r"cannot be reached: Connection refused\. Check the network"):
        fetch_rates(RatesSource(Provider.ECB, url), ASKED, WEDNESDAY, backoff=ONCE)


def test_a_connection_that_is_closed_without_an_answer_is_lost() -> None:
    with listening(lambda connection: connection.close()) as listener:
        source = RatesSource(Provider.ECB, f"http://127.0.0.1:{listener.port}")
        with pytest.raises(RatesUnavailableError, match=r"cannot be reached: .*"):
            fetch_rates(source, ASKED, WEDNESDAY, backoff=ONCE)


def test_a_body_that_cannot_be_decompressed_is_damaged() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        connection.close()

    with listening(serve) as listener:
        source = RatesSource(Provider.ECB, f"http://127.0.0.1:{listener.port}")
        with pytest.raises(RatesUnavailableError, match="was cut off or damaged"):
            fetch_rates(source, ASKED, WEDNESDAY, backoff=ONCE)


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    certificate = self_signed("localhost", tmp_path)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            certificate.server.wrap_socket(connection, server_side=True)

    with listening(serve) as listener:
        source = RatesSource(Provider.ECB, f"https://localhost:{listener.port}")
        with pytest.raises(RatesCertificateError, match=r"certificate of https://localhost:.* cannot be trusted"):
            fetch_rates(source, ASKED, WEDNESDAY, backoff=SOON)
    assert len(listener.connections) == 1


def test_a_file_of_certificates_that_is_missing_is_named(server: RatesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/authorities.pem")
    source = RatesSource(Provider.ECB, server.url.replace("http:", "https:"))
    with pytest.raises(RatesCertificateError, match="REQUESTS_CA_BUNDLE"):
        fetch_rates(source, ASKED, WEDNESDAY, backoff=SOON)


def test_a_proxy_that_is_no_address_is_named_without_its_password(
    server: RatesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://name:secret@:port")
    with pytest.raises(RatesError, match="HTTP_PROXY") as raised:
        fetched(server)
    assert "secret" not in str(raised.value)


def test_no_password_of_the_users_is_sent(server: RatesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    netrc = tmp_path / "netrc"
    netrc.write_text("default login name password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with listening(serve) as listener, pytest.raises(RatesRefusedError):
        fetch_rates(RatesSource(Provider.ECB, f"http://127.0.0.1:{listener.port}"), ASKED, WEDNESDAY, backoff=ONCE)
    assert len(asked) == 1
    assert b"authorization" not in asked[0].lower()
