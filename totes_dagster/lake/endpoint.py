"""Where requests to a bucket go, and which certificates are trusted there: what the AWS SDK makes of its settings.

The SDK is asked, so that the lake goes where `aws s3` would: by the environment, the profile and its `services`
section, the region's partition, its dual-stack and FIPS endpoints, and the style of addressing. obstore knows some
variables of the environment, and would send a profile's keys to AWS where the profile names a server of its own.
"""

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from totes_dagster.errors import SettingsError, one_line

if TYPE_CHECKING:
    from botocore.session import Session

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION = re.compile(r"[a-z0-9-]+")
_ENDPOINT = re.compile(
    r"https?://([^\s/?#@]+@)?([\w.-]+|\[[\da-f:.]+\])(:\d+)?(/[\w./~%-]*)?", re.ASCII | re.IGNORECASE
)

_NO_ENDPOINT = (
    "The endpoint of S3 is no http:// or https:// URL of a host. Correct or unset it: AWS_ENDPOINT_URL_S3, "
    "AWS_ENDPOINT_URL, or endpoint_url in the profile."
)


@dataclass(frozen=True)
class Endpoint:
    """Where and how a bucket is reached.

    Attributes:
        url: what paths of objects follow or, unless `names_bucket`, the bucket and they.
        names_bucket: whether the bucket is part of the URL's host.
        region: the one that requests are signed for.
        authorities: PEM of certificates to trust beside the system's; None for no others.
    """

    url: str
    names_bucket: bool
    region: str
    authorities: bytes | None


def endpoint_of(session: "Session", bucket: str) -> Endpoint:
    """Where a session of the SDK finds a bucket; nothing is sent.

    Raises:
        SettingsError: the bucket, the region, the endpoint, or the file of certificates cannot be one.
    """
    region = session.get_config_variable("region") or "us-east-1"
    # obstore does not look at them, and dies of a request that it cannot put together.
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(f"{bucket!r} in the URL of the lake cannot be a bucket's name.")
    if not _REGION.fullmatch(region):
        raise SettingsError(f"{region!r} cannot be an AWS region. Set AWS_REGION to the one that s3://{bucket} is in.")
    url = _url_of_request(session, bucket, region)
    in_path = urlsplit(url).path.rstrip("/").endswith(f"/{bucket}")
    base = url.rstrip("/").removesuffix(f"/{bucket}") if in_path else url.rstrip("/")
    if not _ENDPOINT.fullmatch(base) or _port_of(base) == 0:
        raise SettingsError(_NO_ENDPOINT)
    return Endpoint(base, not in_path, region, _authorities(session) if base.startswith("https:") else None)


def _url_of_request(session: "Session", bucket: str, region: str) -> str:
    """The URL to which the SDK would send a request for a bucket."""
    from botocore import UNSIGNED  # noqa: PLC0415 - slow to import, and folders do not need it
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, EndpointResolutionError  # noqa: PLC0415

    asked: list[str] = []

    def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        asked.append(params["url"])
        return AWSResponse(params["url"], 200, {}, None), {}

    try:
        client = session.create_client("s3", region_name=region, config=Config(signature_version=UNSIGNED))
        # The SDK's own way to answer a request before it is sent.
        client.meta.events.register("before-call.s3.HeadBucket", answer)
        client.head_bucket(Bucket=bucket)
    except (ValueError, EndpointResolutionError):  # they quote the endpoint, which may hold a password
        raise SettingsError(_NO_ENDPOINT) from None
    except BotoCoreError as error:
        raise SettingsError(
            f"The AWS settings do not say how to reach s3://{bucket}: {one_line(error)} Correct them in the "
            "environment or the profile."
        ) from None
    return asked[0]


def _authorities(session: "Session") -> bytes | None:
    """The certificates of the file that the settings of the SDK name."""
    named = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if not named:
        return None
    try:
        # obstore takes a file without certificates for no certificates at all.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=named)
        return Path(named).read_bytes()
    except OSError as error:  # of which an SSLError is one
        raise SettingsError(
            f"The certificates in {named} cannot be read: {one_line(error)} AWS_CA_BUNDLE, or ca_bundle in the "
            "profile, is to name one file of certificates in PEM."
        ) from error


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:  # a port beyond the last
        return 0
