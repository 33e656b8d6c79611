"""What runs are forked from: it has imported what a run needs, and nothing that would not survive a fork."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, sys, threading
import psutil
import totes_dagster.orchestration.internals.preloaded
process = psutil.Process()
print(json.dumps({
    "modules": sorted(sys.modules),
    "threads": threading.active_count(),
    "sockets": len(process.net_connections(kind="all")),
    "files": [file.path for file in process.open_files()],
    "children": len(process.children()),
}))
"""


def preloaded(folder: Path, **environment: str) -> tuple[dict[str, Any], str]:
    """What a process is like that has imported it, and what it printed as errors."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={**os.environ, "TOTES_HOME": str(folder / "totes"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def test_it_has_imported_all_and_holds_nothing_that_a_fork_would_break(tmp_path: Path) -> None:
    found, errors = preloaded(tmp_path, COVERAGE_PROCESS_CONFIG="")
    assert {"totes_dagster.definitions", "dagster._core.storage.event_log.sqlite", "boto3"} <= set(found["modules"])
    assert (found["threads"], found["sockets"], found["files"], found["children"]) == (1, 0, [], 0)
    assert errors == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_definitions_that_cannot_be_loaded_are_left_to_the_run(tmp_path: Path) -> None:
    found, errors = preloaded(tmp_path, TOTESYS_URL="postgresql://localhost/totesys", COVERAGE_PROCESS_CONFIG="")
    assert found["threads"] == 1
    assert "Runs start cold" in errors
    assert "SettingsError" in errors
