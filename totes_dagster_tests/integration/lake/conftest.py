"""Zones of the lake to make claims about: one in a folder, one in a bucket of a real object store."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from totes_dagster.lake.zone import Zone

Damage = Callable[[str, bytes], None]
"""Puts bytes in the place of an object, as no platform would."""


@pytest.fixture(params=["folder", "bucket"])
def zone(request: pytest.FixtureRequest, tmp_path: Path) -> Zone:
    """An empty zone."""
    if request.param == "folder":
        return Zone((tmp_path / "a lake").as_uri())
    return Zone(f"s3://{request.getfixturevalue('bucket')}/a/zone")


@pytest.fixture
def damage(zone: Zone, tmp_path: Path) -> Damage:
    def replace(path: str, data: bytes) -> None:
        parts = urlsplit(zone.url)
        if parts.scheme == "s3":
            key = f"{parts.path.strip('/')}/{path}"
            boto3.client("s3").put_object(Bucket=parts.netloc, Key=key, Body=data)
        else:
            (tmp_path / "a lake" / path).write_bytes(data)

    return replace


@pytest.fixture
def stored(zone: Zone, tmp_path: Path) -> Callable[[], list[bytes]]:
    """A function that returns all bytes that are kept anywhere in the zone, hidden or not."""

    def look() -> list[bytes]:
        parts = urlsplit(zone.url)
        if parts.scheme != "s3":
            return [path.read_bytes() for path in (tmp_path / "a lake").rglob("*") if path.is_file()]
        client = boto3.client("s3")
        assert "Uploads" not in client.list_multipart_uploads(Bucket=parts.netloc)
        keys = [found["Key"] for found in client.list_objects_v2(Bucket=parts.netloc).get("Contents", [])]
        return [client.get_object(Bucket=parts.netloc, Key=key)["Body"].read() for key in keys]

    return look
