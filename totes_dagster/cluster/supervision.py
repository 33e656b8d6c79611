"""Keeping programs running: each that ends is started again, until this process is interrupted.

Dask has such a supervisor, the nanny. But its scheduler asks the nanny of a worker that is silent to start another, and
on a machine that is frozen nobody answers: the work would stay with it.
"""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from totes_dagster.runtime.processes import die_with_parent

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2

_PAUSE_SECONDS = 2.0
"""How long to wait before a program that has ended is started again."""


def keep_running(command: Sequence[str], count: int, environment: Mapping[str, str]) -> None:
    """Run a program several times at once, until SIGINT or SIGTERM, and until all of them have ended.

    Args:
        command: its command line.
        count: how many of them.
        environment: their environment.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    running = [_start(command, environment) for _ in range(count)]
    ended_at = [0.0] * count
    try:
        while True:
            time.sleep(_POLL_SECONDS)
            for number, program in enumerate(running):
                if program.poll() is None:
                    continue
                if not ended_at[number]:
                    ended_at[number] = time.monotonic()
                    logger.warning("A worker has ended with status %d. Another follows.", program.returncode)
                elif time.monotonic() - ended_at[number] >= _PAUSE_SECONDS:
                    running[number], ended_at[number] = _start(command, environment), 0.0
    except KeyboardInterrupt:
        for program in running:
            program.send_signal(signal.SIGINT)
        while any(program.poll() is None for program in running):
            with suppress(KeyboardInterrupt):
                time.sleep(_POLL_SECONDS)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own command line
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it only makes a system call
    )
