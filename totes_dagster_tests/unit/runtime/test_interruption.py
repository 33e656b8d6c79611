"""Work in a thread, for which the main thread waits: it returns or raises, and a signal ends the wait."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from totes_dagster.runtime.interruption import interruptibly


def test_what_the_work_returns_or_raises_comes_out() -> None:
    assert interruptibly(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        interruptibly(lambda: 1 // 0)


def test_a_signal_ends_the_wait() -> None:
    ended = threading.Event()

    def interrupt_and_go_on() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait()

    with pytest.raises(KeyboardInterrupt):
        interruptibly(interrupt_and_go_on)
    ended.set()


def test_programs_that_the_work_starts_can_be_interrupted() -> None:
    program = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    printed = interruptibly(lambda: subprocess.check_output([sys.executable, "-c", program], text=True))
    assert printed == "set()\n"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
