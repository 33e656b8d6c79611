"""Work that a signal can interrupt at once, even while it waits for a database.

Which signals do, and what happens to the process then, belongs to the caller.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
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
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="work", daemon=True).start()
    return interruptible_result(done)


def interruptible_result(future: Future[T]) -> T:
    """The result of a future, as `future.result()`, except that no signal is missed while the main thread waits for it.

    Python handles a signal when the main thread next runs Python code. One that comes just before the thread begins to
    wait for a lock is not handled before the wait ends; so the wait ends now and then.

    Raises:
        BaseException: what the future raises, or what a signal's handler does.
    """
    while not wait([future], timeout=_WAKE_SECONDS).done:
        pass
    return future.result()
