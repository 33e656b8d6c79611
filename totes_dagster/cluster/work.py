"""What a worker does with a piece of work that it is given.

Importing this does not bring Dask. Workers import it by name.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from totes_dagster.cluster.code import code_digest
from totes_dagster.errors import ClusterError, TotesError

STARTED = "totes-started"
"""The topic of the scheduler's events that say that a worker begins a piece of work."""


@dataclass(frozen=True)
class Answer:
    """What came of a piece of work.

    Attributes:
        host: the machine that did it.
        result: what the task returned.
        error: the named error that it raised instead; a ClusterError if it should be done elsewhere.
    """

    host: str
    result: Any = None
    error: TotesError | None = None


def perform(digest: str, task: Callable[[Any], Any], work: Any, name: str) -> Answer:
    """Do a piece of work on a worker.

    Args:
        digest: of the code that asks for it.
        task: a function of the platform, by whose name it was sent.
        work: names only: a table, a range, a path. The task finds databases, the lake and secrets on its own machine.
        name: which piece of work this is.
    """
    from distributed import get_worker  # noqa: PLC0415 - slow to import

    host = socket.gethostname()
    if digest != code_digest():
        return Answer(host, error=ClusterError("It runs another version of the platform."))
    get_worker().log_event(STARTED, name)
    try:
        return Answer(host, task(work))
    except TotesError as error:
        return Answer(host, error=error)
