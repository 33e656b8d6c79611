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
_NEEDED = ("pyproject.toml", "requirements", "totes_dagster")
_LOCKS = ("runtime", "dev")


@dataclass(frozen=True)
class Installed:
    """The seconds and megabytes of a new virtual environment, and whether pip had to stand in for uv."""

    seconds: float
    megabytes: float
    by_pip: bool


def set_up(bench: Bench, size: Size) -> Iterator[str]:  # noqa: ARG001 - the same for every company
    """Both locks in a copy of the project, each from empty caches, once; and again from the caches that this filled."""
    found: dict[str, Installed] = {}
    for lock in _LOCKS:
        folder = bench.folder / "set-up" / lock
        first, again = (_install(folder, lock) for _ in range(2))
        shutil.rmtree(folder)
        if first is None or again is None:
            yield f"skipped: the packages of {lock} could not be downloaded"
            return
        found[lock] = first
        yield (
            f"{lock}: {first.seconds:.1f} s from an empty cache, {first.seconds / again.seconds:.1f} times that from a "
            f"full one ({again.seconds:.1f} s); {first.megabytes:.0f} MB{' (by pip)' if first.by_pip else ''}"
        )
    runtime, dev = (found[lock] for lock in _LOCKS)
    yield (
        f"dev beside runtime: {dev.seconds / runtime.seconds:.2f} times the seconds, "
        f"{dev.megabytes / runtime.megabytes:.2f} times the megabytes"
    )


def _install(folder: Path, lock: str) -> Installed | None:
    """Install a lock into a new copy of the project, as after a fresh clone; None if that failed.

    The copy has no .venv, so uv is fetched too, unless it is on the PATH.
    """
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    for name in _NEEDED:
        if (_PROJECT / name).is_dir():
            shutil.copytree(_PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            project.mkdir(parents=True, exist_ok=True)
            shutil.copy(_PROJECT / name, project)
    caches = {"UV_CACHE_DIR": str(folder / "uv"), "PIP_CACHE_DIR": str(folder / "pip")}
    started = time.perf_counter()
    installed = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, project / "requirements" / "install.py", lock],
        env={**os.environ, **caches},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if installed.returncode:
        return None
    files = (project / ".venv").rglob("*")
    megabytes = sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6
    return Installed(seconds, megabytes, by_pip="Without uv" in installed.stdout)
