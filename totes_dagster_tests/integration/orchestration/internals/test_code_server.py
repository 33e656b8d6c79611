"""The code server on Dagster as it is, and on a Dagster that calls its private parts by other names."""

import json
import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from totes_dagster.config.env_file import ALREADY_READ
from totes_dagster.orchestration.development.dev import configure, prepare_storage

pytestmark = pytest.mark.slow

DEFINITIONS = """
import json, os, sys
from dagster import Definitions, in_process_executor, job, op

@op
def look():
    found = {
        "warm": "totes_dagster.orchestration.internals.preloaded" in sys.modules,
        "colour": os.environ.get("COLOUR"),
    }
    with open("seen.json", "w") as file:
        json.dump(found, file)

@job(executor_def=in_process_executor)
def little():
    look()

defs = Definitions(jobs=[little])
"""

RENAMED = """
from importlib.machinery import SourceFileLoader

real = SourceFileLoader.get_code

def get_code(loader, name):
    if not name.startswith("dagster."):
        return real(loader, name)
    source = loader.get_data(loader.path)
    renamed = source.replace(b"{name}", b"another_name")
    return real(loader, name) if renamed == source else loader.source_to_code(renamed, loader.path)

SourceFileLoader.get_code = get_code
"""
"""What Python does first: it reads Dagster's modules as if they used another name."""


@dataclass(frozen=True)
class Run:
    """A run that the code server started.

    Attributes:
        seen: what the run says about its process.
        printed: what the processes of Dagster have printed.
    """

    status: DagsterRunStatus
    seen: dict[str, Any]
    printed: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a code location, and a home of Dagster."""
    code_server = Path(sysconfig.get_path("scripts"), "totes-code-server")
    location = {"python_file": {"relative_path": "little.py", "executable_path": str(code_server)}}
    (tmp_path / "little.py").write_text(DEFINITIONS)
    (tmp_path / "workspace.yaml").write_text(json.dumps({"load_from": [location]}))
    (tmp_path / ".env").write_text("COLOUR=green\n")
    (tmp_path / "home").mkdir()
    configure(tmp_path / "home")
    prepare_storage(tmp_path / "home")
    return tmp_path


def run(folder: Path, renamed: str | None = None) -> Run:
    """Launch the job through a code server, and wait for the end of both."""
    environment = {**os.environ, "DAGSTER_HOME": str(folder / "home"), ALREADY_READ: "yes"}
    if renamed:
        (folder / "sitecustomize.py").write_text(RENAMED.replace("{name}", renamed))
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    program = Path(sysconfig.get_path("scripts"), "totes-code-server")
    # Its code server ends with the run, and holds the output until then.
    done = subprocess.run(
        [program, "job", "launch", "-w", "workspace.yaml", "-j", "little"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    with DagsterInstance.from_config(str(folder / "home")) as instance:
        (launched,) = instance.get_runs()
    return Run(launched.status, json.loads((folder / "seen.json").read_text()), printed)


def test_runs_start_warm_do_not_read_the_env_file_again_and_nothing_is_warned_of(folder: Path) -> None:
    launched = run(folder)
    assert launched.status is DagsterRunStatus.SUCCESS
    assert launched.seen == {"warm": True, "colour": None}
    assert "three seconds longer" not in launched.printed
    assert "reads `.env` again" not in launched.printed


def test_without_a_context_to_replace_runs_start_cold_and_a_warning_says_so(folder: Path) -> None:
    launched = run(folder, renamed="_mp_ctx")
    assert launched.status is DagsterRunStatus.SUCCESS
    assert launched.seen == {"warm": False, "colour": None}
    assert launched.printed.count("Runs start cold, and each takes three seconds longer") == 1


def test_without_a_reader_to_replace_the_env_file_is_read_again_and_a_warning_says_so(folder: Path) -> None:
    launched = run(folder, renamed="get_env_var_dict")
    assert launched.status is DagsterRunStatus.SUCCESS
    assert launched.seen == {"warm": True, "colour": "green"}
    assert "Each of Dagster's processes reads `.env` again" in launched.printed
