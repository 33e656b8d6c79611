"""Buckets: how they are opened, and how they are asked."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import BaseError
from obstore.store import S3Store

from totes_dagster.aws import sessions as aws
from totes_dagster.errors import CredentialsMissingError, LakeError, SettingsError, one_line
from totes_dagster.lake import s3_errors
from totes_dagster.lake.credentials import Signer
from totes_dagster.lake.endpoint import endpoint_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

T = TypeVar("T")

_TIMEOUT = "60s"  # for a request with its answer; the largest parts are some 30 MB
_CONNECT_TIMEOUT = "5s"
_RETRIES: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""obstore repeats what S3 could not do at the moment; `runtime/retry.py` goes on where this ends."""

_answered: set[str] = set()
"""Endpoints that have answered this process: when one does not any more, that is an outage, and no wrong setting."""


@dataclass(frozen=True)
class Bucket:
    """A bucket, or what is under a prefix of it.

    Attributes:
        store: takes requests; those that are not made by `ask` fail when credentials that a tool rewrites expire.
        endpoint: where they go.
        signer: what they are signed with.
    """

    store: S3Store
    endpoint: str
    signer: Signer

    def ask(self, request: Callable[[], T]) -> T:
        """Send a request to the store; once more with new credentials, where S3 refuses those that it was sent with."""
        return self.signer.signed(request, s3_errors.refuses_credentials)

    def note_answer(self) -> None:
        """Remember that S3 answers."""
        _answered.add(self.endpoint)

    def named_error(self, url: str, doing: str, error: Exception) -> LakeError:
        """Name a failure of a request, see there."""
        return s3_errors.named_error(url, doing, error, answered=self.endpoint in _answered)


def open_bucket(bucket: str, prefix: str) -> Bucket:
    """A bucket, or what is under a prefix of it, with whatever credentials, region and endpoint the AWS SDKs would use.

    Raises:
        CredentialsMissingError: there are no credentials, or they cannot be read.
        SettingsError: the bucket, the region, the endpoint, a file of certificates or a timeout cannot be one.
    """
    session = aws.new_core_session()
    try:
        signer = Signer(session)
    except CredentialsMissingError as error:
        raise CredentialsMissingError(f"No AWS credentials for s3://{bucket}: {error}") from None
    endpoint = endpoint_of(session, bucket)
    config: S3Config = {
        "region": endpoint.region,
        # Each by both of its names, for obstore looks for the other in the environment.
        "endpoint": endpoint.url,
        "aws_endpoint_url_s3": endpoint.url,
        "virtual_hosted_style_request": endpoint.names_bucket,
        "checksum_algorithm": "SHA256",  # a bucket with Object Lock takes nothing without a checksum
    }
    client: ClientConfig = {
        "allow_http": endpoint.url.startswith("http://"),
        # The variables that obstore would read if we said nothing.
        "timeout": os.environ.get("AWS_TIMEOUT") or _TIMEOUT,
        "connect_timeout": os.environ.get("AWS_CONNECT_TIMEOUT") or _CONNECT_TIMEOUT,
    }
    if endpoint.authorities:  # obstore takes no None
        client["root_certificate"] = endpoint.authorities
    try:
        store = S3Store(
            bucket,
            prefix=prefix or None,
            config=config,
            client_options=client,
            retry_config=_RETRIES,
            credential_provider=signer,
        )
    except (BaseError, ValueError) as error:
        reason = one_line(str(error).partition("Debug source")[0])
        raise SettingsError(
            f"s3://{bucket} cannot be opened: {reason} Check the lake's URL and the AWS_ settings."
        ) from error
    return Bucket(store, endpoint.url, signer)
