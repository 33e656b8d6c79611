"""Every way in which a bucket fails, as S3 words it: what may pass is told from what will not, and no token shows."""

from collections.abc import Callable
from typing import Any

import pytest

from totes_dagster.errors import (
    BucketMissingError,
    LakeAccessDeniedError,
    LakeError,
    LakeUnavailableError,
    ObjectArchivedError,
    WrongRegionError,
)
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of, refusal
from totes_dagster_tests.system.errors.asking import ACTIONS, TOKEN, Front, always, failure


def test_a_missing_bucket_is_said(bucket: str, act: Callable[[Zone], Any]) -> None:
    error = failure(Zone("s3://no-such-bucket/zone"), act)
    assert type(error) is BucketMissingError
    assert "s3://no-such-bucket/zone" in str(error)
    assert "NoSuchBucket: The specified bucket does not exist. Create the bucket" in str(error)


def test_a_right_that_is_lacking_is_said(lake: Zone, guarded: None, act: Callable[[Zone], Any]) -> None:
    error = failure(Zone(lake.url), act)
    assert type(error) is LakeAccessDeniedError
    assert lake.url in str(error)
    assert "AccessDenied: " in str(error)
    assert "Allow s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject" in str(error)


@pytest.mark.parametrize(
    ("variable", "code"),
    [("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch")],
)
def test_wrong_credentials_are_said(
    lake: Zone, guarded: None, act: Callable[[Zone], Any], variable: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "AKIAIOSFODNN7EXAMPLE")
    error = failure(Zone(lake.url), act)
    assert type(error) is LakeAccessDeniedError
    assert f"{code}: " in str(error)
    assert "Renew the AWS credentials" in str(error)


def test_a_token_that_s3_quotes_is_not_shown(front: Front, act: Callable[[Zone], Any]) -> None:
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
def test_a_wrong_region_is_said(front: Front, act: Callable[[Zone], Any], answer: Answer) -> None:
    error = failure(front(always(answer)), act)
    assert type(error) is WrongRegionError
    assert "Set AWS_REGION" in str(error)


def test_credentials_that_are_none_are_not_taken_for_a_wrong_region(front: Front) -> None:
    malformed = refusal(400, "AuthorizationHeaderMalformed", "A non-empty Access Key (AKID) must be provided.")
    assert type(failure(front(always(malformed)), ACTIONS["create"])) is LakeAccessDeniedError


@pytest.mark.parametrize(("more", "said"), [("<StorageClass>GLACIER</StorageClass>", " (GLACIER)"), ("", "")])
def test_an_archived_object_is_not_taken_for_a_right_that_is_lacking(front: Front, more: str, said: str) -> None:
    archived = refusal(403, "InvalidObjectState", "The operation is not valid for the object's storage class", more)
    error = failure(front(always(archived)), ACTIONS["read"])
    assert type(error) is ObjectArchivedError
    assert f"Restore the object from the archive{said} first" in str(error)
    assert "Allow" not in str(error)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "advice"),
    [
        (403, "RequestTimeTooSkewed", "The difference is too large.", LakeAccessDeniedError, "Correct the clock"),
        (403, "AccountProblem", "There is a problem.", LakeAccessDeniedError, "its owner has to contact AWS"),
        (403, "AllAccessDisabled", "All access is disabled.", LakeAccessDeniedError, "its owner has to contact AWS"),
        (400, "KMS.DisabledException", "The key is disabled.", LakeError, "Enable the KMS key"),
        (
            403,
            "AccessDenied",
            "User is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-2:1:key/1",
            LakeAccessDeniedError,
            "Allow kms:GenerateDataKey and kms:Decrypt with the bucket's key.",
        ),
    ],
)
def test_what_is_no_right_on_the_bucket_is_said_for_what_it_is(
    front: Front, status: int, code: str, message: str, kind: type[LakeError], advice: str
) -> None:
    error = failure(front(always(refusal(status, code, message))), ACTIONS["create"])
    assert type(error) is kind
    assert f"{code}: {message}" in str(error)
    assert advice in str(error)
    assert "s3:GetObject" not in str(error)


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
    mistaken = failure(Zone(f"s3://{bucket}"), ACTIONS[action])
    assert type(mistaken) is LakeError
    assert "Connection refused. Check the region, AWS_ENDPOINT_URL" in str(mistaken)
    with in_front_of("http://nowhere", always(Answer(headers={"etag": '"1"'}))) as there:
        monkeypatch.setenv("AWS_ENDPOINT_URL", there)
        lake = Zone(f"s3://{bucket}/zone")
        lake.create("payment/part", b"")
    outage = failure(lake, ACTIONS[action])
    assert type(outage) is LakeUnavailableError
    assert "Connection refused. Try again when it is back." in str(outage)


def test_a_store_that_cannot_create_conditionally_is_said(front: Front) -> None:
    unable = refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
    error = failure(front(always(unable)), ACTIONS["create"])
    assert type(error) is LakeError
    assert "NotImplemented: A header you provided" in str(error)
