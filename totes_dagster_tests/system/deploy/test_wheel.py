"""The platform without a clone: from a wheel, with the dependencies that are installed here."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster_tests.integration.commands import wait_until_gone

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of the project installs."""
    folder = tmp_path_factory.mktemp("wheel")
    # In a copy: a build leaves a folder behind, from which the next one would take modules that are gone.
    source = folder / "source"
    shutil.copytree(PROJECT / "totes_dagster", source / "totes_dagster", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, source)
    # The build needs no index: setuptools is among the developers' tools.
    build = ("-m", "uv", "build", "--wheel", "--no-build-isolation", "--out-dir", str(folder), str(source))
    subprocess.run([sys.executable, *build], capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    install = ("-m", "uv", "pip", "install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel))
    subprocess.run([sys.executable, *install], capture_output=True, check=True)
    return folder / "site"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    # Not pytest's own temporary folder: every new run closes that to the server's system user.
    with tempfile.TemporaryDirectory(prefix="totes-wheel-") as folder:
        yield Path(folder)
        wait_until_gone(Path(folder) / ".totes")


def run(unpacked: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(unpacked), "COLUMNS": "150"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_demo_runs_and_its_hints_name_only_what_is_there(unpacked: Path, elsewhere: Path) -> None:
    told = run(unpacked, elsewhere, "totes_dagster.cli.commands", "demo", "--orders", "20")
    assert told.splitlines()[-3].endswith(" totes dev")
    assert "make" not in told
    assert "docs/" not in told
    assert (elsewhere / ".totes" / "lake" / "ingestion" / "batches").is_dir()


def test_the_definitions_load(unpacked: Path, elsewhere: Path) -> None:
    look = "import totes_dagster.definitions as d; print(d.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", look],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(unpacked)


def test_it_brings_the_programs_and_no_tests(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"} <= {
        "totes_dagster",
        "bin",
        ".lock",
    }
    (programs,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "totes = totes_dagster.cli.commands:main" in programs.read_text()
