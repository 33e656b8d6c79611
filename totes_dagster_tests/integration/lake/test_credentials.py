"""Credentials that expire while a lake is open, from every source that the AWS SDK knows: the lake goes on."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from totes_dagster.errors import CredentialsMissingError, LakeAccessDeniedError, LakeUnavailableError, TotesError
from totes_dagster.lake import credentials
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.integration.lake.issuing import SECRET_KEY, Environment, Issuer, source
from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of

RENEWED = ("process", "container", "role", "web identity")
"""Sources that say when their credentials expire."""

ACTIONS: dict[str, Callable[[Zone], Any]] = {
    "create": lambda zone: zone.create("payment/another", b"bytes"),
    "exists": lambda zone: zone.exists("payment/part"),
    "read": lambda zone: zone.read("payment/part"),
    "paths": lambda zone: zone.paths("payment"),
}


@pytest.fixture
def environment(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return Environment(tmp_path, monkeypatch)


@pytest.fixture
def issuer(environment: Environment, object_store: str) -> Iterator[Issuer]:
    """One whose tokens the bucket looks at."""
    issuer = Issuer()
    with in_front_of(object_store, issuer.guard) as endpoint:
        environment.set("AWS_ENDPOINT_URL_S3", endpoint)
        yield issuer


@pytest.fixture(params=RENEWED)
def renewed(request: pytest.FixtureRequest, issuer: Issuer, environment: Environment) -> Iterator[str]:
    """Each source that says when its credentials expire."""
    with source(request.param, issuer, environment):
        yield request.param


def failure(act: Callable[[], Any]) -> TotesError:
    with pytest.raises(TotesError) as raised:
        act()
    return assert_clear(raised.value, SECRET_KEY, "token/")


def test_credentials_are_renewed_before_they_expire(
    renewed: str, issuer: Issuer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their last minutes have come as soon as they are issued, and only the newest are taken."""
    monkeypatch.setattr(credentials, "ASK_EVERY", 0.0)
    zone = Zone(f"s3://{bucket}/zone")
    assert zone.create("payment/part", b"bytes")
    issued = issuer.issued
    for act in ACTIONS.values():
        assert act(zone)
    assert issuer.issued >= issued + len(ACTIONS)
    assert issuer.refused == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_credentials_that_expire_before_their_time_are_replaced_and_the_request_is_repeated(
    renewed: str, issuer: Issuer, bucket: str, action: str
) -> None:
    issuer.lifetime = timedelta(hours=6)
    zone = Zone(f"s3://{bucket}/zone")
    assert zone.create("payment/part", b"bytes")
    issuer.issue()  # to somebody else, which revokes those that the lake has
    assert ACTIONS[action](zone)
    assert issuer.refused > 0


@pytest.mark.parametrize("action", ACTIONS)
def test_keys_that_a_tool_rewrites_in_the_shared_file_are_read_anew(
    issuer: Issuer, environment: Environment, bucket: str, action: str
) -> None:
    environment.write_keys(issuer.issue())
    zone = Zone(f"s3://{bucket}/zone")
    assert zone.create("payment/part", b"bytes")
    environment.write_keys(issuer.issue())
    assert ACTIONS[action](zone)
    assert issuer.refused > 0


def test_many_threads_find_the_new_keys(issuer: Issuer, environment: Environment, bucket: str) -> None:
    environment.write_keys(issuer.issue())
    zone = Zone(f"s3://{bucket}/zone")
    assert zone.create("payment/0", b"bytes")
    environment.write_keys(issuer.issue())
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: zone.create(f"payment/{number}", b"bytes"), range(1, 33)))
    assert len(zone.paths("payment")) == 33


@pytest.mark.parametrize("action", ACTIONS)
def test_keys_that_nobody_rewrites_are_said_to_have_expired(
    issuer: Issuer, environment: Environment, bucket: str, action: str
) -> None:
    environment.write_keys(issuer.issue())
    zone = Zone(f"s3://{bucket}/zone")
    issuer.issue()
    error = failure(lambda: ACTIONS[action](zone))
    assert type(error) is LakeAccessDeniedError
    assert "ExpiredToken: The provided token has expired. Renew the AWS credentials" in str(error)
    assert issuer.refused < 6


def test_a_file_that_is_gone_leaves_the_refusal_as_the_reason(
    issuer: Issuer, environment: Environment, bucket: str
) -> None:
    environment.write_keys(issuer.issue())
    zone = Zone(f"s3://{bucket}/zone")
    issuer.issue()
    environment.credentials.unlink()
    assert "ExpiredToken" in str(failure(lambda: zone.paths("payment")))


def test_a_source_that_is_away_for_a_moment_is_worth_another_attempt(
    issuer: Issuer, environment: Environment, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "ASK_EVERY", 0.0)
    away = False

    def answer(request: Request, pass_on: PassOn) -> Answer:
        return Answer(500, b"try later") if away else issuer.container(request, pass_on)

    with in_front_of("http://nowhere", answer) as url:
        environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        zone = Zone(f"s3://{bucket}/zone")
        assert zone.create("payment/part", b"bytes")
        away = True
        error = failure(lambda: zone.read("payment/part"))
        assert type(error) is LakeUnavailableError
        assert error.transient
        assert f"The lake {zone.url} could not read payment/part: " in str(error)
        away = False
        assert zone.read("payment/part") == b"bytes"


def test_a_role_that_may_not_be_assumed_any_more_is_said(
    issuer: Issuer, environment: Environment, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "ASK_EVERY", 0.0)
    with source("role", issuer, environment):
        zone = Zone(f"s3://{bucket}/zone")
        assert zone.create("payment/part", b"bytes")
        issuer.denies_role = True
        error = failure(lambda: zone.read("payment/part"))
    assert type(error) is LakeAccessDeniedError
    assert "AccessDenied: You may not perform sts:AssumeRole. Renew the AWS credentials" in str(error)


@pytest.mark.parametrize(
    "program", ["/no/such/program", "sh -c 'echo not JSON'", "sh -c 'echo Log in first >&2; exit 1'"]
)
def test_a_program_that_gives_no_credentials_is_said(environment: Environment, bucket: str, program: str) -> None:
    environment.config.write_text(f"[default]\ncredential_process = {program}\n")
    error = failure(lambda: Zone(f"s3://{bucket}"))
    assert type(error) is CredentialsMissingError
    assert f"No AWS credentials for s3://{bucket}: The AWS credentials cannot be read: " in str(error)


def test_credentials_of_the_environment_that_say_they_have_expired_are_said_to_have(
    issuer: Issuer, environment: Environment, bucket: str
) -> None:
    issued = {**issuer.issue(), "Expiration": "2000-01-01T00:00:00Z"}
    environment.set("AWS_ACCESS_KEY_ID", issued["AccessKeyId"])
    environment.set("AWS_SECRET_ACCESS_KEY", issued["SecretAccessKey"])
    environment.set("AWS_SESSION_TOKEN", issued["SessionToken"])
    environment.set("AWS_CREDENTIAL_EXPIRATION", issued["Expiration"])
    error = failure(lambda: Zone(f"s3://{bucket}"))
    assert type(error) is CredentialsMissingError
    assert "are still expired" in str(error)
