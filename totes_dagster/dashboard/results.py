"""The results that all viewers share: a page is read once for each state of the warehouse and each choice of filters.

A page that takes long to read must not burden the warehouse. So it is read again no sooner than after ten times as long
as it took; until then, viewers get the older result, which says what it is of.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.reading import State
from totes_dagster.dashboard.rendering import Rendered
from totes_dagster.errors import DashboardError, TotesError

CONNECTIONS = 2
"""How many pages are read at once, each on a connection of its own."""

REST = 10
"""For how many times the duration of a read the next one of the same page waits."""

LOOK_SECONDS = 1.0
"""How long a look at the warehouse's state counts as current."""

_WORTH_WAITING_SECONDS = 0.5
_KEPT = 100
_MOST_PENDING = 20


@dataclass(frozen=True)
class Key:
    """What a viewer looks at: a page, by its name, with filters."""

    page: str
    filters: Filters


@dataclass(frozen=True)
class _Entry:
    result: Rendered
    ended: float


class Results:
    """Reads results in threads of its own, and keeps the newest one of each key.

    Args:
        read: reads a result; called in at most `CONNECTIONS` threads at once.
        look: looks up the warehouse's state; called in the thread that asks, and by one at a time.
        announce: called with the key of a result that has just been read, in the thread that read it.
        clock: seconds since a fixed moment.
    """

    def __init__(
        self,
        read: Callable[[Key], Rendered],
        look: Callable[[], State],
        announce: Callable[[Key], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._look, self._announce, self._clock = read, look, announce, clock
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="read-page")
        self._kept: OrderedDict[Key, _Entry] = OrderedDict()
        self._pending: dict[Key, Future[Rendered]] = {}
        self._problems: dict[Key, TotesError] = {}
        self._state: State | None = None
        self._looked = float("-inf")
        self.unreachable: TotesError | None = None
        """Why the warehouse's state could not be looked up last time; None if it could."""

    def close(self) -> None:
        """Read nothing more; what is being read is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def state(self) -> State | None:
        """The state of the warehouse, at most `LOOK_SECONDS` old; the last known one while it cannot be reached."""
        with self._looking:
            if self._clock() - self._looked >= LOOK_SECONDS:
                try:
                    self._state, self.unreachable = self._look(), None
                except TotesError as error:
                    self.unreachable = error
                self._looked = self._clock()
            return self._state

    def get(self, key: Key) -> Future[Rendered]:
        """The result for a key: the current one, or an older one that is shown until the current one may be read.

        The future raises TotesError if there is no result and none can be read.

        Raises:
            DashboardError: too many pages are waiting to be read.
        """
        state = self.state()
        with self._lock:
            entry = self._kept.get(key)
            if entry is None:
                return self._pending.get(key) or self._start(key)
            self._kept.move_to_end(key)
            pending = self._refresh(key, entry, state)
            if pending is not None and entry.result.seconds <= _WORTH_WAITING_SECONDS:
                return pending
        return _done(entry.result)

    def refresh(self, key: Key) -> bool:
        """Begin to read a result that is older than the warehouse, if it may be; return whether there is a newer one.

        What is not kept is not read.
        """
        state = self.state()
        with self._lock:
            entry = self._kept.get(key)
            return entry is not None and self._refresh(key, entry, state) is not None

    def kept(self, key: Key) -> Rendered | None:
        """The result that is kept for a key."""
        with self._lock:
            entry = self._kept.get(key)
            return entry.result if entry else None

    def problem(self, key: Key) -> TotesError | None:
        """Why the kept result could not be brought up to date; None if nothing failed."""
        with self._lock:
            return self.unreachable or self._problems.get(key)

    def _refresh(self, key: Key, entry: _Entry, state: State | None) -> Future[Rendered] | None:
        if self.unreachable or state is None or entry.result.state == state:
            return None
        if key in self._pending:
            return self._pending[key]
        is_rested = self._clock() >= entry.ended + REST * entry.result.seconds
        return self._start(key) if is_rested and len(self._pending) < _MOST_PENDING else None

    def _start(self, key: Key) -> Future[Rendered]:
        if len(self._pending) >= _MOST_PENDING:
            raise DashboardError("Too many pages are being read at the moment. Try again in a minute.")
        future = self._threads.submit(self._read_and_keep, key)
        self._pending[key] = future
        return future

    def _read_and_keep(self, key: Key) -> Rendered:
        try:
            result = self._read(key)
        except BaseException as error:
            with self._lock:
                self._pending.pop(key, None)
                entry = self._kept.get(key)
                if isinstance(error, TotesError) and entry:
                    self._problems[key] = error
                    self._kept[key] = _Entry(entry.result, self._clock())
                    return entry.result
            raise
        with self._lock:
            self._pending.pop(key, None)
            self._problems.pop(key, None)
            self._kept[key] = _Entry(result, self._clock())
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._problems.pop(self._kept.popitem(last=False)[0], None)
        self._announce(key)
        return result


def _done(result: Rendered) -> Future[Rendered]:
    future: Future[Rendered] = Future()
    future.set_result(result)
    return future
