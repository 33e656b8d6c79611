"""Child processes that do not outlive their parent, and groups of processes that are stopped as a whole."""

import ctypes
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1

_SECONDS_BETWEEN_INTERRUPTS = 1.0

_POLL_SECONDS = 0.05


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` by which a child process is sent a signal when this process dies.

    It works on Linux only; elsewhere the child survives a parent that is killed. The kernel ties it to the thread that
    starts the child, so that thread must last as long as the process. `setuid` clears it, so call it after that.

    Args:
        number: the signal to send.
    """
    # Looked up before the fork: loading a library after it could deadlock.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def ask_for_signal() -> None:
        if libc is None:
            return
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died first
            os._exit(1)

    return ask_for_signal


class ProcessGroup:
    """A program and all its descendants, which are stopped, waited for and killed as a whole.

    They all inherit the log as their standard output, and with it its lock, which the kernel releases when the last of
    them has ended. This includes processes whose parent has ended, and those that are never reaped.

    Args:
        log: the file that they write to. Only groups of this kind may use it; an earlier one may still be writing.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._leader: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program, with an empty log. On Linux, it is interrupted when this process dies.

        Raises:
            BlockingIOError: an earlier group is still running.
        """
        with self.log.open("ab") as log:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.truncate(0)
            self._leader = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only this process, which then stops the others in order
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - it only makes a system call
            )

    @property
    def process_id(self) -> int | None:
        """The id of the program's process; None before it was started."""
        return self._leader.pid if self._leader else None

    @property
    def status(self) -> int | None:
        """The exit status of the program itself; None while it runs, and before it was started."""
        return self._leader.poll() if self._leader else None

    def is_running(self) -> bool:
        """Whether the program was started, and it or one of its descendants has not ended."""
        return self._leader is not None and self.is_log_in_use()

    def is_log_in_use(self) -> bool:
        """Whether any process of this group, or of an earlier one with the same log, has not ended."""
        if not self.log.exists():
            return False
        with self.log.open("rb") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def interrupt(self) -> None:
        """Interrupt the program, which then stops its children."""
        if self._leader:
            self._leader.send_signal(signal.SIGINT)

    def interrupt_all(self) -> None:
        """Interrupt all processes, as Ctrl-C in a terminal does, until the last of them has ended.

        Again and again, because a process that does not know yet that it is to end may start another one.
        """
        interrupted = -math.inf
        while self.is_running():
            if time.monotonic() - interrupted >= _SECONDS_BETWEEN_INTERRUPTS:
                self._signal_all(signal.SIGINT)
                interrupted = time.monotonic()
            time.sleep(_POLL_SECONDS)
        self.wait_for_program()

    def wait_for_program(self) -> int:
        """Wait until the program itself has ended, and return its exit status."""
        # Asked again and again: a signal that comes just before one long wait would be handled only after it.
        while self._leader and self._leader.poll() is None:
            time.sleep(_POLL_SECONDS)
        return self._leader.returncode if self._leader else 0

    def wait(self) -> None:
        """Wait until the last process has ended, including those of an earlier group with the same log."""
        self.wait_for_program()
        while self.is_log_in_use():
            time.sleep(_POLL_SECONDS)

    def kill(self) -> bool:
        """Kill all processes that have not ended, and wait until they have; return whether there were any."""
        if not self.is_running():
            return False
        self._signal_all(signal.SIGKILL)
        self.wait()
        return True

    def _signal_all(self, number: signal.Signals) -> None:
        # Not once all have ended, because the id of the process group may be reused.
        if self._leader and self.is_running():
            with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter if all have just ended
                os.killpg(self._leader.pid, number)
