"""How the embedded servers of tests are set up, where they are kept, and when they are gone."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For servers whose data need not survive a crash of the machine."""


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for servers, removed when all of them have stopped.

    It is not in pytest's own temporary folder: every new run closes that to the servers' system user.
    """
    with tempfile.TemporaryDirectory(prefix="totes-tests-") as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            for lock in folder.rglob("server.lock"):
                wait_until_stopped(lock.parent)


def wait_until_stopped(directory: Path) -> None:
    """Wait until no process of a server, nor its guardian, is left, and none writes any more files."""
    with (directory / "server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
