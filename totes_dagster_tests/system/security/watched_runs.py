"""Processes in a folder of their own: whatever they print or write is in there, and nothing else is."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TOTES = ("-m", "totes_dagster.cli.commands", "-v")
DAGSTER = ("-m", "dagster", "job", "execute", "-m", "totes_dagster.definitions", "-j")


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Watch:
    """A folder, and the settings of the processes that run in it."""

    folder: Path
    settings: Mapping[str, str]

    def run(self, name: str, arguments: tuple[str, ...], **settings: str) -> Ended:
        """Run Python to its end, in a folder of this name; settings that are empty are left out."""
        folder = self.folder / name
        places = {place: folder / place.lower() for place in ("HOME", "TMPDIR", "DAGSTER_HOME")}
        for place in places.values():
            place.mkdir(parents=True)
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TOTES_RETRY_SECONDS": "0",
            **{place: str(path) for place, path in places.items()},
            **self.settings,
            **settings,
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={variable: value for variable, value in environment.items() if value},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        (folder / "stdout").write_text(done.stdout)
        (folder / "stderr").write_text(done.stderr)
        return Ended(done.returncode, done.stdout, done.stderr)
