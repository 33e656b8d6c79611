"""What the demo says to run next: a command that works where it was started."""

import json
import sys
from pathlib import Path

import pytest

from totes_dagster.cli import demo
from totes_dagster.cli.demo import totes_command


class Package:
    """What is known of an installed package."""

    version = "1.2.3"

    def __init__(self, origin: dict[str, object] | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self._origin) if self._origin else None


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that runs this process, in a folder for programs."""
    folder = tmp_path / "my environment" / "bin"
    folder.mkdir(parents=True)
    program = folder / "totes"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    monkeypatch.setattr(sys, "prefix", str(folder.parent))
    monkeypatch.setenv("PATH", "/usr/bin")
    return program


def test_a_program_on_the_path_is_named_as_it_is_called(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin")
    assert totes_command() == "totes"


def test_one_that_is_not_on_the_path_is_named_by_its_place(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert totes_command() == f"'{program}'"
    monkeypatch.chdir(program.parents[1])
    assert totes_command() == "bin/totes"


def test_another_one_on_the_path_is_not_taken_for_it(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "totes").write_text("#!/bin/sh\n")
    (tmp_path / "totes").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert totes_command() == f"'{program}'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "uvx --from 'totes-dagster[dashboard]==1.2.3' totes"),
        (
            {"url": "file:///tmp/totes.whl", "archive_info": {}},
            "uvx --from 'totes-dagster[dashboard] @ file:///tmp/totes.whl' totes",
        ),
        (
            {
                "url": "https://example.com/totes",
                "vcs_info": {"vcs": "git", "commit_id": "1a2b", "requested_revision": "main"},
            },
            "uvx --from 'totes-dagster[dashboard] @ git+https://example.com/totes@1a2b' totes",
        ),
    ],
    ids=["an index", "a wheel", "a repository"],
)
def test_uvx_is_named_with_what_it_ran(
    origin: dict[str, object] | None, command: str, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "distribution", lambda _name: Package(origin))
    monkeypatch.setenv("UV", "/usr/bin/uv")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin")  # uvx puts it there, but only for what it runs
    assert totes_command() == "totes"
    (tmp_path / "CACHEDIR.TAG").touch()
    assert totes_command() == command


def test_an_environment_that_uv_created_is_none_of_uvx(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV", "/usr/bin/uv")
    (program.parents[1] / "CACHEDIR.TAG").touch()  # as `uv venv` writes it
    assert totes_command() == f"'{program}'"
