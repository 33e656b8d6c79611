"""Opening buckets, and sending requests to them.

Their credentials are in `credentials.py`, their endpoints in `endpoint.py`, and their errors in `s3_errors.py`.
"""

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

_TIMEOUT = "60s"  # for a request and its response; the largest parts are about 30 MB
_CONNECT_TIMEOUT = "5s"
_RETRIES: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""How obstore retries transient failures; when it gives up, `runtime/retry.py` takes over."""

_answered: set[str] = set()
"""Endpoints that have answered this process: if one stops answering, that is an outage and not a wrong setting."""


@dataclass(frozen=True)
class Bucket:
    """A bucket, or the objects under a prefix of it.

    Attributes:
        store: sends requests. Without `send`, they fail once credentials that a tool rewrites have expired.
        endpoint: URL that requests go to.
        signer: provides the credentials.
    """

    store: S3Store
    endpoint: str
    signer: Signer

    def send(self, request: Callable[[], T]) -> T:
        """Send a request to the store; if S3 refuses its credentials, repeat it once with new ones."""
        return self.signer.signed(request, s3_errors.refuses_credentials)

    def note_answer(self) -> None:
        """Remember that the endpoint answers."""
        _answered.add(self.endpoint)

    def named_error(self, url: str, operation: str, error: Exception) -> LakeError:
        """The named error for a failed request; see `s3_errors.named_error`."""
        return s3_errors.named_error(url, operation, error, answered=self.endpoint in _answered)


def open_bucket(bucket: str, prefix: str) -> Bucket:
    """Open a bucket, or a prefix of it, with the credentials, region and endpoint that the AWS SDK would use.

    Raises:
        CredentialsMissingError: there are no credentials, or they cannot be read.
        SettingsError: the bucket's name, the region, the endpoint, the certificate file or a timeout is not valid.
    """
    session = aws.new_core_session()
    try:
        signer = Signer(session)
    except CredentialsMissingError as error:
        raise CredentialsMissingError(f"No AWS credentials for s3://{bucket}: {error}") from None
    endpoint = endpoint_of(session, bucket)
    config: S3Config = {
        "region": endpoint.region,
        # By both names of the option, because obstore looks for the other one in the environment.
        "endpoint": endpoint.url,
        "aws_endpoint_url_s3": endpoint.url,
        "virtual_hosted_style_request": endpoint.names_bucket,
        "checksum_algorithm": "SHA256",  # a bucket with Object Lock requires a checksum
    }
    client: ClientConfig = {
        "allow_http": endpoint.url.startswith("http://"),
        # The variables that obstore itself reads if these options are not given.
        "timeout": os.environ.get("AWS_TIMEOUT") or _TIMEOUT,
        "connect_timeout": os.environ.get("AWS_CONNECT_TIMEOUT") or _CONNECT_TIMEOUT,
    }
    if endpoint.authorities:  # obstore does not accept None
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
