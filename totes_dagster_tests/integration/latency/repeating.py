"""Refreshes that follow one another while something is measured, and how long a measurement waits for them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

AT_ONCE = repeat(0.0)
PATIENCE = 120.0


@contextmanager
def repeating(work: Callable[[], Any]) -> Iterator[None]:
    """Somebody who does some work again and again, for as long as the block runs."""
    stop = threading.Event()
    failures = []

    def go_on() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failures == []
