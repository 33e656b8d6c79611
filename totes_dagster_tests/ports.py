"""Ports for programs that must be told one."""

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

_HOST = "127.0.0.1"
_FIRST = 10_000
_LOCAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 1_000
_locks: dict[int, int] = {}


def free_port() -> int:
    """A port that nobody listens at, and that no other test gets until it is released or this process ends.

    It is not one of those that the kernel chooses for connections, and for listeners at port 0: such a one may be taken
    before the program that is told of it listens there.
    """
    folder = Path(tempfile.gettempdir()) / "totes-tests-ports"
    folder.mkdir(exist_ok=True)
    beyond = _first_that_the_kernel_chooses()
    for _ in range(_ATTEMPTS):
        port = random.randrange(_FIRST, beyond)
        if port in _locks:
            continue
        lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        with suppress(OSError):  # another test has it, or another program listens there
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            socket.create_server((_HOST, port)).close()
            _locks[port] = lock
            return port
        os.close(lock)
    raise AssertionError(f"No free port was found from {_FIRST} to {beyond - 1}.")


def release_port(port: int) -> None:
    """Let other tests have a port."""
    os.close(_locks.pop(port))


def _first_that_the_kernel_chooses() -> int:
    if not _LOCAL_RANGE.exists():  # not Linux
        return 49_152
    return int(_LOCAL_RANGE.read_text().split()[0])
