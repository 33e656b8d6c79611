"""Work that a signal can interrupt at once, even while it waits for a database.

Which signals do, and what happens to the process then, belongs to the caller.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_WAKE_SECONDS = 0.5


def interruptibly(work: Callable[[], T], *, stop: Callable[[], object] | None = None) -> T:
    """Do some work in a thread, so that the main thread is free to handle a signal at once.

    A library that is busy in the main thread would keep Python from handling it until it returns.

    Args:
        work: what to do.
        stop: called after an interruption; it asks the work to end, which is then waited for. Without it, the thread
            runs on, and the caller must make sure that the process ends soon: nothing is half-written, whenever it is
            cut off.

    Returns:
        What the work returns.

    Raises:
        BaseException: what the work raises, or what the signal's handler does.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    # Bare locks, because what a handler raises within the wait for a thread, an event or a future can leave that locked
    # for ever, or make it say that it has ended.
    begin, ended = threading.Lock(), threading.Lock()
    begin.acquire()
    ended.acquire()

    def run() -> None:
        begin.acquire()
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        ended.release()

    def wait() -> None:
        # Python handles a signal when the main thread next runs Python code. One that comes just before the thread
        # begins to wait is not handled before the wait ends; so the wait ends now and then.
        while not (results or errors):
            ended.acquire(timeout=_WAKE_SECONDS)

    has_begun = False
    try:
        threading.Thread(target=run, name="work", daemon=True).start()
        has_begun = True
        begin.release()
        wait()
    except BaseException:
        if stop and has_begun:
            stop()
            wait()
        raise
    if errors:
        raise errors[0]
    return results[0]


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do some work of a library that may never return, and wait for it for a limited time.

    Raises:
        TimeoutError: it has not returned. Its thread runs on, and ends with the process.
        BaseException: what the work raises.
    """
    done: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((True, work()))
        except BaseException as error:
            done.put((False, error))

    threading.Thread(target=run, name="limited work", daemon=True).start()
    try:
        succeeded, outcome = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"No answer within {seconds:.0f} s") from None
    if not succeeded:
        raise outcome
    result: T = outcome
    return result
