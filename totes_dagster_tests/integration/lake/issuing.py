"""Sources of credentials that live for a short time, and a bucket that refuses those that have expired."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of, refusal

_OF_THE_BUCKET = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
}
_OF_THE_MACHINE = {"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass
class Issuer:
    """Issues session tokens; only the newest is valid.

    Attributes:
        lifetime: how long it says that a token lives.
        issued: how many it has issued.
        refused: how many requests S3 refused for their tokens.
        denies_role: whether the role may not be assumed any more.
    """

    lifetime: timedelta = timedelta(seconds=40)
    issued: int = 0
    refused: int = 0
    denies_role: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self) -> dict[str, str]:
        """New credentials, in the words of the SDK's own sources; those before expire at once."""
        with self._lock:
            self.issued += 1
            return {
                "AccessKeyId": "testing",
                "SecretAccessKey": SECRET_KEY,
                "SessionToken": self.valid,
                "Expiration": (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }

    @property
    def valid(self) -> str:
        """The token that S3 takes."""
        return f"token/{self.issued}=="

    def guard(self, request: Request, pass_on: PassOn) -> Answer:
        """What S3 does with a request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        if headers.get("x-amz-security-token") == self.valid:
            return pass_on(request)
        self.refused += 1
        return refusal(400, "ExpiredToken", "The provided token has expired.")

    def container(self, _request: Request, _pass_on: PassOn) -> Answer:
        """What the endpoint answers that a container gets its credentials from."""
        issued = self.issue()
        body = {"Token": issued.pop("SessionToken"), **issued}
        return Answer(200, json.dumps(body).encode(), {"content-type": "application/json"})

    def sts(self, request: Request, _pass_on: PassOn) -> Answer:
        """What the Security Token Service answers to whoever assumes a role."""
        action = parse_qs(request.body.decode())["Action"][0]
        if self.denies_role:
            error = f"<Code>AccessDenied</Code><Message>You may not perform sts:{action}</Message>"
            return Answer(403, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode())
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in self.issue().items())
        xml = (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>{inner}'
            f"</Credentials></{action}Result></{action}Response>"
        )
        return Answer(200, xml.encode(), {"content-type": "text/xml"})


class Environment:
    """The SDK's settings: the environment, the two files that it names, and nothing of this machine's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = folder / "config"
        self.credentials = folder / "credentials"
        self.folder = folder
        self.set = monkeypatch.setenv
        for name in os.environ:
            if name in _OF_THE_MACHINE or (name.startswith("AWS_") and name not in _OF_THE_BUCKET):
                monkeypatch.delenv(name)
        self.unset = monkeypatch.delenv
        self.set("AWS_CONFIG_FILE", str(self.config))
        self.set("AWS_SHARED_CREDENTIALS_FILE", str(self.credentials))
        self.set("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.unset(name)

    def write_keys(self, issued: dict[str, str]) -> None:
        """Write credentials as a tool does that renews them: without saying when they expire."""
        self.credentials.write_text(
            f"[default]\naws_access_key_id = {issued['AccessKeyId']}\n"
            f"aws_secret_access_key = {issued['SecretAccessKey']}\naws_session_token = {issued['SessionToken']}\n"
        )


@contextmanager
def source(kind: str, issuer: Issuer, environment: Environment) -> Iterator[None]:
    """A source of credentials, as the environment and its files name it, for as long as the block runs."""
    if kind == "process":
        with in_front_of("http://nowhere", lambda *_: _as_program(issuer)) as url:
            environment.config.write_text(f"[default]\ncredential_process = curl --silent --noproxy * {url}\n")
            yield
    elif kind == "container":
        with in_front_of("http://nowhere", issuer.container) as url:
            environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/credentials")
            yield
    else:
        role = "arn:aws:iam::123456789012:role/platform"
        with in_front_of("http://nowhere", issuer.sts) as url:
            environment.set("AWS_ENDPOINT_URL_STS", url)
            if kind == "role":
                keys = f"aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {SECRET_KEY}\n"
                environment.config.write_text(
                    f"[default]\nrole_arn = {role}\nsource_profile = user\n[profile user]\n{keys}"
                )
            else:
                token = environment.folder / "identity"
                token.write_text("an.identity.token")
                environment.set("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
                environment.set("AWS_ROLE_ARN", role)
            yield


def _as_program(issuer: Issuer) -> Answer:
    return Answer(200, json.dumps({"Version": 1, **issuer.issue()}).encode())
