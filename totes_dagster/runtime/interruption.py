"""Work that can be interrupted at once, whatever it waits for."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def interruptibly(work: Callable[[], T]) -> T:
    """Do some work in a thread, so that a signal that ends it reaches the main thread, and at once.

    There ADBC would take it for itself, and cancel no more than the statement at work, which would be tried again.

    What raises the interruption must see to it that the process ends soon: the thread goes on for as long. Nothing is
    half-written, whenever it is cut off.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="work", daemon=True).start()
    return done.result()
