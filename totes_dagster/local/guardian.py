"""The process that supervises an embedded PostgreSQL server on behalf of its users.

It runs `postgres` as its child, reports when it is ready, and stops it as soon as no process holds the lease.
`server.py` starts it as a file, not as a module: it needs only the standard library, so it starts fast and works
wherever the interpreter does. `server.py` explains the locks.
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
"""What the guardian reports to the process that started it; any other report is the reason of a failure."""

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.01  # between two reads of the status file of a starting server
_FAST_SHUTDOWN_TIMEOUT = 60.0  # seconds; a shutdown writes a checkpoint


def main() -> None:
    """Run the server, and supervise it once it is ready; see the options."""
    options = _options()
    # The starter waits for this process only, and is left without a child to reap.
    if os.fork():
        os._exit(0)
    server = _run(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.send_signal(signal.SIGINT))
    failure = _failure_to_start(server, options.data / "postmaster.pid")
    # Until here, this lock made other starters wait for our server.
    os.close(options.start_lock)
    _report(options.report, failure or READY)
    if failure is None:
        threading.Thread(target=_stop_when_unused, args=(server, options.lease), daemon=True).start()
        # Waits in this thread: the server gets its death signal when the thread that forked it ends.
        server.wait()
    if options.remove is not None:
        with contextlib.suppress(OSError):  # not empty after a crash; the next server reuses it
            options.remove.rmdir()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs an embedded PostgreSQL server while any process uses it.")
    parser.add_argument("--lease", type=Path, required=True, help="file that every process using the server has locked")
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--remove", type=Path, help="folder to remove when the server has stopped")
    parser.add_argument("--uid", type=int, help="user ID to run the server as, if started by root")
    parser.add_argument("--gid", type=int, help="group ID to run the server as, if started by root")
    parser.add_argument("--report", type=int, required=True, help="descriptor of the pipe to report to")
    parser.add_argument("--start-lock", type=int, required=True, help="locked descriptor, closed once ready")
    parser.add_argument("--server-lock", type=int, required=True, help="locked descriptor, for the server to hold")
    parser.add_argument("command", nargs="+", help="the server's command line, after --")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is our own
        options.command,
        cwd=options.data,
        # The starter's environment may contain secrets, which the server does not need.
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        user=options.uid,
        group=options.gid,
        extra_groups=None if options.uid is None else [],
        umask=0o077,
        pass_fds=[options.server_lock],
        # Safe because there is one thread; runs after setuid.
        preexec_fn=_death_signal_setter(os.getpid()),  # noqa: PLW1509
    )


def _death_signal_setter(guardian: int) -> Callable[[], None] | None:
    """What the server's process runs first, so that it ends with its guardian, even one that is killed.

    Only Linux can do this; None elsewhere, where the next start stops a server that lost its guardian.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def set_death_signal() -> None:
        # setuid resets this, so it comes after setuid. SIGINT is PostgreSQL's fast shutdown.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != guardian:  # the guardian died before the call
            os._exit(1)

    return set_death_signal


def _failure_to_start(server: subprocess.Popen[bytes], status_file: Path) -> str | None:
    """Wait until the server accepts connections, and return None; or until it has ended, and return the reason.

    There is no time limit: after a crash the server first replays its log.
    """
    while True:
        try:
            status = server.wait(_POLL_SECONDS)
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
    # A killed server may have left the file behind, and a starting one writes it line by line.
    return lines[:1] == [str(pid)] and lines[7:8] != [] and lines[7].strip() == "ready"


def _report(pipe: int, message: str) -> None:
    # The pipe is broken if the starter was killed; the lease shows whether another process wants the server.
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, message.encode())
    os.close(pipe)


def _stop_when_unused(server: subprocess.Popen[bytes], lease: Path) -> None:
    # Locked until this process ends, so that a new user waits until the server is down, and then starts another.
    descriptor = os.open(lease, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    server.send_signal(signal.SIGINT)  # fast shutdown
    try:
        server.wait(_FAST_SHUTDOWN_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)  # immediate shutdown; the next start recovers


if __name__ == "__main__":
    main()
