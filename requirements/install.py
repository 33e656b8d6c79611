"""Install a lock file into a virtual environment: `python requirements/install.py LOCK [FOLDER]`, as the Makefile does.

uv installs in seconds what takes pip more than a minute. The one on the PATH is used, else the locked one is fetched, by
pip; where neither is to be had, pip installs everything. Uses the standard library only.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
REQUIREMENTS = PROJECT / "requirements"
VENV = PROJECT / ".venv"

LOCKS_OF_THE_PROJECT = ("runtime", "dev")
"""The lock files with which the project itself is installed too, in editable form."""

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
"""What pip's settings are called by uv, which does not read pip's."""

Environment = dict[str, str]


def uv_environment(pip_settings: str, environment: Environment) -> Environment:
    """The environment with which uv uses the package index that pip is configured for.

    Args:
        pip_settings: What `pip config list` prints: a line for each setting, such as `global.index-url='https://…'`.
        environment: The environment as it is. What it says to uv, and what pip is not configured for, stays.
    """
    found: Environment = {}
    lines = [line.split("=", 1) for line in pip_settings.splitlines() if re.match(r"[\w:]+\.[\w-]+='", line)]
    # From the weakest to the strongest.
    for section in ("global", "install", ":env:"):
        for key, value in lines:
            of_section, name = key.rsplit(".", 1)
            if of_section == section and name in UV_SETTINGS:
                found[UV_SETTINGS[name]] = ast.literal_eval(value)
    for name in ("UV_FIND_LINKS", "UV_INDEX"):
        if name in found:
            found[name] = ("," if name == "UV_FIND_LINKS" else " ").join(found[name].split())
    return {
        # Like pip, take a package from whichever index has it: its hash says that it is the right one.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        # What pip does in any case: else programs that must not write compiled files would compile at every start.
        **({"UV_COMPILE_BYTECODE": "1"} if environment.get("PYTHONDONTWRITEBYTECODE") else {}),
        **found,
        **environment,
    }


def locked(*names: str) -> str:
    """The lines of the developers' lock file that pin these packages."""
    text = (REQUIREMENTS / "dev.txt").read_text()
    return "".join(re.search(rf"^{name}==.*\n(?: .*\n)*", text, re.MULTILINE)[0] for name in names)


class Installation:
    """An installation into one virtual environment, by uv where possible.

    Args:
        folder: The virtual environment; it is created if need be.
        tools: An empty folder, for what is needed during the installation only.
    """

    def __init__(self, folder: Path, tools: Path) -> None:
        self.python = folder / "bin" / "python"
        self._tools = tools
        # What builds the project in editable form is there.
        self._environment = {**os.environ, "PYTHONPATH": str(tools)}
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self._uv = shutil.which("uv", path=f"{os.environ.get('PATH', '')}{os.pathsep}{VENV / 'bin'}")

    def fetch_tools(self) -> None:
        """Fetch what is needed to install, without leaving it behind."""
        if not self._uv and self._fetch("uv"):
            self._uv = str(self._tools / "bin" / "uv")
        self._fetch("setuptools")

    def install(self, *arguments: str | Path) -> None:
        if self._uv:
            settings = subprocess.run([*self._pip, "config", "list"], check=True, text=True, stdout=subprocess.PIPE)
            command = [self._uv, "pip", "install", "--quiet", "--python", self.python, "--no-deps", *arguments]
            if (
                subprocess.run(command, env=uv_environment(settings.stdout, self._environment), check=False).returncode
                == 0
            ):
                return
            self._uv = None
        print("uv is not to be had, or failed: pip installs, which takes longer.", flush=True)
        subprocess.run([*self._pip, "install", "--quiet", "--no-deps", *arguments], env=self._environment, check=True)

    @property
    def _pip(self) -> list[str | Path]:
        return [self.python, "-m", "pip", "--disable-pip-version-check"]

    def _fetch(self, name: str) -> bool:
        lock = self._tools / f"{name}.txt"
        lock.write_text(locked(name))
        options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", self._tools]
        return subprocess.run([*self._pip, "install", *options, "--requirement", lock], check=False).returncode == 0


def main(lock: str, folder: Path) -> None:
    if sys.version_info < (3, 11):
        sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12")
    print(f"Installing the locked dependencies ({lock}) into {folder.name}; this is done once.", flush=True)
    with tempfile.TemporaryDirectory() as tools:
        installation = Installation(folder, Path(tools))
        installation.fetch_tools()
        installation.install("--require-hashes", "--requirement", REQUIREMENTS / f"{lock}.txt")
        if lock in LOCKS_OF_THE_PROJECT:
            installation.install("--no-build-isolation", "--editable", PROJECT)
            # Files that say to `make` what is up to date. Developers have what users have, and more.
            for name in LOCKS_OF_THE_PROJECT[: LOCKS_OF_THE_PROJECT.index(lock) + 1]:
                (folder / name).touch()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2] if sys.argv[2:] else VENV).resolve())
