"""The databases and the zones of the lake as Dagster resources."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from dagster import AssetKey, Failure, build_input_context, build_output_context
from moto import mock_aws
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.errors import LakeError, SettingsError
from totes_dagster.orchestration.io_manager import ZoneIOManager
from totes_dagster.orchestration.resources.databases import TotesysResource, WarehouseResource
from totes_dagster.remodel.run import Remodelled, StarPart

Parts = Iterator[tuple[StarPart, Remodelled]]

ROWS = pa.table(
    {"design_id": pa.array([1, 2], pa.int32())}
    | {name: ["a", "b"] for name in ("design_name", "file_location", "file_name")}
)


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return ZoneIOManager(zone_name="processed", url=(tmp_path / "lake").as_uri())


def part(batch: int, number: int = 0) -> StarPart:
    name = f"batch={batch}/part-{number}"
    return StarPart("dim_design", batch, f"dim_design/{name}", f"quarantine/design/{name}", {})


def said(zone: Zone, parts: Callable[[], Parts]) -> dict[str, Any]:
    """What the zone says of what it wrote."""
    context = build_output_context(asset_key=AssetKey(["processed", "dim_design"]))
    zone.handle_output(context, parts)
    return {name: value.value for name, value in context.get_logged_metadata().items()}


@pytest.mark.parametrize(("resource", "name"), [(TotesysResource, "totesys"), (WarehouseResource, "warehouse")])
def test_a_database_has_its_name_and_hides_its_url(
    resource: type[TotesysResource | WarehouseResource], name: str
) -> None:
    database = resource(url="postgresql://reader:s3cret@db.example.com/x").database()
    assert (database.name, database.url) == (name, "postgresql://reader:s3cret@db.example.com/x")
    assert "s3cret" not in repr(database)


@pytest.mark.parametrize("resource", [TotesysResource, WarehouseResource])
def test_a_database_can_come_from_a_secret(
    resource: type[TotesysResource | WarehouseResource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    secret = {"host": "db.example.com", "port": 5432, "username": "reader", "password": "s3cret", "dbname": "x"}
    with mock_aws():
        boto3.client("secretsmanager").create_secret(Name="a-secret", SecretString=json.dumps(secret))
        assert conninfo_to_dict(resource(secret_id="a-secret").database().url)["host"] == "db.example.com"
        with pytest.raises(SettingsError, match="another-secret"):
            resource(secret_id="another-secret").database()


def test_a_zone_hands_a_table_over_unread(zone: Zone) -> None:
    assert zone.load_input(build_input_context(asset_key=AssetKey(["ingestion", "payment"]))) is zone.lake
    assert zone.lake.paths("payment") == []


def test_a_zone_writes_part_by_part_and_says_what(zone: Zone) -> None:
    written: list[list[str]] = []

    def parts() -> Parts:
        for batch, number in ((3, 0), (3, 1), (4, 0)):
            written.append(zone.lake.paths("dim_design"))
            yield part(batch, number), Remodelled(ROWS, ROWS.slice(0, number))

    metadata = said(zone, parts)
    size, seconds, preview = (metadata.pop(name) for name in ("bytes", "seconds", "preview"))
    assert metadata == {"batches": "3, 4", "batch": 4, "rows": 6, "quarantined": 1, "parts": 3}
    assert size > 0
    assert seconds >= 0
    assert [record.data["design_id"] for record in preview.records] == ["1", "2"]
    # Each is written before the next is computed.
    assert [len(paths) for paths in written] == [0, 1, 2]
    assert zone.lake.read_part("dim_design/batch=4/part-0").equals(ROWS)
    # A quarantined part is there only where something is set aside.
    assert zone.lake.paths("quarantine") == ["quarantine/design/batch=3/part-1"]
    assert zone.lake.read_part("quarantine/design/batch=3/part-1").equals(ROWS.slice(0, 1))


def test_a_zone_that_lacks_nothing_says_so(zone: Zone) -> None:
    nothing = {"batches": "none were missing", "batch": None, "rows": 0, "quarantined": 0, "parts": 0, "bytes": 0}
    metadata = said(zone, lambda: iter(()))
    assert metadata.pop("seconds") >= 0
    assert metadata == nothing


def test_what_was_written_before_a_failure_stays(zone: Zone) -> None:
    def parts() -> Parts:
        yield part(1), Remodelled(ROWS, ROWS.slice(0, 0))
        raise LakeError("it broke off")

    with pytest.raises(Failure, match="LakeError: it broke off"):
        said(zone, parts)
    assert zone.lake.paths("dim_design") == ["dim_design/batch=1/part-0"]


def test_without_credentials_a_zone_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SettingsError, match="No AWS credentials for s3://totes-unreachable"):
        _ = ZoneIOManager(zone_name="ingestion", url="s3://totes-unreachable").lake
