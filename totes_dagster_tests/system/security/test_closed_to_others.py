"""What the platform keeps is its own: other users of the machine, or of the object store, cannot read it."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from totes_dagster.errors import SettingsError
from totes_dagster.lake.zone import Zone
from totes_dagster.local.stack import LocalStack
from totes_dagster_tests.servers import server_folder


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody can look into."""
    with server_folder() as folder:
        folder.chmod(0o755)
        yield folder


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(path: Path) -> list[str]:
    """What other users can read of a file or a folder and all that is in it, given that they can come to it."""
    mode = path.lstat().st_mode
    found = [f"{path} {mode:o}"] if mode & stat.S_IROTH and not stat.S_ISSOCK(mode) else []
    if stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
        found += [each for inner in path.iterdir() for each in open_to_others(inner)]
    return found


def test_a_new_folder_of_the_lake_is_closed(public_folder: Path) -> None:
    zone = public_folder / "ingestion"
    with umask(0):
        assert Zone(zone.as_uri()).create("staff/part.parquet", b"rows")
    assert open_to_others(zone) == []
    zone.chmod(0o755)
    assert len(open_to_others(zone)) == 3


def test_a_folder_that_everybody_can_read_is_no_lake(public_folder: Path) -> None:
    zone = public_folder / "ingestion"
    zone.mkdir()
    zone.chmod(0o755)
    with pytest.raises(SettingsError, match="open to every user of this machine"):
        Zone(zone.as_uri())
    zone.chmod(0o750)
    assert Zone(zone.as_uri()).create("staff/part.parquet", b"rows")


def test_objects_of_a_bucket_are_their_owners(bucket: str) -> None:
    assert Zone(f"s3://{bucket}/ingestion").create("staff/part.parquet", b"rows")
    client = boto3.client("s3")
    (listed,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    granted = client.get_object_acl(Bucket=bucket, Key=listed["Key"])
    assert [(grant["Grantee"].get("ID"), grant["Permission"]) for grant in granted["Grants"]] == [
        (granted["Owner"]["ID"], "FULL_CONTROL")
    ]


def test_the_embedded_stack_is_closed(public_folder: Path) -> None:
    home = public_folder / ".totes"
    with umask(0o022):
        stack = LocalStack(home).start()
        Zone(stack.lake_url("ingestion")).create("staff/part.parquet", b"rows")
    try:
        assert open_to_others(home) == []
        assert home.stat().st_mode & 0o076 == 0  # to be passed through, at most, by the server's own user
    finally:
        stack.server.release()
