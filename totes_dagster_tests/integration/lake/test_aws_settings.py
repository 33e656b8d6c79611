"""The lake goes where the AWS SDK goes, and trusts there what it trusts, however that is set."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from totes_dagster.aws import sessions as aws
from totes_dagster.errors import CredentialsMissingError, LakeCertificateError, LakeError, SettingsError
from totes_dagster.lake.endpoint import endpoint_of
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.integration.lake.certified import Authority, with_tls
from totes_dagster_tests.integration.lake.issuing import Environment
from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of
from totes_dagster_tests.wires import listening

KEYS = "aws_access_key_id = of-the-profile\naws_secret_access_key = x\nregion = eu-south-1\n"


@dataclass
class Server:
    """An S3 server, and what it was asked."""

    url: str
    asked: list[Request] = field(default_factory=list)

    def asked_for(self) -> set[tuple[str, str]]:
        """The keys and regions that requests were signed with."""
        scopes = [request.headers["authorization"].partition("Credential=")[2].split("/") for request in self.asked]
        return {(scope[0], scope[2]) for scope in scopes}


@pytest.fixture
def serve(object_store: str) -> Iterator[Callable[[], Server]]:
    """A function that starts one more server in front of the bucket's."""
    with ExitStack() as fronts:

        def start() -> Server:
            def note(request: Request, pass_on: PassOn) -> Answer:
                headers = {name.lower(): value for name, value in request.headers.items()}
                server.asked.append(Request(request.method, request.path, headers, request.body))
                return pass_on(request)

            server = Server("")
            server.url = fronts.enter_context(in_front_of(object_store, note))
            return server

        yield start


@pytest.fixture
def environment(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Settings without an endpoint, a region, or credentials."""
    environment = Environment(tmp_path, monkeypatch)
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        environment.unset(name)
    return environment


def ask_both(bucket: str) -> None:
    """Have the lake and the SDK's own client ask for an object."""
    zone = Zone(f"s3://{bucket}/zone")
    assert zone.create("a/b", b"x")
    assert zone.read("a/b") == b"x"
    body = aws.new_session().client("s3").get_object(Bucket=bucket, Key="zone/a/b")["Body"]
    assert body.read() == b"x"


@pytest.mark.parametrize(
    "profile",
    [
        "[profile own]\nendpoint_url = {url}\n" + KEYS,
        "[profile own]\nservices = here\n" + KEYS + "[services here]\ns3 =\n  endpoint_url = {url}\n",
    ],
    ids=["endpoint_url", "services"],
)
def test_the_endpoint_the_region_and_the_keys_of_a_profile_go_together(
    environment: Environment, serve: Callable[[], Server], bucket: str, profile: str
) -> None:
    server = serve()
    environment.config.write_text(profile.format(url=server.url))
    environment.set("AWS_PROFILE", "own")
    ask_both(bucket)
    assert server.asked_for() == {("of-the-profile", "eu-south-1")}
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "order", [("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), ("AWS_ENDPOINT_URL", "profile")], ids=lambda order: order[0]
)
def test_the_nearer_endpoint_goes_first(
    environment: Environment, serve: Callable[[], Server], bucket: str, order: tuple[str, str]
) -> None:
    near, far = serve(), serve()
    environment.config.write_text(f"[default]\nendpoint_url = {far.url}\n{KEYS}")
    for name, server in zip(order, (near, far), strict=True):
        if name != "profile":
            environment.set(name, server.url)
    ask_both(bucket)
    assert len(near.asked) == 3
    assert not far.asked


@pytest.mark.parametrize("ignored", ["environment", "profile"])
def test_endpoints_that_are_to_be_ignored_are(
    environment: Environment, serve: Callable[[], Server], ignored: str
) -> None:
    server = serve()
    environment.config.write_text(
        f"[default]\nendpoint_url = {server.url}\n{KEYS}ignore_configured_endpoint_urls = {ignored == 'profile'}\n"
    )
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        environment.set(name, server.url)
    if ignored == "environment":
        environment.set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert asked_of_proxy(environment, "bucket") == {"bucket.s3.eu-south-1.amazonaws.com"}
    assert not server.asked


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("", "s3.example.com/bucket/a/b"),
        ("s3 =\n  addressing_style = path\n", "s3.example.com/bucket/a/b"),
        ("s3 =\n  addressing_style = virtual\n", "bucket.s3.example.com/a/b"),
    ],
    ids=["unset", "path", "virtual"],
)
def test_a_bucket_is_in_the_path_or_in_the_host_as_the_profile_says(
    environment: Environment, setting: str, url: str
) -> None:
    environment.config.write_text(f"[default]\nendpoint_url = http://s3.example.com\n{KEYS}{setting}")
    assert asked_of_proxy(environment, "bucket") == {url}


def asked_of_proxy(environment: Environment, bucket: str) -> set[str]:
    """What a proxy is asked for, host and path, both by the lake and by the SDK's own client; no path under TLS."""
    asked: set[str] = set()

    def proxy(connection: socket.socket) -> None:
        _, target, _ = connection.recv(65536).decode().split(maxsplit=2)
        parts = urlsplit(target if "://" in target else f"//{target}")
        asked.add(f"{parts.hostname}{parts.path}")
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    with listening(proxy) as there:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            environment.set(name, f"http://127.0.0.1:{there.port}")
        for name in ("NO_PROXY", "no_proxy"):
            environment.set(name, "")
        with pytest.raises(LakeError):
            Zone(f"s3://{bucket}").read("a/b")
        of_lake = set(asked)
        asked.clear()
        client = aws.new_session().client("s3", config=Config(retries={"total_max_attempts": 1}))
        with pytest.raises((BotoCoreError, ClientError)):
            client.get_object(Bucket=bucket, Key="a/b")
    assert of_lake == asked
    return asked


def test_a_host_that_needs_no_proxy_is_asked_itself(
    environment: Environment, serve: Callable[[], Server], bucket: str
) -> None:
    server = serve()
    environment.config.write_text(f"[default]\nendpoint_url = {server.url}\n{KEYS}")
    for name in ("HTTP_PROXY", "http_proxy"):
        environment.set(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        environment.set(name, "example.com,127.0.0.1")
    ask_both(bucket)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("variables", "region", "url"),
    [
        ({}, "eu-west-2", "https://bucket.s3.eu-west-2.amazonaws.com"),
        ({}, "cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn"),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "eu-west-2", "https://bucket.s3.dualstack.eu-west-2.amazonaws.com"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "us-east-2", "https://bucket.s3-fips.us-east-2.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "https://example.com/s3/"}, "eu-west-2", "https://example.com/s3"),
        ({"AWS_ENDPOINT_URL": "http://[::1]:9000"}, "eu-west-2", "http://[::1]:9000"),
    ],
)
def test_the_endpoint_is_that_of_the_region_and_of_what_else_is_set(
    environment: Environment, variables: dict[str, str], region: str, url: str
) -> None:
    for name, value in {**variables, "AWS_REGION": region}.items():
        environment.set(name, value)
    endpoint = endpoint_of(aws.new_core_session(), "bucket")
    assert (endpoint.url, endpoint.region, endpoint.names_bucket) == (url, region, "bucket." in url)


def test_a_bucket_whose_name_has_dots_is_in_the_path_for_no_certificate_would_cover_it(
    environment: Environment,
) -> None:
    endpoint = endpoint_of(aws.new_core_session("eu-west-2"), "a.dotted.bucket")
    assert (endpoint.url, endpoint.names_bucket) == ("https://s3.eu-west-2.amazonaws.com", False)


@pytest.mark.parametrize("by", ["AWS_CA_BUNDLE", "profile", "REQUESTS_CA_BUNDLE"])
def test_certificates_are_trusted_that_the_settings_name(
    environment: Environment, serve: Callable[[], Server], bucket: str, tmp_path: Path, by: str
) -> None:
    authority, server = Authority.new(tmp_path), serve()
    with with_tls(server.url, authority.server("localhost")) as url:
        named = f"ca_bundle = {authority.file}\n" if by == "profile" else ""
        environment.config.write_text(f"[default]\nendpoint_url = {url}\n{KEYS}{named}")
        if by != "profile":
            environment.set(by, str(authority.file))
        ask_both(bucket)
    assert len(server.asked) == 3


@dataclass(frozen=True)
class Certificate:
    """What is wrong with a certificate, and how one comes to be like that."""

    fault: str
    days: int = 1
    host: str = "localhost"
    is_authority: bool = False
    is_known: bool = True


@pytest.mark.parametrize(
    "certificate",
    [
        Certificate("its authority is not known", is_known=False),
        Certificate("it has expired", days=-1),
        Certificate("it is for another host", host="elsewhere"),
        Certificate("it is the certificate of an authority, not of a server", is_authority=True),
    ],
    ids=lambda certificate: certificate.fault,
)
def test_what_is_wrong_with_a_certificate_is_said(
    environment: Environment, bucket: str, tmp_path: Path, certificate: Certificate
) -> None:
    authority = Authority.new(tmp_path)
    shown = authority.server(certificate.host, days=certificate.days, authority=certificate.is_authority)
    with with_tls("http://127.0.0.1:9", shown) as url:
        environment.config.write_text(f"[default]\nendpoint_url = {url}\n{KEYS}")
        if certificate.is_known:
            environment.set("AWS_CA_BUNDLE", str(authority.file))
        with pytest.raises(LakeCertificateError, match=f"cannot be trusted: {certificate.fault}. Correct the endpoint"):
            Zone(f"s3://{bucket}").read("a/b")


@pytest.mark.parametrize("content", [None, "", "no certificates"], ids=["missing", "empty", "text"])
def test_a_file_of_certificates_that_holds_none_is_named(
    environment: Environment, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    environment.config.write_text(f"[default]\n{KEYS}")
    environment.set("AWS_CA_BUNDLE", str(file))
    with pytest.raises(SettingsError, match=f"The certificates in {file} cannot be read: .*AWS_CA_BUNDLE"):
        Zone("s3://bucket")


def test_the_service_that_gives_instances_their_credentials_is_asked_unless_that_is_disabled(
    environment: Environment,
) -> None:
    asked: list[str] = []

    def note(request: Request, _pass_on: PassOn) -> Answer:
        asked.append(request.path)
        return Answer(404)

    with in_front_of("http://nowhere", note) as url:
        environment.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        with pytest.raises(CredentialsMissingError, match="There are no AWS credentials"):
            Zone("s3://bucket")
        assert not asked
        environment.set("AWS_EC2_METADATA_DISABLED", "false")
        with pytest.raises(CredentialsMissingError, match="There are no AWS credentials"):
            Zone("s3://bucket")
        assert asked
