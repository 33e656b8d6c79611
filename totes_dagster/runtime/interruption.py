"""Work that a signal can interrupt at once, even while it waits for a database.

Which signals do, and what happens to the process then, belongs to the caller.
"""

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_WAKE_SECONDS = 0.5


def interruptibly(work: Callable[[], T]) -> T:
    """Do some work in a thread, so that the main thread is free to handle a signal at once.

    A library that is busy in the main thread would keep Python from handling it until it returns.

    The caller must make sure that the process ends soon after an interruption: the thread runs until then. Nothing is
    half-written, whenever it is cut off.

    Returns:
        What the work returns.

    Raises:
        BaseException: what the work raises, or what the signal's handler does.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    wait_for(start(run, "work"))
    if errors:
        raise errors[0]
    return results[0]


def start(work: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread. A signal is handled before or after that, for in between it could leave a lock behind."""
    signals = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # which programs that it starts would inherit
        work()

    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread


def wait_for(thread: threading.Thread) -> None:
    """Wait for the end of a thread, without missing a signal.

    Python handles a signal when the main thread next runs Python code. One that comes just before the thread begins to
    wait is not handled before the wait ends; so the wait ends now and then. It shares no lock with the other thread, as
    waiting for a future does, which an exception of the signal's handler could leave locked.
    """
    while thread.is_alive():
        thread.join(_WAKE_SECONDS)
