"""The processed zone as a Dagster IO manager: what it writes, says and refuses."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dagster import AssetKey, Failure, build_output_context

from totes_dagster.errors import LakeError, SettingsError
from totes_dagster.lake.processed import StarPart
from totes_dagster.orchestration.io_managers.ingestion import IngestionIOManager
from totes_dagster.orchestration.io_managers.processed import ProcessedIOManager
from totes_dagster.remodel.rows import Remodelled
from totes_dagster.remodel.run import RemodelledPart
from totes_dagster_tests.settings import without_credentials

ROWS = pa.table(
    {"design_id": pa.array([1, 2], pa.int32())}
    | {name: ["a", "b"] for name in ("design_name", "file_location", "file_name")}
)


@pytest.fixture
def manager(tmp_path: Path) -> ProcessedIOManager:
    ingestion = IngestionIOManager(url=(tmp_path / "ingestion").as_uri())
    return ProcessedIOManager(url=(tmp_path / "lake").as_uri(), ingestion=ingestion)


def part(batch: int, number: int = 0) -> StarPart:
    name = f"batch={batch}/part-{number}"
    return StarPart("dim_design", batch, f"dim_design/{name}", f"quarantine/design/{name}", {})


def said(manager: ProcessedIOManager, parts: Iterable[RemodelledPart]) -> dict[str, Any]:
    """What the zone says of what it wrote."""
    context = build_output_context(asset_key=AssetKey(["processed", "dim_design"]))
    manager.handle_output(context, parts)
    return {name: value.value for name, value in context.get_logged_metadata().items()}


def test_a_zone_writes_part_by_part_and_says_what(manager: ProcessedIOManager) -> None:
    written: list[list[str]] = []

    def parts() -> Iterator[RemodelledPart]:
        for batch, number in ((3, 0), (3, 1), (4, 0)):
            written.append(manager.zone.paths("dim_design"))
            yield RemodelledPart(part(batch, number), Remodelled(ROWS, ROWS.slice(0, number)))

    metadata = said(manager, parts())
    size, seconds, preview = (metadata.pop(name) for name in ("bytes", "seconds", "preview"))
    assert metadata == {"batches": "3, 4", "batch": 4, "rows": 6, "quarantined": 1, "parts": 3}
    assert size > 0
    assert seconds >= 0
    assert [record.data["design_id"] for record in preview.records] == ["1", "2"]
    # Each is written before the next but one is computed.
    assert all(number - 1 <= len(paths) <= number for number, paths in enumerate(written))
    assert manager.zone.read_part("dim_design/batch=4/part-0").equals(ROWS)
    # A quarantined part is there only where something is set aside.
    assert manager.zone.paths("quarantine") == ["quarantine/design/batch=3/part-1"]
    assert manager.zone.read_part("quarantine/design/batch=3/part-1").equals(ROWS.slice(0, 1))


def test_a_zone_that_lacks_nothing_says_so(manager: ProcessedIOManager) -> None:
    nothing = {"batches": "none were missing", "batch": None, "rows": 0, "quarantined": 0, "parts": 0, "bytes": 0}
    metadata = said(manager, ())
    assert metadata.pop("seconds") >= 0
    assert metadata == nothing


def test_what_was_written_before_a_failure_stays(manager: ProcessedIOManager) -> None:
    def parts() -> Iterator[RemodelledPart]:
        yield RemodelledPart(part(1), Remodelled(ROWS, ROWS.slice(0, 0)))
        raise LakeError("it broke off")

    with pytest.raises(Failure, match="LakeError: it broke off"):
        said(manager, parts())
    assert manager.zone.paths("dim_design") == ["dim_design/batch=1/part-0"]


@pytest.mark.parametrize("key", [["processed", "report"], ["mine", "dim_design"]])
def test_a_zone_writes_nothing_of_anybody_else(manager: ProcessedIOManager, key: list[str]) -> None:
    context = build_output_context(asset_key=AssetKey(key))
    with pytest.raises(Failure, match="Only the platform writes to the processed zone"):
        manager.handle_output(context, [RemodelledPart(part(1), Remodelled(ROWS, ROWS.slice(0, 0)))])
    assert manager.zone.paths("") == []


def test_without_credentials_a_zone_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch)
    with pytest.raises(SettingsError, match="No AWS credentials for s3://totes-unreachable"):
        _ = IngestionIOManager(url="s3://totes-unreachable").zone
