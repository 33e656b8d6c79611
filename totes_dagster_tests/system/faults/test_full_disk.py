"""A lake in a folder whose disk is full: the refresh says so, nothing half-written is taken for whole."""

import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from totes_dagster.config.platform import Platform
from totes_dagster_tests.system.faults.matrix import wrongs_after
from totes_dagster_tests.system.faults.refreshing import End, RefreshProcess
from totes_dagster_tests.system.faults.scenes import Scene

pytestmark = pytest.mark.slow


def limit_files(size: int, prepare: Callable[[], None] | None) -> None:
    """Let no file become larger, as if the disk had no more room."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if prepare:
        prepare()


def files(platform: Platform) -> dict[Path, int]:
    """The size of every file that is in the lake, hidden or not."""
    zones = [Path(urlsplit(zone.url).path) for zone in (platform.lake.ingestion, platform.lake.processed)]
    return {
        file.relative_to(zone.parent): file.stat().st_size
        for zone in zones
        for file in zone.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("share", [0, 0.9])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(scene: Scene, share: float) -> None:
    with scene.copy() as settings:
        before = files(settings.platform())
        assert RefreshProcess(settings, scene.prepare).run().end is End.SUCCESS
        sizes = sorted(size for file, size in files(settings.platform()).items() if file not in before)
    limit = sizes[int(share * len(sizes))] - 1
    with scene.copy() as settings:
        outcome = RefreshProcess(settings, partial(limit_files, limit, scene.prepare)).run()
        assert outcome.ending == "LakeError"
        assert "File too large" in outcome.said
        written = {file: size for file, size in files(settings.platform()).items() if file not in before}
        assert all(size <= limit for size in written.values())
        assert all(file.suffix in {".parquet", ".json"} and size > 0 for file, size in written.items())
        assert wrongs_after(scene, settings, outcome) == []
