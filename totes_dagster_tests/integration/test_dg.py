"""`dg`, Dagster's newer command line, on a copy of the project in which nothing is configured."""

import json
import os
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from totes_dagster.definitions import build_defs
from totes_dagster_tests.settings import ALL, SECRETS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with an environment that is not activated."""
    folder = tmp_path_factory.mktemp("dg") / "project"
    shutil.copytree(ROOT / "totes_dagster", folder / "totes_dagster", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / ".venv").mkdir()
    (folder.parent / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return folder


def dg(project: Path, *arguments: str) -> str:
    """Run `dg` to a good end without a warning; return what it printed."""
    environment = {
        "HOME": str(project.parent),
        "DAGSTER_HOME": str(project.parent),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(project),  # instead of installing the copy
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = Path(sysconfig.get_path("scripts"), "dg")
    done = subprocess.run(
        [program, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def contents(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.slow
def test_dg_accepts_its_configuration_and_the_definitions_and_leaves_nothing_behind(project: Path) -> None:
    before = contents(project)
    assert "All TOML configuration files are valid." in dg(project, "check", "toml")
    assert "All definitions loaded successfully." in dg(project, "check", "defs")
    assert contents(project) == before


def test_dg_lists_the_same_definitions_as_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ALL, *SECRETS):
        monkeypatch.delenv(name, raising=False)
    definitions = build_defs()
    listed: dict[str, list[dict[str, Any]]] = json.loads(dg(project, "list", "defs", "--json"))
    keys = [spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()]
    assert sorted(asset["asset_key"] for asset in listed["assets"]) == sorted(keys)
    assert {job["name"] for job in listed["jobs"]} >= {"refresh", "reconcile", "prune"}


def test_dg_calls_the_code_location_as_the_workspace_does() -> None:
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert location["python_module"] == {
        "module_name": project["code_location_target_module"],
        "location_name": project["code_location_name"],
    }
