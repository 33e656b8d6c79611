"""The function that fetches exchange rates, run as Lambda runs it: from its package, against servers that go wrong.

S3 is the emulator's. That AWS enforces its role's rights is not shown here.
"""

import ast
import importlib
import json
import runpy
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from terraform.tests import rates_bank
from terraform.tests.commands import TERRAFORM
from terraform.tests.emulator import Emulator
from terraform.tests.rates_bank import RATES, Bank, body

MODULE = TERRAFORM / "modules" / "exchange_rates"
BUCKET = "landing"
EVENT = {"time": "2026-11-27T15:15:00Z"}
KEY = "exchange_rate/2026-11-27T151500Z.csv"


class Context:
    """What Lambda tells an invocation."""

    def __init__(self, seconds: float) -> None:
        self._milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, aws: Emulator, bank: Bank) -> Iterator[ModuleType]:
    """The module, out of its package, with its environment; it waits a hundredth of the usual time."""
    given = {"LANDING_BUCKET": BUCKET, "BASE_URL": bank.url, "CURRENCIES": "USD+GBP", "DAYS": "14"}
    for name, value in {**aws.environment, **given, "TIMEOUT_SECONDS": "0.5"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(MODULE / "function.zip"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which would keep earlier credentials
    module = importlib.import_module("exchange_rates")
    monkeypatch.setattr(module, "FIRST_DELAY", 0.02)
    yield module
    del sys.modules["exchange_rates"]


@pytest.fixture
def bank() -> Iterator[Bank]:
    with rates_bank.open_bank() as server:
        yield server


@pytest.fixture
def landed(ask: Any) -> Iterator[Callable[[], dict[str, bytes]]]:
    """The objects of an empty bucket, by key."""
    s3 = ask("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})

    def objects() -> dict[str, bytes]:
        keys = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    yield objects
    for key in objects():
        s3.delete_object(Bucket=BUCKET, Key=key)
    s3.delete_bucket(Bucket=BUCKET)


def test_its_package_is_its_source(tmp_path: Path) -> None:
    package = tmp_path / "function.zip"
    runpy.run_path(str(MODULE / "package.py"))["write"](package)
    message = "The package is older than its source: run `make lambda`."
    assert package.read_bytes() == (MODULE / "function.zip").read_bytes(), message
    with zipfile.ZipFile(package) as archive:
        (entry,) = archive.infolist()
        assert archive.read(entry) == (MODULE / "function" / "exchange_rates.py").read_bytes()
        assert (entry.filename, entry.external_attr >> 16) == ("exchange_rates.py", 0o100644)


def test_it_needs_only_what_lambda_has() -> None:
    tree = ast.parse((MODULE / "function" / "exchange_rates.py").read_text(), feature_version=(3, 12))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"boto3", "botocore"}


def test_the_body_lands_as_it_was_received(
    function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]]
) -> None:
    assert function.handler(EVENT, Context(180)) == {"key": KEY, "bytes": len(RATES), "created": True}
    assert landed() == {KEY: RATES}
    asked = "/service/data/EXR/D.USD+GBP.EUR.SP00.A?startPeriod=2026-11-13&format=csvdata"
    assert bank.requests == [asked]


def test_a_repeated_invocation_overwrites_nothing(
    function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]]
) -> None:
    function.handler(EVENT, Context(180))
    bank.queue(body(RATES.replace(b"1.1602", b"1.1603")))
    assert function.handler(EVENT, Context(180))["created"] is False
    assert landed() == {KEY: RATES}


def test_by_hand_it_fetches_a_history_and_names_the_file_by_the_time(
    function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]]
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    key = function.handler({"start": "1999-01-04"}, Context(180))["key"]
    named = datetime.strptime(key, "exchange_rate/%Y-%m-%dT%H%M%SZ.csv").replace(tzinfo=UTC)
    assert before <= named <= datetime.now(UTC)
    assert "startPeriod=1999-01-04&" in bank.requests[0]
    assert landed() == {key: RATES}


def test_a_time_of_another_zone_is_converted(function: ModuleType, landed: Callable[[], dict[str, bytes]]) -> None:
    assert function.handler({"time": "2026-11-27T16:15:00+01:00"}, Context(180))["key"] == KEY


@pytest.mark.parametrize(
    "fault",
    [
        body(b"", status=429),
        body(b"", status=500),
        body(b"<html>", status=503, Content_Type="text/html"),
        body(RATES[:-30], announced=len(RATES)),
        body(RATES[:-20]),
        rates_bank.chunks_cut_off,
        rates_bank.no_connection,
        rates_bank.hang,
        rates_bank.dribble,
    ],
    ids=["429", "500", "503", "cut off", "cut off unannounced", "chunks cut off", "no connection", "hangs", "dribbles"],
)
def test_what_may_pass_is_tried_again(
    fault: Callable[..., None], function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]]
) -> None:
    bank.queue(fault)
    function.handler(EVENT, Context(180))
    assert len(bank.requests) == 2
    assert landed() == {KEY: RATES}


@pytest.mark.parametrize("status", [429, 500])
def test_after_four_attempts_it_fails_and_nothing_lands(
    status: int, function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]]
) -> None:
    bank.queue(*[body(b"", status=status)] * 5)
    with pytest.raises(function.RatesUnavailableError, match=f"returned {status} "):
        function.handler(EVENT, Context(180))
    assert len(bank.requests) == 4
    assert landed() == {}


@pytest.mark.parametrize("as_time", [False, True])
def test_it_waits_as_long_as_it_is_asked_to(
    as_time: bool,
    function: ModuleType,
    bank: Bank,
    landed: Callable[[], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(function.time, "sleep", waited.append)
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    bank.queue(body(b"", status=429, Retry_After=at if as_time else "30"))
    function.handler(EVENT, Context(180))
    assert waited == [pytest.approx(30, abs=2)]
    assert landed() == {KEY: RATES}


def test_it_does_not_wait_longer_than_it_may_run(
    function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function.time, "sleep", lambda _seconds: pytest.fail("it waits"))
    bank.queue(body(b"", status=429, Retry_After="3600"))
    with pytest.raises(function.RatesUnavailableError, match="429"):
        function.handler(EVENT, Context(180))
    assert landed() == {}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (body(b"<!DOCTYPE html><p>Maintenance", Content_Type="text/html; charset=utf-8"), "HTML"),
        (body(b"<!DOCTYPE html><p>Maintenance"), "no columns"),
        (body(b""), "no columns"),
        (body(RATES.partition(b"\n")[0]), "no rates"),
        (body(b"CURRENCY,TIME_PERIOD\r\nUSD,2026-11-27\r\n"), "no columns"),
        (body(b"\xff\xfe\x00"), "not CSV in UTF-8"),
        (body(b"", status=404), "404"),
        (body(b"", status=403), "403"),
        (body(b"", status=302, Location="http://localhost:1/rates.csv"), "redirects to http://localhost:1"),
        (body(b"", status=301, Location="file:///etc/passwd"), "301 .* not allowed"),
        (body(RATES + b"x" * 2000), "longer than 1000 bytes"),
    ],
    ids=["HTML", "HTML as CSV", "empty", "no rates", "columns", "binary", "404", "403", "host", "file", "oversized"],
)
def test_what_is_no_body_of_rates_is_refused_at_once(
    answer: Callable[..., None],
    message: str,
    function: ModuleType,
    bank: Bank,
    landed: Callable[[], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(function, "MOST_BYTES", 1000)
    bank.queue(answer)
    with pytest.raises(function.RatesRefusedError, match=message):
        function.handler(EVENT, Context(180))
    assert len(bank.requests) == 1
    assert landed() == {}


def test_a_redirect_on_the_same_host_is_followed(
    function: ModuleType, bank: Bank, landed: Callable[[], dict[str, bytes]]
) -> None:
    bank.queue(body(b"", status=302, Location="/elsewhere"))
    function.handler(EVENT, Context(180))
    assert bank.requests[1:] == ["/elsewhere"]
    assert landed() == {KEY: RATES}


def test_an_error_of_s3_is_one_of_the_invocation(function: ModuleType, bank: Bank) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        function.handler(EVENT, Context(180))


def test_it_asks_for_nothing_that_its_role_may_not(
    function: ModuleType, aws: Emulator, landed: Callable[[], dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "fetching")  # by which the emulator tells who asks
    function.handler(EVENT, Context(180))
    assert aws.actions(of="fetching") == {"s3:PutObject"}


def test_the_schedules_input_is_what_it_takes() -> None:
    source = (MODULE / "main.tf").read_text()
    (line,) = [line.partition("=")[2].strip() for line in source.splitlines() if line.strip().startswith("input ")]
    assert json.loads(json.loads(line)) == {"time": "<aws.scheduler.scheduled-time>"}
