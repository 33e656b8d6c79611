"""URLs of zones."""

import pytest

from totes_dagster.errors import SettingsError
from totes_dagster.lake.zone import Zone


@pytest.mark.parametrize(
    "url",
    [
        "",
        "lake",
        "/tmp/lake",
        "s3://",
        "s3:///prefix",
        "file://relative/folder",
        "file:lake",
        "http://bucket/prefix",
        "S4://bucket",
    ],
)
def test_a_url_of_no_lake_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is not the URL of a lake: use s3://bucket, s3://bucket/prefix or"):
        Zone(url)
