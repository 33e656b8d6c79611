"""Child processes: those that do not outlive their parent, however it ends, and groups that end as a whole."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """What a child must run before it becomes another program (`preexec_fn`), to be sent a signal when we die.

    On Linux; elsewhere a parent that is killed leaves the child alone. The kernel ties this to the thread that starts
    the child, which must be one that lives as long as the process; and `setuid` forgets it, so it comes after that.
    """
    # Looked up before the fork: loading a library after it could deadlock.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def ask_for_signal() -> None:
        if libc is None:
            return
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_for_signal


class ProcessGroup:
    """A program and whatever it starts, wherever in the tree: stopped, waited for and killed as a whole.

    All of these processes inherit the log as their standard output, and with it its lock, which the kernel drops when
    the last of them has ended. That holds too for those whose parent has ended, and for those that nobody reaps.

    Args:
        log: the file that they write to. It is theirs alone; an earlier group may still be writing to it.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._leader: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program, with an empty log; on Linux it is interrupted when this process dies.

        Raises:
            BlockingIOError: an earlier group has not ended.
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
                start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the others in order
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - it only makes a system call
            )

    @property
    def status(self) -> int | None:
        """The exit status of the program itself; None while it runs, and before it was started."""
        return self._leader.poll() if self._leader else None

    def is_running(self) -> bool:
        """Whether the program was started, and it or anything that it started has not ended."""
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

    def interrupt(self, *, all_at_once: bool) -> None:
        """Interrupt the program, which then stops what it started; or all of them, as Ctrl-C in a terminal does."""
        if all_at_once:
            self._signal_all(signal.SIGINT)
        elif self._leader:
            self._leader.send_signal(signal.SIGINT)

    def wait_for_program(self) -> int:
        """Wait until the program itself has ended, and return its exit status."""
        return self._leader.wait() if self._leader else 0

    def wait(self) -> None:
        """Wait until the last process has ended, also of an earlier group with the same log."""
        self.wait_for_program()
        if self.log.exists():
            with self.log.open("rb") as log:
                fcntl.flock(log, fcntl.LOCK_EX)

    def kill(self) -> bool:
        """Kill what has not ended, and wait for its end; return whether there was anything."""
        if not self.is_running():
            return False
        self._signal_all(signal.SIGKILL)
        self.wait()
        return True

    def _signal_all(self, number: signal.Signals) -> None:
        # Not once all have ended: the number of the group may be another's by then.
        if self._leader and self.is_running():
            with suppress(ProcessLookupError, PermissionError):  # the latter, on macOS, where all have just ended
                os.killpg(self._leader.pid, number)
