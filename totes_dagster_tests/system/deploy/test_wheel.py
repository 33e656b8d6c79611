"""The platform without a clone: from a wheel, with the dependencies that are installed here, or those that uvx finds.

What uvx finds are the newest versions that the wheel allows, and no developer's tools.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from totes_dagster_tests.integration.commands import wait_until_gone

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the project."""
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
    return wheel


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    """A folder with what a wheel of the project installs."""
    site = wheel.parent / "site"
    install = ("-m", "uv", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    subprocess.run([sys.executable, *install], capture_output=True, check=True)
    return site


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


def install_module() -> Any:
    """The program with which the Makefile installs, as a module."""
    spec = spec_from_file_location("install", PROJECT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hints(told: str) -> dict[str, str]:
    """What the demo says at its end: commands and places, by what they are for."""
    _, _, end = told.partition("Where to look next ")
    return dict(re.split(r"  +", line, maxsplit=1) for line in end.splitlines()[1:])


@pytest.fixture(scope="module")
def anybody() -> dict[str, str]:
    """The environment of somebody who has nothing but uv, and perhaps an index that pip is configured for."""
    pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    ours = ("PYTHON", "VIRTUAL_ENV", "TOTES", "WAREHOUSE", "DAGSTER", "AWS")
    others = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where uvx is
    return install_module().uv_environment(pip.stdout, {**others, "PATH": path, "COLUMNS": "150"})


def shell(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and ("Failed to fetch" in done.stderr or "error sending request" in done.stderr):
        pytest.skip("No package index can be reached.")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_uvx_runs_the_demo_and_whatever_that_names_at_its_end(
    wheel: Path, elsewhere: Path, anybody: dict[str, str]
) -> None:
    told = shell(f"uvx --from {wheel} totes demo --orders 20", elsewhere, anybody)
    assert "A company with 20 sales orders" in told
    assert "Loaded batch 4: 2 deleted." in told
    named = hints(told)
    assert named["Dagster's UI, with a changing source"].startswith("uvx --from ")
    assert "make" not in told
    assert "docs/" not in told

    months = shell(named["A metric"], elsewhere, anybody)
    assert "month" in months
    assert len(months.splitlines()) > 10
    query = named["The warehouse, by query or in psql"] + ' --csv "select count(*) from current_sales_order"'
    assert shell(query, elsewhere, anybody) == "count\n20\n"
    assert "Exported the dashboard." in shell(f"{named['The dashboard']} --export pages", elsewhere, anybody)
    assert len(list((elsewhere / "pages").glob("*.html"))) > 1
    help_ = shell(named["Dagster's UI, with a changing source"] + " --help", elsewhere, anybody)
    assert "Usage: totes dev" in help_


@pytest.mark.slow
def test_the_demo_runs_and_its_hints_name_only_what_is_there(unpacked: Path, elsewhere: Path) -> None:
    told = run(unpacked, elsewhere, "totes_dagster.cli.commands", "demo", "--orders", "20")
    assert hints(told)["Dagster's UI, with a changing source"] == "totes dev"
    assert hints(told)["A metric"] == "totes metric net_sales --by month"
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


def test_the_workflow_tries_every_python_that_the_wheel_allows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        (allowed,) = re.findall(r"^Requires-Python: (.+)$", files.read(name).decode(), re.MULTILINE)
    jobs = yaml.safe_load((PROJECT / ".github" / "workflows" / "check.yml").read_text())["jobs"]
    (oldest,) = (step["with"]["python-version"] for step in jobs["python"]["steps"] if "setup-python" in str(step))
    tried = [oldest, *jobs["pythons"]["strategy"]["matrix"]["python"]]
    assert tried == [f"3.{minor}" for minor in range(30) if SpecifierSet(allowed).contains(f"3.{minor}")]
