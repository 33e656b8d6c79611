"""Buckets: how they are opened, and what S3 and the way to it report, as named errors."""

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from totes_dagster.aws import see_that_credentials_can_be_sent
from totes_dagster.errors import (
    BucketMissingError,
    CredentialsMissingError,
    LakeAccessDeniedError,
    LakeError,
    LakeUnavailableError,
    SettingsError,
    WrongRegionError,
    one_line,
)

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Config

_TIMEOUT = "60s"  # for a request with its answer; the largest parts are some 30 MB
_CONNECT_TIMEOUT = "5s"
_RETRIES: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""obstore repeats what S3 could not do at the moment; `stages/retry.py` goes on where this ends."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION = re.compile(r"[a-z0-9-]+")
_ENDPOINT = re.compile(
    r"https?://([^\s/?#@]+@)?([\w.-]+|\[[\da-f:.]+\])(:\d+)?(/[\w./~%-]*)?", re.ASCII | re.IGNORECASE
)

_WRONG_REGION = {"PermanentRedirect", "IllegalLocationConstraintException"}
_BAD_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_PASSING = {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout"}
_PASSING_STATUSES = {307, 408, 429, 500, 502, 503, 504}

_answered: set[str] = set()
"""Endpoints that have answered this process."""


def open_bucket(bucket: str, prefix: str) -> S3Store:
    """A bucket, or what is under a prefix of it, with the credentials and the region that the AWS SDKs would use.

    Raises:
        CredentialsMissingError: there are no credentials.
        SettingsError: the bucket, the region, the endpoint or a timeout cannot be one.
    """
    # boto3 finds credentials and the region wherever the AWS SDKs look; obstore's own search knows no profiles.
    import boto3  # noqa: PLC0415 - slow to import, and folders do not need it
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

    endpoint = _endpoint()
    try:
        # boto3 itself knows AWS_DEFAULT_REGION only.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        see_that_credentials_can_be_sent(session)
        provider = Boto3CredentialProvider(session)
    except (BotoCoreError, ValueError) as error:
        raise CredentialsMissingError(
            f"No AWS credentials for s3://{bucket}: {one_line(error)} Set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or give the task a role."
        ) from error
    region = session.region_name or "us-east-1"
    # obstore does not look at them, and dies of a request that it cannot put together.
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(f"{bucket!r} in the URL of the lake cannot be a bucket's name.")
    if not _REGION.fullmatch(region):
        raise SettingsError(f"{region!r} cannot be an AWS region. Set AWS_REGION to the one that s3://{bucket} is in.")
    if endpoint and not _can_be_asked(endpoint):
        raise SettingsError("AWS_ENDPOINT_URL is no http:// or https:// URL of a host. Correct or unset it.")
    # A bucket with Object Lock takes nothing without a checksum.
    config: S3Config = {"region": region, "checksum_algorithm": "SHA256"}
    if endpoint:  # obstore takes no None
        config["endpoint"] = endpoint
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            config=config,
            client_options={
                "allow_http": endpoint.lower().startswith("http://"),
                # The variables that obstore would read if we said nothing.
                "timeout": os.environ.get("AWS_TIMEOUT") or _TIMEOUT,
                "connect_timeout": os.environ.get("AWS_CONNECT_TIMEOUT") or _CONNECT_TIMEOUT,
            },
            retry_config=_RETRIES,
            credential_provider=provider,
        )
    except (BaseError, ValueError) as error:
        reason = one_line(str(error).partition("Debug source")[0])
        raise SettingsError(
            f"s3://{bucket} cannot be opened: {reason} Check the lake's URL and the AWS_ settings."
        ) from error


def note_answer() -> None:
    """Remember that S3 answers: when it does not any more, that is an outage and not a mistake in the settings."""
    _answered.add(_endpoint())


def is_unexplained(error: Exception) -> bool:
    """Whether S3 refused without saying why, as it does when a HEAD request is to be refused."""
    status = _status_of(str(error))
    return status is not None and status < 500 and not _code_of(str(error))  # noqa: PLR2004 - server errors


def named_error(url: str, doing: str, error: Exception) -> LakeError:
    """Name a failure of a request.

    Args:
        url: the zone's.
        doing: what the zone was asked, for instance `create payment/part.parquet`.
        error: what obstore raised.

    Returns:
        An error of one line, to be raised from None: S3 repeats tokens in the answers that obstore quotes in full.
    """
    text = str(error)
    code, status = _code_of(text), _status_of(text)
    broke_off = status is None and "HttpError" in text
    never_began = broke_off and bool(re.search(r"Error\(\s*Connect,", text))
    kinds: tuple[tuple[bool, type[LakeError], str], ...] = (  # the first that holds counts
        (code == "NoSuchBucket", BucketMissingError, "Create the bucket, or correct the lake's URL."),
        (
            code in _WRONG_REGION or "incorrectly configured region" in text or _names_region(text),
            WrongRegionError,
            "Set AWS_REGION to the region that the bucket is in.",
        ),
        (
            code in _BAD_CREDENTIALS or isinstance(error, UnauthenticatedError),
            LakeAccessDeniedError,
            "Renew the AWS credentials, choose others by AWS_PROFILE, or set the clock right.",
        ),
        (
            isinstance(error, PermissionDeniedError) or status in {401, 403},
            LakeAccessDeniedError,
            "Allow s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject on its objects.",
        ),
        (code in _PASSING or status in _PASSING_STATUSES, LakeUnavailableError, "Try again later."),
        (
            never_began and _endpoint() not in _answered,
            LakeError,
            "Check the region, AWS_ENDPOINT_URL and the network.",
        ),
        (broke_off, LakeUnavailableError, "Try again when it is back."),
        (True, LakeError, ""),
    )
    kind, advice = next((kind, advice) for holds, kind, advice in kinds if holds)
    return kind(f"The lake {url} could not {doing}: {_reason(text)} {advice}".rstrip())


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _can_be_asked(endpoint: str) -> bool:
    try:
        return bool(_ENDPOINT.fullmatch(endpoint)) and urlsplit(endpoint).port != 0
    except ValueError:  # a port beyond the last
        return False


def _reason(text: str) -> str:
    """What S3 says, without what else is in its answer; or what happened on the way to it."""
    said, _, debug = text.partition("Debug source")
    code, message = _code_of(said), re.search(r"<Message>(.*?)</Message>", said, re.DOTALL)
    if code:
        return one_line(f"{code}: {message[1]}" if message else code)
    status = re.search(r"status code: (\d{3} [^:]*)", said)
    if status:
        return one_line(status[1])
    if "kind: Timeout" in debug:
        return "No answer in time."
    # Rust's own notation of the error, whose innermost words are the ones that say something.
    inner = re.findall(r'(?:message|error): "([^"]*)"', debug)
    broken = re.search(r"hyper::Error\(\s*(\w+)", debug)
    if inner or broken:
        return one_line(inner[-1] if inner else f"The connection broke off ({broken[1]})" if broken else "")
    return one_line(said.split(" - ")[-1])


def _code_of(text: str) -> str:
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else ""


def _status_of(text: str) -> int | None:
    status = re.search(r"status code: (\d{3})", text)
    return int(status[1]) if status else None


def _names_region(text: str) -> bool:
    """Whether S3 says which region it expected; the same code comes with credentials that are none."""
    return _code_of(text) == "AuthorizationHeaderMalformed" and "region" in text
