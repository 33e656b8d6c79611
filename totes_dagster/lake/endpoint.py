"""Where requests to a bucket go, and which certificates are trusted there, according to the AWS SDK's settings.

The SDK resolves the endpoint, so the lake uses the same one as `aws s3` would: it depends on the environment, the
profile and its `services` section, the region's partition, dual-stack and FIPS endpoints, and the addressing style.
obstore only reads some environment variables: with a profile that names its own server, it would send the profile's
keys to AWS.
"""

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from totes_dagster.aws.sessions import share_models
from totes_dagster.errors import SettingsError, one_line

if TYPE_CHECKING:
    from botocore.session import Session

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION = re.compile(r"[a-z0-9-]+")
_ENDPOINT = re.compile(
    r"https?://([^\s/?#@]+@)?([\w.-]+|\[[\da-f:.]+\])(:\d+)?(/[\w./~%-]*)?", re.ASCII | re.IGNORECASE
)

_NO_ENDPOINT = (
    "The endpoint of S3 is not an http:// or https:// URL of a host. Correct or unset it: AWS_ENDPOINT_URL_S3, "
    "AWS_ENDPOINT_URL, or endpoint_url in the profile."
)


@dataclass(frozen=True)
class Endpoint:
    """Where and how a bucket is reached.

    Attributes:
        url: base URL. It is followed by the bucket's name, unless `names_bucket`, and the path of an object.
        names_bucket: whether the host of the URL contains the bucket's name (virtual-hosted style).
        region: the region that requests are signed for.
        authorities: certificates to trust in addition to the system's, in PEM; None if there are none.
    """

    url: str
    names_bucket: bool
    region: str
    authorities: bytes | None


def endpoint_of(session: "Session", bucket: str) -> Endpoint:
    """The endpoint that a session of the SDK would use for a bucket; nothing is sent.

    Raises:
        SettingsError: the bucket's name, the region, the endpoint, or the certificate file is not valid.
    """
    region = session.get_config_variable("region") or "us-east-1"
    # obstore does not validate these, and panics if it cannot build a request from them.
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(f"{bucket!r} in the URL of the lake is not a valid bucket name.")
    if not _REGION.fullmatch(region):
        raise SettingsError(f"{region!r} is not a valid AWS region. Set AWS_REGION to the region of s3://{bucket}.")
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

    urls: list[str] = []

    def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        urls.append(params["url"])
        return AWSResponse(params["url"], 200, {}, None), {}

    try:
        share_models(session)
        client = session.create_client("s3", region_name=region, config=Config(signature_version=UNSIGNED))
        # A handler of this event can answer a request before it is sent.
        client.meta.events.register("before-call.s3.HeadBucket", answer)
        client.head_bucket(Bucket=bucket)
    except (ValueError, EndpointResolutionError):  # they quote the endpoint, which may hold a password
        raise SettingsError(_NO_ENDPOINT) from None
    except BotoCoreError as error:
        raise SettingsError(
            f"The AWS settings do not say how to reach s3://{bucket}: {one_line(error)} Correct them in the "
            "environment or the profile."
        ) from None
    return urls[0]


def _authorities(session: "Session") -> bytes | None:
    """The certificates in the file that the SDK's settings name."""
    file = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if not file:
        return None
    try:
        # obstore would accept a file without certificates.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        return Path(file).read_bytes()
    except OSError as error:  # includes SSLError
        raise SettingsError(
            f"The certificates in {file} cannot be read: {one_line(error)} AWS_CA_BUNDLE, or ca_bundle in the "
            "profile, must name a file of certificates in PEM."
        ) from error


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:  # a number above 65535
        return 0
