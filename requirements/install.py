"""Install a lock file into a virtual environment: `python requirements/install.py LOCK [FOLDER]`, as the Makefile does.

uv takes seconds for what takes pip more than a minute. The one on the PATH is used, else the locked one is fetched, by
pip. Where neither is to be had, pip installs everything. Nothing but the standard library is needed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
VENV = PROJECT / ".venv"

WITH_THE_PROJECT = ("runtime", "dashboard", "cluster", "dev")
"""The lock files with which the project itself is installed, in editable form. Each has all that the one before has."""

UV_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "no-index": "UV_NO_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
}
"""What uv, which does not read pip's settings, calls them."""


def uv_environment(pip_settings: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which uv uses the package index that pip is configured for.

    Args:
        pip_settings: what `pip config list` prints: a line for each setting, such as `global.timeout='60'`.
        environment: the environment as it is. What it says to uv is kept.
    """
    found: dict[str, str] = {}
    settings = re.findall(r"^(global|install|:env:)\.([\w-]+)=('.*'|\".*\")$", pip_settings, re.MULTILINE)
    for section in ("global", "install", ":env:"):  # from the weakest to the strongest
        found |= {
            UV_SETTINGS[name]: ast.literal_eval(value)
            for of_section, name, value in settings
            if of_section == section and name in UV_SETTINGS
        }
    for name, separator in {"UV_INDEX": " ", "UV_FIND_LINKS": ",", "UV_INSECURE_HOST": " "}.items():
        if name in found:
            found[name] = separator.join(found[name].split())
    # Like pip, take a package from whichever index has it: its hash shows that it is the right one.
    found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if environment.get("PYTHONDONTWRITEBYTECODE"):
        # As pip does in any case. Else every start of every program would compile all that it imports.
        found["UV_COMPILE_BYTECODE"] = "1"
    return found | dict(environment)


def pinned(name: str) -> str:
    """The lines of the developers' lock file that pin one package."""
    text = (PROJECT / "requirements" / "dev.txt").read_text()
    (found,) = re.findall(rf"^{name}==.*\n(?: .*\n)*", text, re.MULTILINE)
    return str(found)


class Installation:
    """An installation into a virtual environment, which is created if need be.

    Args:
        folder: the virtual environment.
        tools: an empty folder, for what is needed only meanwhile.
    """

    def __init__(self, folder: Path, tools: Path) -> None:
        self._python = folder / "bin" / "python"
        self._tools = tools
        if not self._python.exists():
            run(sys.executable, "-m", "venv", folder)
        self._uv = shutil.which("uv") or shutil.which("uv", path=VENV / "bin")
        if not self._uv and self._fetch("uv"):
            self._uv = str(tools / "bin" / "uv")

    def install_locked(self, lock: str) -> None:
        """Install what a lock file pins."""
        self._install("--require-hashes", "--requirement", PROJECT / "requirements" / f"{lock}.txt")

    def install_project(self) -> None:
        """Install the project in editable form."""
        self._fetch("setuptools")
        self._install("--no-build-isolation", "--editable", PROJECT)

    def _install(self, *arguments: str | Path) -> None:
        # The tool that builds the project is found there.
        environment = {**os.environ, "PYTHONPATH": str(self._tools)}
        options = ("install", "--quiet", "--no-deps", *arguments)
        if self._uv:
            settings = subprocess.run([*self._pip, "config", "list"], capture_output=True, text=True, check=True).stdout
            if run(
                self._uv,
                "pip",
                *options,
                "--python",
                self._python,
                environment=uv_environment(settings, environment),
                check=False,
            ):
                return
            self._uv = None
        print("Without uv, pip installs, which takes longer.", flush=True)
        run(*self._pip, *options, environment=environment)

    def _fetch(self, tool: str) -> bool:
        pins = self._tools / f"{tool}.txt"
        pins.write_text(pinned(tool))
        options = ("--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", self._tools)
        return run(*self._pip, "install", *options, "--requirement", pins, check=False)

    @property
    def _pip(self) -> tuple[str | Path, ...]:
        return self._python, "-m", "pip", "--disable-pip-version-check"


def run(*command: str | Path, environment: Mapping[str, str] | None = None, check: bool = True) -> bool:
    """Run a program to its end; return whether that was a good one."""
    return subprocess.run(command, env=environment, check=check).returncode == 0


def main(lock: str, folder: Path = VENV) -> None:
    """Install a lock file and, with those of the project, the project."""
    print(f"Installing the locked dependencies ({lock}) into {folder.name}, once.", flush=True)
    with tempfile.TemporaryDirectory() as tools:
        installation = Installation(folder, Path(tools))
        installation.install_locked(lock)
        if lock in WITH_THE_PROJECT:
            installation.install_project()
    # By these files `make` knows what is up to date.
    for done in WITH_THE_PROJECT[: WITH_THE_PROJECT.index(lock) + 1] if lock in WITH_THE_PROJECT else [lock]:
        (folder / done).touch()


if __name__ == "__main__":
    main(sys.argv[1], *(Path(folder).resolve() for folder in sys.argv[2:]))
