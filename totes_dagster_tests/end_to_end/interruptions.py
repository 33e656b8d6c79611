"""Refreshes that do not come to their end: of a lake that fails, a connection that is cut, a process that is killed.

What must become of the platform afterwards is up to the tests.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa

from totes_dagster.errors import LakeUnavailableError
from totes_dagster.lake.store import Lake
from totes_dagster.platform import Platform
from totes_dagster.stages.progress import Progress
from totes_dagster.stages.warehouse import LoadTransaction


class FaultyLake(Lake):
    """A zone that fails once.

    Args:
        lake: the zone.
        fails: called before and after each request, with what is asked for and when; it raises what the zone fails of.
    """

    def __init__(self, lake: Lake, fails: Callable[[str], None]) -> None:
        super().__init__(lake.url)
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


class Countdown:
    """Lets so many calls pass, and then one thing happen, once.

    Args:
        what: which calls count.
        passes: how many of them to let pass.
        happens: what then happens.
    """

    def __init__(self, what: str, passes: int, happens: Callable[[], Any]) -> None:
        self._what = what
        self._left = passes
        self._happens = happens

    def __call__(self, what: str) -> None:
        if what == self._what:
            self._left -= 1
            if self._left == -1:
                self._happens()


def with_faulty_lake(platform: Platform, what: str, passes: int, failure: type[BaseException]) -> Platform:
    """The platform, whose lake fails of a request after so many of its kind."""

    def fail() -> None:
        raise failure("The lake failed.")

    countdown = Countdown(what, passes, fail)
    return replace(
        platform,
        ingestion=FaultyLake(platform.ingestion, countdown),
        processed=FaultyLake(platform.processed, countdown),
    )


LAKE_FAILURES: tuple[type[BaseException], ...] = (LakeUnavailableError, MemoryError, KeyboardInterrupt)


def cutting_connections(platform: Platform, stage: str, passes: int) -> Progress:
    """A progress callback that ends the platform's connections to both databases after so many calls of a stage."""
    countdown = Countdown(stage, passes, lambda: _cut(platform))
    return lambda stage, _table, _rows: countdown(stage)


def _cut(platform: Platform) -> None:
    for database in (platform.source, platform.warehouse):
        with psycopg.connect(database.url) as connection:
            connection.execute(
                """
                select pg_terminate_backend(pid, 5000) from pg_stat_activity
                where datname = current_database() and application_name = 'totes_dagster'"""
            )


def die_at(what: str, passes: int) -> None:
    """Let this process be killed by itself, before or after the lake creates an object or the warehouse commits.

    To be called in a process of its own, before anything else.
    """
    countdown = Countdown(what, passes, lambda: os.kill(os.getpid(), signal.SIGKILL))
    for owner, name in ((Lake, "create"), (LoadTransaction, "commit")):
        _wrap(owner, name, countdown)


def _wrap(owner: type, name: str, countdown: Countdown) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any) -> Any:
        countdown(f"before {name}")
        result = original(*arguments)
        countdown(f"after {name}")
        return result

    setattr(owner, name, wrapped)
