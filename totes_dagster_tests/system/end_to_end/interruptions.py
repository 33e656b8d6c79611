"""Refreshes that do not come to their end: of a lake that fails, a connection that is cut, a process that is killed.

What must become of the platform afterwards is up to the tests.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import psycopg
import pyarrow as pa

from totes_dagster.config.platform import Platform
from totes_dagster.config.settings import RETRY_SECONDS
from totes_dagster.errors import DatabaseUnavailableError, LakeUnavailableError
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.pipeline import refresh
from totes_dagster.runtime.progress import Progress
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster_tests.system.faults.refreshing import End, RefreshProcess, Settings

PATIENCE = 60.0  # seconds

_OURS = "from pg_stat_activity where datname = current_database() and application_name = 'totes_dagster'"

LAKE_FAILURES: tuple[type[BaseException], ...] = (LakeUnavailableError, MemoryError, KeyboardInterrupt)


class Countdown:
    """Lets so many calls pass, and then one thing happen, once.

    Args:
        what: which calls count.
        passes: how many of them to let pass.
        happens: what then happens.
    """

    def __init__(self, what: str, passes: int, happens: Callable[[], object]) -> None:
        self._what = what
        self._left = passes
        self._happens = happens

    def __call__(self, what: str) -> None:
        if what == self._what:
            self._left -= 1
            if self._left == -1:
                self._happens()


def after(stage: str, passes: int, happens: Callable[[], object]) -> Progress:
    """A progress callback that lets something happen once, after so many calls of a stage."""
    countdown = Countdown(stage, passes, happens)
    return lambda now, _table, _rows: countdown(now)


@dataclass(frozen=True)
class LakeFailure:
    """A lake that fails of a request, of which it had answered so many.

    Attributes:
        moment: `before create`, `after create`, `before read` or `before exists`.
        failure: what it then raises.
    """

    moment: str
    passes: int
    failure: type[BaseException]

    def strike(self, platform: Platform) -> bool:
        """Refresh; whether that came to its end."""
        countdown = Countdown(self.moment, self.passes, self._fail)
        lake = Lake(FaultyZone(platform.lake.ingestion, countdown), FaultyZone(platform.lake.processed, countdown))
        with _impatience(), suppress(self.failure):
            refresh(replace(platform, lake=lake))
            return True
        return False

    def _fail(self) -> None:
        raise self.failure("The lake failed.")


@dataclass(frozen=True)
class LostConnections:
    """Connections to both databases that are cut after so many calls of a stage."""

    stage: str
    passes: int

    def strike(self, platform: Platform) -> bool:
        """Refresh; whether that came to its end."""
        with _impatience(), suppress(DatabaseUnavailableError):
            refresh(platform, progress=after(self.stage, self.passes, partial(cut_connections, platform)))
            return True
        return False


@dataclass(frozen=True)
class KilledProcess:
    """A process that is killed when it has so often created an object of the lake, or committed to the warehouse.

    Attributes:
        moment: `before create`, `after create`, `before commit` or `after commit`.
    """

    moment: str
    passes: int

    def strike(self, platform: Platform) -> bool:
        """Refresh; whether that came to its end."""
        settings = Settings(
            source=platform.source.url,
            warehouse=platform.warehouse.database.url,
            ingestion=platform.lake.ingestion.url,
            processed=platform.lake.processed.url,
            schema=platform.warehouse.schema,
            from_log=platform.from_log,
        )
        outcome = RefreshProcess(settings, partial(_die_at, self.moment, self.passes)).run()
        assert outcome.end in {End.SUCCESS, End.DIED}, outcome
        _wait_until_nobody_is_connected(platform)
        return outcome.end is End.SUCCESS


Interruption = LakeFailure | LostConnections | KilledProcess


class FaultyZone(Zone):
    """A zone that may fail.

    Args:
        zone: the zone.
        fails: called around each request with what is asked and when; it raises what the zone fails of, or does not.
    """

    def __init__(self, zone: Zone, fails: Callable[[str], None]) -> None:
        super().__init__(zone.url)
        self._fails = fails

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        self._fails("before create")
        created = super().create(path, data)
        self._fails("after create")
        return created

    def read(self, path: str) -> pa.Buffer | None:
        self._fails("before read")
        return super().read(path)

    def exists(self, path: str) -> bool:
        self._fails("before exists")
        return super().exists(path)


def cut_connections(platform: Platform) -> None:
    """End the platform's connections to both databases, as an administrator can, and see that they are gone."""
    for database in (platform.source, platform.warehouse.database):
        with psycopg.connect(database.url) as connection:
            connection.execute(f"select pg_terminate_backend(pid, 5000) {_OURS}")


@contextmanager
def _impatience() -> Iterator[None]:
    """Let what fails for a moment not be tried again."""
    with patch.dict(os.environ, {RETRY_SECONDS: "0"}):
        yield


def _wait_until_nobody_is_connected(platform: Platform) -> None:
    """A server notices that a client is gone when it next looks."""
    give_up_at = time.monotonic() + PATIENCE
    for database in (platform.source, platform.warehouse.database):
        with psycopg.connect(database.url, autocommit=True) as connection:
            ours = (
                "select from pg_stat_activity where datname = current_database() and application_name = 'totes_dagster'"
            )
            while connection.execute(ours).rowcount:
                assert time.monotonic() < give_up_at
                time.sleep(0.01)


def _die_at(moment: str, passes: int) -> None:
    """Let this process, which must have done nothing yet, kill itself at a moment to come."""
    countdown = Countdown(moment, passes, lambda: os.kill(os.getpid(), signal.SIGKILL))
    for owner, name in ((Zone, "create"), (LoadTransaction, "commit")):
        _surround(owner, name, countdown)


def _surround(owner: type, name: str, countdown: Countdown) -> None:
    original = getattr(owner, name)

    def surrounded(*arguments: Any) -> Any:
        countdown(f"before {name}")
        result = original(*arguments)
        countdown(f"after {name}")
        return result

    setattr(owner, name, surrounded)
