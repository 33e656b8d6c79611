"""The process that stands between an embedded PostgreSQL server and those who use it.

It runs `postgres` as its child, says when it is ready, and stops it as soon as nobody holds the lease any more. Started
by `postgres.py`, by file and not as a module: it needs nothing but the standard library, so that it starts fast and
works wherever the interpreter does. What the locks mean is explained in `postgres.py`.
"""

import argparse
import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

READY = "ready"
"""What the guardian writes to the pipe of whoever started it; anything else says what went wrong."""

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY = 0.01  # seconds between two looks at the status that a starting server writes
_FAST_SHUTDOWN_TIMEOUT = 60.0  # seconds; a shutdown writes all that is not yet on disk


def main() -> None:
    """Become a guardian, unless `postgres` cannot run: see the options for what it takes."""
    options = _options()
    # The one who started us waits for this process only, and is not left with a child to reap.
    if os.fork():
        os._exit(0)
    server = _run(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.send_signal(signal.SIGINT))
    failure = _failure_to_start(server, options.data / "postmaster.pid")
    # From here on the next one may look for a server; before, this lock kept it waiting for ours.
    os.close(options.start_lock)
    _report(options.report, failure or READY)
    if failure is None:
        threading.Thread(target=_stop_when_unused, args=(server, options.lease), daemon=True).start()
        # Waited for here, and in no other thread: the server's death signal is tied to the thread that forked it.
        server.wait()
    if options.remove is not None:
        with contextlib.suppress(OSError):  # not empty after a crash; the next server takes it over
            options.remove.rmdir()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs an embedded PostgreSQL server for as long as somebody uses it.")
    parser.add_argument("--lease", type=Path, required=True, help="file that every user of the server has locked")
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--remove", type=Path, help="folder to remove when the server has stopped")
    parser.add_argument("--uid", type=int, help="system user to run the server as, when started by root")
    parser.add_argument("--gid", type=int, help="its group")
    parser.add_argument("--report", type=int, required=True, help="descriptor of the pipe to report to")
    parser.add_argument("--start-lock", type=int, required=True, help="locked descriptor, closed once ready")
    parser.add_argument("--server-lock", type=int, required=True, help="locked descriptor, for the server to hold")
    parser.add_argument("command", nargs="+", help="the server's command line, after --")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is our own
        options.command,
        cwd=options.data,
        # Whoever starts the server may have secrets in the environment, which the server has no use for.
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        user=options.uid,
        group=options.gid,
        extra_groups=None if options.uid is None else [],
        umask=0o077,
        pass_fds=[options.server_lock],
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - safe while there is one thread; runs after the setuid
    )


def _die_with(guardian: int) -> Callable[[], None] | None:
    """Make what the server's process does first, so that it cannot survive its guardian, even when that is killed.

    Only Linux can do this. Elsewhere the next start stops a server that lost its guardian.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask_for_signal() -> None:
        # Forgotten by setuid, which is why this comes after it. SIGINT is PostgreSQL's fast shutdown.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != guardian:  # it died before we asked
            os._exit(1)

    return ask_for_signal


def _failure_to_start(server: subprocess.Popen[bytes], status_file: Path) -> str | None:
    """Wait until the server accepts connections (None) or is gone (how it went).

    However long it takes: after a crash the server first replays its log.
    """
    while True:
        try:
            status = server.wait(_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            if _is_ready(server.pid, status_file):
                return None
        else:
            return f"postgres ended with status {status}"


def _is_ready(pid: int, status_file: Path) -> bool:
    try:
        lines = status_file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    # The file may be one that a killed server left behind, and it grows line by line.
    return lines[:1] == [str(pid)] and lines[7:8] != [] and lines[7].strip() == "ready"


def _report(pipe: int, message: str) -> None:
    # Where nobody listens, the starter was killed; the lease tells whether somebody else wants the server.
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, message.encode())
    os.close(pipe)


def _stop_when_unused(server: subprocess.Popen[bytes], lease: Path) -> None:
    # Kept until this process ends, so that a new user waits until the server is down, and then starts another.
    descriptor = os.open(lease, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    server.send_signal(signal.SIGINT)  # fast shutdown
    try:
        server.wait(_FAST_SHUTDOWN_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)  # immediate shutdown; the next start recovers


if __name__ == "__main__":
    main()
