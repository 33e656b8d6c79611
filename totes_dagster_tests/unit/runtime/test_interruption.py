"""Work in a thread, for which the main thread waits: it returns or raises, and a signal ends the wait."""

import signal
import sys
import threading
import time

import pytest

from totes_dagster.runtime.interruption import interruptibly


def interrupt_unseen(main: int) -> None:
    """Interrupt the process so that the main thread, which waits, is not woken: as if it had just begun to wait."""
    while sys._current_frames()[main].f_code.co_name != "wait":
        time.sleep(0.001)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def test_what_the_work_returns_or_raises_comes_out() -> None:
    assert interruptibly(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        interruptibly(lambda: 1 // 0)


def test_a_signal_is_never_missed() -> None:
    main, released = threading.get_ident(), threading.Event()

    def interrupt_and_go_on() -> None:
        interrupt_unseen(main)
        released.wait()

    with pytest.raises(KeyboardInterrupt):
        interruptibly(interrupt_and_go_on)
    released.set()


def test_work_that_can_be_stopped_has_ended_when_the_interruption_comes_out() -> None:
    main, stop, steps = threading.get_ident(), threading.Event(), []

    def work() -> None:
        interrupt_unseen(main)
        stop.wait()
        time.sleep(0.1)  # in the middle of something, which is not to be cut off
        steps.append("ended")

    with pytest.raises(KeyboardInterrupt):
        interruptibly(work, stop=stop.set)
    assert steps == ["ended"]
