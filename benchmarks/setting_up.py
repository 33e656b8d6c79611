"""The row `set-up`: what it takes to install the locked dependencies, as `make demo` and `make install` do."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.rows import Size

_PROJECT = Path(__file__).parents[1]
_NEEDED = ("requirements", "totes_dagster")
_LOCKS = ("runtime", "dev")


@dataclass(frozen=True)
class Installed:
    """The seconds and megabytes of a new virtual environment, and whether pip had to stand in for uv."""

    seconds: float
    megabytes: float
    by_pip: bool


def set_up(bench: Bench, size: Size) -> Iterator[str]:  # noqa: ARG001 - the same for every company
    """Both locks, once each, from empty caches."""
    found: list[Installed] = []
    for lock in _LOCKS:
        folder = bench.folder / "set-up"
        installed = _install(folder, lock)
        shutil.rmtree(folder)
        if installed is None:
            yield f"skipped: {lock} could not be installed; are its packages available?"
            return
        found.append(installed)
        yield (
            f"{lock}, from an empty cache: {installed.seconds:.1f} s, {installed.megabytes:.0f} MB"
            f"{' (by pip, without uv)' if installed.by_pip else ''}"
        )
    runtime, dev = found
    yield (
        f"dev is {dev.seconds / runtime.seconds:.2f} times the seconds and {dev.megabytes / runtime.megabytes:.2f} "
        "times the megabytes of runtime"
    )


def _install(folder: Path, lock: str) -> Installed | None:
    """Install a lock into a new copy of the project, as after a fresh clone; None if that failed.

    The copy has no .venv, so uv is fetched too, unless it is on the PATH.
    """
    project, temporary = folder / "project", folder / "temporary"
    for made in (project, temporary):
        made.mkdir(parents=True)
    shutil.copy(_PROJECT / "pyproject.toml", project)
    for name in _NEEDED:
        shutil.copytree(_PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    own = {"UV_CACHE_DIR": folder / "uv", "PIP_CACHE_DIR": folder / "pip", "TMPDIR": temporary}
    started = time.perf_counter()
    installed = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, project / "requirements" / "install.py", lock],
        env={**os.environ, **{name: str(place) for name, place in own.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if installed.returncode:
        return None
    files = (project / ".venv").rglob("*")
    megabytes = sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6
    return Installed(seconds, megabytes, by_pip="Without uv" in installed.stdout)
