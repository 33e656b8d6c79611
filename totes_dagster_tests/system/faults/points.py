"""The moments of a refresh at which something can fail, what can fail there, and the journal that a proxy asks.

Nothing here knows a protocol: how a fault is carried out is in `postgres_proxy.py` and `s3_proxy.py`.
"""

import math
import os
import random
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from totes_dagster.schema.totesys import SOURCE_TABLES


class Fault(Enum):
    """What goes wrong at a point: before the request is passed on, or after it was carried out, unless said."""

    KILLED_BEFORE = "the refresh is killed before"
    KILLED_AFTER = "the refresh is killed after"
    CLOSED_BEFORE = "the connection is closed before"
    CLOSED_AFTER = "the answer is lost"
    CLOSED_MIDWAY = "the connection is closed in the middle of the answer"
    INTERRUPTED_BEFORE = "something happens before"
    INTERRUPTED_AFTER = "something happens after"

    STATEMENT_TIMEOUT = "57014"
    DISK_FULL = "53100"
    DEADLOCK = "40P01"
    ADMIN_SHUTDOWN = "57P01"
    STARTING_UP = "57P03"

    RESET = "the connection is reset"
    INTERNAL_ERROR = "500 InternalError"
    SLOW_DOWN = "503 SlowDown"
    SLOW_DOWN_FOR_GOOD = "503 SlowDown, now and always"
    UNANSWERED = "no answer comes, ever"


KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
DROPS = (Fault.CLOSED_BEFORE, Fault.CLOSED_AFTER)
POSTGRES_ERRORS = (Fault.STATEMENT_TIMEOUT, Fault.DISK_FULL, Fault.DEADLOCK, Fault.ADMIN_SHUTDOWN)
S3_ERRORS = (Fault.RESET, Fault.INTERNAL_ERROR, Fault.SLOW_DOWN)

_TABLE = re.compile(rf"dim_|fact_|({'|'.join(SOURCE_TABLES)})$")
_TELLING_WORDS = 3


@dataclass(frozen=True, order=True)
class Point:
    """One request of a refresh to one server.

    It is told from others by what it asks, and not by its place among all requests: the readers of a refresh work side
    by side, so the order of requests is another one each time.

    Attributes:
        server: `source`, `warehouse` or `lake`.
        request: what is asked for, without what differs between two runs.
        occurrence: 1 for the first request of these words.
    """

    server: str
    request: str
    occurrence: int = 1

    @property
    def is_durable(self) -> bool:
        """Whether this is where something comes to stay: an object, or a transaction of the warehouse."""
        if self.server == "lake":
            return self.request.startswith("PUT ")
        return self.server == "warehouse" and self.request.lower().startswith("commit")

    @property
    def kind(self) -> tuple[str, ...]:
        """What it has in common with others: the server, and how the request begins; one table is like another."""
        words = re.split(r"[ /]", self.request)[:_TELLING_WORDS]
        return self.server, *("<table>" if _TABLE.match(word) else word for word in words)

    def __str__(self) -> str:
        return f"{self.server}: {self.request[:100]} (#{self.occurrence})"


class Journal:
    """The points that a refresh reaches, and the fault that waits at one of them.

    Args:
        point: where the fault waits; None to let the refresh pass and only take down the points.
        fault: what then happens.

    Attributes:
        points: what was taken down.
        interrupt: called by the proxy for faults that are more than an answer: it kills a process or stops a server.
        reached: whether the fault has happened.
    """

    def __init__(self, point: Point | None = None, fault: Fault | None = None) -> None:
        self.points: list[Point] = []
        self.interrupt: Callable[[], None] = _nothing
        self.reached = threading.Event()
        self._point = point
        self._fault = fault
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def reach(self, server: str, request: str) -> Fault | None:
        """Take down a point; return what goes wrong there."""
        with self._lock:
            self._counts[server, request] += 1
            point = Point(server, request, self._counts[server, request])
            self.points.append(point)
            if self._point is None:
                return None
            lasting = self._fault is Fault.SLOW_DOWN_FOR_GOOD and self.reached.is_set()
            if point == self._point or (lasting and (server, request) == (self._point.server, self._point.request)):
                self.reached.set()
                return self._fault
            return None


def _nothing() -> None:
    raise AssertionError("Nobody said what is to happen there.")


_SHARE = 3
"""One in so many of the points that a test may try is tried, unless more are asked for."""


def everything() -> bool:
    """Whether the environment asks for all that there is, by `TOTES_FAULTS=all`. That takes hours."""
    return os.environ.get("TOTES_FAULTS") == "all"


def sample(points: list[Point], count: int, seed: int) -> list[Point]:
    """So many of these points, and of every kind one, before there are two of any.

    All of them, if asked for; and fewer, unless the environment asks for many, by `TOTES_FAULTS=many`.
    """
    if everything():
        return points
    if os.environ.get("TOTES_FAULTS") != "many":
        count = math.ceil(count / _SHARE)
    kinds: defaultdict[tuple[str, ...], list[Point]] = defaultdict(list)
    chance = random.Random(seed)
    for point in chance.sample(points, len(points)):
        kinds[point.kind].append(point)
    ranked = [(rank, chance.random(), point) for kind in kinds.values() for rank, point in enumerate(kind)]
    return [point for _, _, point in sorted(ranked)[:count]]


def last(points: list[Point], server: str, words: str) -> Point:
    """The last of the requests to a server that begin so."""
    return max(point for point in points if point.server == server and point.request.startswith(words))
