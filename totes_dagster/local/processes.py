"""Child processes that do not outlive their parent, however it ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

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
