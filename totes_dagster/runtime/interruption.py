"""Work that a signal can interrupt at once, even while it waits for a database.

Which signals do, and what happens to the process then, belongs to the caller.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


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
    return done.result()
