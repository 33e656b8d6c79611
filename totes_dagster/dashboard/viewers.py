"""Who looks at which page, and the events that tell their browsers that there is a newer one."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

from totes_dagster.dashboard.results import Key, Results
from totes_dagster.dashboard.shell import version_of

_MOST = 500
_KEEP_ALIVE_SECONDS = 20.0
"""Proxies close a connection on which nothing is sent for a while."""


class Viewers:
    """The open event streams, by what they are about."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._count: Counter[Key] = Counter()
        self._news = asyncio.Condition()
        self._is_closed = False

    @property
    def keys(self) -> list[Key]:
        """What is being looked at."""
        return [key for key, count in self._count.items() if count]

    def is_full(self) -> bool:
        """Whether there are as many streams as may be."""
        return self._count.total() >= _MOST

    async def announce(self) -> None:
        """Let all streams look for news."""
        async with self._news:
            self._news.notify_all()

    async def close(self) -> None:
        """End all streams."""
        self._is_closed = True
        await self.announce()

    async def events(self, key: Key, version: str) -> AsyncIterator[str]:
        """The stream of a viewer: an event for each result that is newer than what is shown.

        Args:
            key: what is looked at.
            version: the version that is shown.
        """
        self._count[key] += 1
        try:
            yield "retry: 2000\n\n"
            while not self._is_closed:
                kept = self._results.kept(key)
                if kept is not None and version_of(kept.state) != version:
                    version = version_of(kept.state)
                    yield f"event: batch\ndata: {json.dumps({'batch': kept.state.batch, 'version': version})}\n\n"
                    continue
                async with self._news:
                    if self._is_closed:
                        return
                    try:
                        await asyncio.wait_for(self._news.wait(), _KEEP_ALIVE_SECONDS)
                    except TimeoutError:
                        yield ": still here\n\n"
        finally:
            self._count[key] -= 1
            if not self._count[key]:
                del self._count[key]
