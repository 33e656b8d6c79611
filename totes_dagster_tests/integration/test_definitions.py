"""What Dagster makes of the definitions in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def test_dagster_can_load_the_workspace_and_warns_of_nothing_of_ours(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TOTES_HOME": str(tmp_path / "totes"), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-m", "dagster", "definitions", "validate"],
        cwd=root,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "All code locations passed validation" in said
    assert [line for line in said.splitlines() if "totes_dagster/" in line and "Warning" in line] == []
    assert not (tmp_path / "totes").exists()
