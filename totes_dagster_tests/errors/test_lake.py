"""Every way in which a bucket fails, as S3 words it: what may pass is told from what will not, and no token shows."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

import boto3
import botocore.session
import pyarrow as pa
import pytest
import requests

from totes_dagster.errors import (
    BucketMissingError,
    CredentialsMissingError,
    LakeAccessDeniedError,
    LakeError,
    LakeUnavailableError,
    SettingsError,
    TotesError,
    WrongRegionError,
)
from totes_dagster.lake.store import Lake
from totes_dagster_tests.errors.exposure import assert_clear
from totes_dagster_tests.errors.s3_front import Answer, Decide, PassOn, Request, in_front_of, refusal
from totes_dagster_tests.errors.wires import listening

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBYaDKq/N0t+Sh0wn=="
ROWS = pa.table({"payment_id": pa.array([1], pa.int32())})
ACTIONS: dict[str, Callable[[Lake], Any]] = {
    "create": lambda lake: lake.create("payment/part", b"bytes"),
    "exists": lambda lake: lake.exists("payment/part"),
    "read": lambda lake: lake.read("payment/part"),
    "paths": lambda lake: lake.paths("payment"),
}

Front = Callable[[Decide], Lake]


@pytest.fixture(params=ACTIONS)
def act(request: pytest.FixtureRequest) -> Callable[[Lake], Any]:
    """Each thing that one asks of a lake."""
    return ACTIONS[request.param]


@pytest.fixture
def lake(bucket: str) -> Lake:
    return Lake(f"s3://{bucket}/zone")


@pytest.fixture
def front(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A function that puts something in front of the bucket, and gives the lake as it is seen from there."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    fronts: list[AbstractContextManager[str]] = []

    def put(decide: Decide) -> Lake:
        front = in_front_of(boto3.client("s3").meta.endpoint_url, decide)
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.__enter__())
        fronts.append(front)
        return Lake(f"s3://{bucket}/zone")

    yield put
    for front in fronts:
        front.__exit__(None, None, None)


def failure(lake: Lake, act: Callable[[Lake], Any]) -> TotesError:
    with pytest.raises(TotesError) as raised:
        act(lake)
    return assert_clear(raised.value, SECRET_KEY, TOKEN)


def always(answer: Answer) -> Decide:
    return lambda _request, _pass_on: answer


def test_a_missing_bucket_is_said(bucket: str, act: Callable[[Lake], Any]) -> None:
    error = failure(Lake("s3://no-such-bucket/zone"), act)
    assert type(error) is BucketMissingError
    assert "s3://no-such-bucket/zone" in str(error)
    assert "NoSuchBucket: The specified bucket does not exist. Create the bucket" in str(error)


@pytest.fixture
def guarded(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that from now on looks at who asks; the environment is that of a user who may do nothing."""
    iam = boto3.client("iam")
    name = f"stranger-to-{lake.url.split('/')[2]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    switch = f"{iam.meta.endpoint_url}/moto-api/reset-auth"
    requests.post(switch, data="0", timeout=10).raise_for_status()
    yield
    requests.post(switch, data="inf", timeout=10).raise_for_status()


def test_a_right_that_is_lacking_is_said(lake: Lake, guarded: None, act: Callable[[Lake], Any]) -> None:
    error = failure(Lake(lake.url), act)
    assert type(error) is LakeAccessDeniedError
    assert lake.url in str(error)
    assert "AccessDenied: " in str(error)
    assert "Allow s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject" in str(error)


@pytest.mark.parametrize(
    ("variable", "code"),
    [("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch")],
)
def test_wrong_credentials_are_said(
    lake: Lake, guarded: None, act: Callable[[Lake], Any], variable: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "AKIAIOSFODNN7EXAMPLE")
    error = failure(Lake(lake.url), act)
    assert type(error) is LakeAccessDeniedError
    assert f"{code}: " in str(error)
    assert "Renew the AWS credentials" in str(error)


def test_a_token_that_s3_quotes_is_not_shown(front: Front, act: Callable[[Lake], Any]) -> None:
    """S3 answers with the token that has expired, and with the request as it would have signed it, token and all."""
    expired = refusal(400, "ExpiredToken", "The provided token has expired.", f"<Token-0>{TOKEN}</Token-0>")
    error = failure(front(always(expired)), act)
    assert type(error) is LakeAccessDeniedError
    assert "ExpiredToken: The provided token has expired. Renew the AWS credentials" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(
            301,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint.",
            "<Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint>",
            x_amz_bucket_region="eu-west-1",
        ),
        refusal(
            400,
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'eu-west-2' is wrong; expecting 'eu-west-1'",
            "<Region>eu-west-1</Region>",
        ),
        refusal(400, "IllegalLocationConstraintException", "The eu-west-1 location constraint is incompatible."),
    ],
    ids=["redirect", "malformed header", "illegal location"],
)
def test_a_wrong_region_is_said(front: Front, act: Callable[[Lake], Any], answer: Answer) -> None:
    error = failure(front(always(answer)), act)
    assert type(error) is WrongRegionError
    assert "Set AWS_REGION" in str(error)


def test_credentials_that_are_none_are_not_taken_for_a_wrong_region(front: Front) -> None:
    malformed = refusal(400, "AuthorizationHeaderMalformed", "A non-empty Access Key (AKID) must be provided.")
    assert type(failure(front(always(malformed)), ACTIONS["create"])) is LakeAccessDeniedError


SLOW_DOWN = refusal(503, "SlowDown", "Please reduce your request rate.")


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        *((action, SLOW_DOWN) for action in ACTIONS),
        ("create", refusal(500, "InternalError", "We encountered an internal error. Please try again.")),
        ("create", Answer(502, b"<html>\n<h1>Bad Gateway</h1>\n</html>")),
        ("create", Answer(lost=True)),
    ],
)
def test_what_s3_cannot_do_now_is_asked_again_and_then_worth_another_attempt(
    front: Front, action: str, answer: Answer
) -> None:
    asked = []

    def decide(request: Request, _pass_on: PassOn) -> Answer:
        asked.append(request.method)
        return answer

    error = failure(front(decide), ACTIONS[action])
    assert type(error) is LakeUnavailableError
    assert error.transient
    assert len(asked) > 1


def test_what_passes_soon_is_not_noticed(front: Front) -> None:
    asked: list[str] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        asked.append(request.path)
        return pass_on(request) if asked.count(request.path) > 1 else refusal(503, "SlowDown", "Reduce your rate.")

    lake = front(decide)
    assert lake.create("payment/part", b"bytes")
    assert lake.exists("payment/part")


@pytest.mark.parametrize("action", ["create", "read"])
def test_a_request_that_is_never_answered_ends_some_time(
    front: Front, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_TIMEOUT", "100ms")
    error = failure(front(always(Answer(never=True))), ACTIONS[action])
    assert type(error) is LakeUnavailableError
    assert "No answer in time." in str(error)


@pytest.mark.parametrize("action", ["create", "read"])
def test_an_endpoint_that_never_answered_is_a_mistake_and_one_that_did_has_an_outage(
    bucket: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_front_of("http://nowhere", always(Answer(404))) as nowhere:
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)
    mistaken = failure(Lake(f"s3://{bucket}"), ACTIONS[action])
    assert type(mistaken) is LakeError
    assert "Connection refused. Check the region, AWS_ENDPOINT_URL" in str(mistaken)
    with in_front_of("http://nowhere", always(Answer(headers={"etag": '"1"'}))) as there:
        monkeypatch.setenv("AWS_ENDPOINT_URL", there)
        lake = Lake(f"s3://{bucket}/zone")
        lake.create("payment/part", b"")
    outage = failure(lake, ACTIONS[action])
    assert type(outage) is LakeUnavailableError
    assert "Connection refused. Try again when it is back." in str(outage)


def test_a_store_that_cannot_create_conditionally_is_said(front: Front) -> None:
    unable = refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
    error = failure(front(always(unable)), ACTIONS["create"])
    assert type(error) is LakeError
    assert "NotImplemented: A header you provided" in str(error)


def lose_the_first_answer_to_a_put(kept: list[Answer]) -> Decide:
    """Let a request be carried out, and close the connection instead of answering."""

    def decide(request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        if request.method != "PUT":
            return answer
        kept.append(answer)
        return Answer(lost=True) if len(kept) == 1 else answer

    return decide


def test_an_object_whose_creation_was_not_answered_is_ours(front: Front) -> None:
    answers: list[Answer] = []
    lake = front(lose_the_first_answer_to_a_put(answers))
    assert lake.create("batches/0000000001.json", b"ours")
    assert [answer.status for answer in answers] == [200, 412]
    assert lake.read("batches/0000000001.json") == pa.py_buffer(b"ours")


def test_a_part_whose_creation_was_not_answered_is_ours(front: Front) -> None:
    part = front(lose_the_first_answer_to_a_put([])).create_part("payment/part", ROWS)
    assert part is not None
    assert part.rows == 1


def test_an_object_that_another_created_is_not_ours_however_the_answers_go(front: Front, lake: Lake) -> None:
    assert lake.create("batches/0000000001.json", b"theirs")
    mine = front(lose_the_first_answer_to_a_put([]))
    assert not mine.create("batches/0000000001.json", b"mine")
    assert lake.read("batches/0000000001.json") == pa.py_buffer(b"theirs")


def test_a_creation_that_timed_out_may_be_repeated_whatever_came_of_it(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_TIMEOUT", "500ms")
    put: list[Answer] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        if request.method != "PUT":
            return answer
        put.append(answer)
        return Answer(never=True) if len(put) == 1 else answer

    lake = front(decide)
    assert type(failure(lake, ACTIONS["create"])) is LakeUnavailableError
    assert len(put) == 1, "a request that timed out must not be repeated as if it had not been carried out"
    assert ACTIONS["create"](lake)


def test_a_conflict_that_came_to_nothing_is_not_taken_for_an_object(front: Front) -> None:
    """S3 answers 409 to one of two requests at once, and the other may still fail."""
    asked: list[str] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        asked.append(request.method)
        if asked.count("PUT") > 1 or request.method != "PUT":
            return pass_on(request)
        return refusal(409, "ConditionalRequestConflict", "A conflicting conditional operation is in progress.")

    lake = front(decide)
    assert type(failure(lake, ACTIONS["create"])) is LakeUnavailableError
    assert ACTIONS["create"](lake)


def test_objects_are_created_without_an_acl(front: Front) -> None:
    seen: list[dict[str, str]] = []

    def decide(request: Request, pass_on: PassOn) -> Answer:
        seen.append(request.headers)
        return pass_on(request)

    assert front(decide).create("payment/part", b"bytes")
    assert not [name for headers in seen for name in headers if name.lower().startswith(("x-amz-acl", "x-amz-grant"))]


def test_missing_credentials_are_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CredentialsMissingError, match=f"No AWS credentials for s3://{bucket}: .*Set AWS_PROFILE") as no:
        Lake(f"s3://{bucket}")
    assert_clear(no.value)


def test_credentials_that_cannot_be_renewed_are_said(
    bucket: str, act: Callable[[Lake], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
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
    error = failure(Lake(f"s3://{bucket}"), act)
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
    with pytest.raises(SettingsError, match="seems to hold credentials") as raised:
        Lake(url)
    assert_clear(raised.value, SECRET_KEY, TOKEN)


def test_an_endpoint_with_a_password_does_not_show_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{quote(TOKEN, safe='')}@127.0.0.1:9")
    failure(Lake(f"s3://{bucket}"), ACTIONS["create"])


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
        Lake(url)
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
        failure(Lake(f"s3://{bucket}"), ACTIONS["create"])
    assert asked[0] == b"CONNECT s3.eu-west-2.amazonaws.com:443 HTTP/1.1"
