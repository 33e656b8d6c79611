"""Settings of a lake: what is made of them, which are refused, and that no credentials show."""

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import botocore.session
import pytest

from totes_dagster.errors import CredentialsMissingError, LakeAccessDeniedError, SettingsError
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.s3_front import Answer, PassOn, Request
from totes_dagster_tests.settings import without_credentials
from totes_dagster_tests.system.errors.asking import ACTIONS, SECRET_KEY, TOKEN, Front, failure
from totes_dagster_tests.wires import listening


def test_objects_are_created_without_an_acl(front: Front) -> None:
    seen: list[dict[str, str]] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        seen.append(request.headers)
        return pass_on(request)

    assert front(decide).create("payment/part", b"bytes")
    assert not [name for headers in seen for name in headers if name.lower().startswith(("x-amz-acl", "x-amz-grant"))]


def test_missing_credentials_are_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch)
    with pytest.raises(CredentialsMissingError, match=f"No AWS credentials for s3://{bucket}: .*Set AWS_PROFILE") as no:
        Zone(f"s3://{bucket}")
    assert_clear(no.value)


def test_credentials_that_cannot_be_renewed_are_said(
    bucket: str, act: Callable[[Zone], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """They come from a program that fails when it is asked again."""
    given = {
        "Version": 1,
        "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "SecretAccessKey": SECRET_KEY,
        "SessionToken": TOKEN,
        "Expiration": "2000-01-01T00:00:00Z",
    }
    once = tmp_path / "once.json"
    once.write_text(json.dumps(given))
    (tmp_path / "config").write_text(f"[profile renewed]\ncredential_process = sh -c 'cat {once} && rm {once}'\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "renewed")
    assert botocore.session.get_session().full_config["profiles"]["renewed"]
    error = failure(Zone(f"s3://{bucket}"), act)
    assert type(error) is LakeAccessDeniedError
    assert "Renew the AWS credentials" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIAIOSFODNN7EXAMPLE:{quote(SECRET_KEY, safe='')}@bucket/zone",
        f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET_KEY}@bucket/zone",
        f"https://user:{TOKEN}@host/bucket",
        f"file://user:{quote(TOKEN, safe='')}@host/folder",
    ],
)
def test_a_url_with_credentials_is_refused_without_showing_them(url: str) -> None:
    with pytest.raises(SettingsError, match="seems to contain credentials") as raised:
        Zone(url)
    assert_clear(raised.value, SECRET_KEY, TOKEN)


def test_an_endpoint_with_a_password_does_not_show_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{quote(TOKEN, safe='')}@127.0.0.1:9")
    failure(Zone(f"s3://{bucket}"), ACTIONS["create"])


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("s3://A Bucket", {}),
        ("s3://bucket/a//b", {}),
        ("s3://bucket", {"AWS_REGION": "West of London"}),
        ("s3://bucket", {"AWS_ENDPOINT_URL": f"user:{TOKEN}@127.0.0.1:9"}),
        ("s3://bucket", {"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}),
        ("s3://bucket", {"AWS_ENDPOINT_URL": "http://a host"}),
        ("s3://bucket", {"AWS_TIMEOUT": "soon"}),
    ],
)
def test_settings_that_obstore_would_die_of_are_refused(
    bucket: str, url: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        Zone(url)
    assert_clear(raised.value, TOKEN)


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_the_one_that_the_environment_names(
    front: Front, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 knows one of these variables, and all other AWS SDKs the other."""
    signed: list[str] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        signed.append(request.headers["authorization"])
        return pass_on(request)

    monkeypatch.setenv(variable, "eu-south-1")
    front(decide).exists("payment/part")
    assert all("/eu-south-1/s3/aws4_request" in header for header in signed)
    assert signed


def test_without_an_endpoint_of_our_own_it_is_that_of_aws(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    asked: list[bytes] = []

    def proxy(connection: socket.socket) -> None:
        asked.append(connection.recv(4096).splitlines()[0])
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    with listening(proxy) as there:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{there.port}")
        monkeypatch.setenv("NO_PROXY", "")
        failure(Zone(f"s3://{bucket}"), ACTIONS["create"])
    assert asked[0] == f"CONNECT {bucket}.s3.eu-west-2.amazonaws.com:443 HTTP/1.1".encode()
