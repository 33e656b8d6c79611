"""A refresh in a process of its own, which can be killed; and how it ended.

Starting Python anew would cost more than the refresh, so the processes are forked from one that has imported
everything and has done nothing yet.
"""

import logging
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Event

from totes_dagster.config.platform import Platform
from totes_dagster.errors import TotesError
from totes_dagster.feed_pipeline import refresh_feed
from totes_dagster.feeds.declared import FEEDS
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.pipeline import refresh
from totes_dagster_tests.system.platforms import platform_at

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["totes_dagster_tests.system.faults.preloaded"])

_FRAMES = 3
_LONGEST = 60  # seconds that a refresh may take, whatever happens to it


class End(Enum):
    """How a refresh ended."""

    SUCCESS = "it succeeded"
    NAMED_ERROR = "it failed of an error of the platform's"
    OTHER_ERROR = "it failed of something that has no name of the platform's"
    DIED = "its process is gone"
    HANGS = "it did not end"


@dataclass(frozen=True)
class Outcome:
    """How a refresh ended, and what it said."""

    end: End
    error: str = ""
    said: str = ""

    @property
    def ending(self) -> str:
        """In a word: the platform's error if it is one, and if not, how it ended."""
        return self.error if self.end is End.NAMED_ERROR else f"{self.end.name} {self.error}".strip()

    def __str__(self) -> str:
        return f"{self.end.value} {self.error} {self.said}".strip()


@dataclass(frozen=True)
class Settings:
    """A platform in words that another process understands.

    Attributes:
        landing: where files of feeds are, if the refresh is one of feeds.
        from_log: whether changes are captured from the source's log.
        environment: variables that this process has besides.
    """

    source: str
    warehouse: str
    ingestion: str
    processed: str
    schema: str = "public"
    landing: str = ""
    from_log: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def platform(self) -> Platform:
        """The platform, in this process."""
        lake = Lake(Zone(self.ingestion), Zone(self.processed))
        return replace(platform_at(self.source, self.warehouse, lake, self.schema), from_log=self.from_log)

    def refresh(self) -> None:
        """Refresh it, or its feeds."""
        platform = self.platform()
        if not self.landing:
            refresh(platform)
            return
        for feed in FEEDS.values():
            refresh_feed(feed, LandingZone(Zone(self.landing), timedelta()), platform.lake, platform.warehouse)


class RefreshProcess:
    """A refresh that runs beside this process.

    Args:
        settings: the platform.
        prepare: called in the new process before anything else.
    """

    def __init__(self, settings: Settings, prepare: Callable[[], None] | None = None) -> None:
        self._outcome, self._channel = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_run, args=(settings, prepare, self._channel), daemon=True)
        self._started = Event()

    def run(self) -> Outcome:
        """Start it, and wait for its end."""
        self._process.start()
        self._channel.close()
        self._started.set()
        try:
            if self._outcome.poll(_LONGEST):
                outcome: Outcome = self._outcome.recv()
            else:
                self.kill()
                outcome = Outcome(End.HANGS)
        except EOFError:
            outcome = Outcome(End.DIED)
        self._process.join()
        self._outcome.close()
        return outcome

    def kill(self) -> None:
        """Kill it as nobody can object to, and see that it is gone."""
        self._started.wait(_LONGEST)
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        # The kernel closes its end of the channel when nothing of the process is left to run.
        assert self._outcome.poll(_LONGEST)


def _run(settings: Settings, prepare: Callable[[], None] | None, channel: Connection) -> None:
    try:
        os.environ.update(settings.environment)
        logging.getLogger().addHandler(logging.NullHandler())  # its warnings are not the tests' own
        if prepare:
            prepare()
        settings.refresh()
    except TotesError as error:
        channel.send(Outcome(End.NAMED_ERROR, type(error).__name__, str(error)))
    except BaseException as error:
        frames = traceback.format_tb(error.__traceback__)[-_FRAMES:]
        channel.send(Outcome(End.OTHER_ERROR, type(error).__name__, f"{error} {frames}"))
    else:
        channel.send(Outcome(End.SUCCESS))
