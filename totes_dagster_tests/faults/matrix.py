"""Many faults, one at a time: each happens to a refresh of a fresh copy of a scene, and is then judged."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import repeat

from totes_dagster.errors import TotesError
from totes_dagster.stages.refresh import refresh
from totes_dagster_tests.end_to_end.world import World
from totes_dagster_tests.faults.points import Fault, Journal, Point
from totes_dagster_tests.faults.postgres_proxy import PostgresProxy
from totes_dagster_tests.faults.refreshing import PROCESSES, End, Outcome, RefreshProcess, Settings
from totes_dagster_tests.faults.s3_proxy import S3Proxy
from totes_dagster_tests.faults.scenes import Scene, shown_by, unreadable
from totes_dagster_tests.oracle import broken_foreign_keys

_AT_ONCE = 3
"""More than the cores of a small machine: who tries again waits a while first."""


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server, a bucket of it for the lakes, and the variables that lead there."""

    endpoint: str
    bucket: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong, and how the refresh may end of it."""

    point: Point
    fault: Fault
    ends: frozenset[End]

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.point}"


@dataclass(frozen=True)
class Verdict:
    """What came of a case, and whatever is wrong about it, in one line each."""

    case: Case
    outcome: Outcome
    wrongs: list[str]


class Matrix:
    """Runs cases, some at once; each in a process that has nothing of another one's.

    Attributes:
        outcomes: how many refreshes ended in which way, by fault.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._pool = ProcessPoolExecutor(_AT_ONCE, PROCESSES, _adopt, [store.environment])
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()

    def points(self, scene: Scene) -> list[Point]:
        """All points of a scene's refresh when nothing goes wrong, in an order that is the same each time."""
        return self._pool.submit(_points, scene, self._store).result()

    def wrongs(self, scene: Scene, cases: Iterable[Case]) -> list[str]:
        """Whatever is wrong after any of these faults, in one line each."""
        wrongs: list[str] = []
        for verdict in self._pool.map(_verdict, repeat(scene), cases, repeat(self._store)):
            ending = f"{verdict.outcome.end.name} {verdict.outcome.error}".strip()
            self.outcomes[verdict.case.fault.name, ending] += 1
            wrongs += [f"{verdict.case}: {wrong}" for wrong in verdict.wrongs]
        return wrongs


def _adopt(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)


def _points(scene: Scene, store: ObjectStore) -> list[Point]:
    journal = Journal()
    with scene.copy(store.bucket) as settings:
        outcome = _refresh(settings, scene, store, journal)
        assert outcome == Outcome(End.SUCCESS), outcome
        assert shown_by(settings.platform()) == scene.states[-1]
    assert len(set(journal.points)) == len(journal.points)
    return sorted(journal.points)


def _verdict(scene: Scene, case: Case, store: ObjectStore) -> Verdict:
    """Judge a case: on the object store if it is about that, and on a folder, which is faster, if not."""
    used = store if case.point.server == "lake" else None
    journal = Journal(case.point, case.fault)
    with scene.copy(used and used.bucket) as settings:
        outcome = _refresh(settings, scene, used, journal)
        if not journal.reached.is_set():
            return Verdict(case, outcome, [f"The refresh never came so far: {outcome}"])
        return Verdict(case, outcome, _wrongs(scene, settings, case, outcome))


def _wrongs(scene: Scene, settings: Settings, case: Case, outcome: Outcome) -> list[str]:
    platform, right = settings.platform(), scene.states[-1]
    wrongs = []
    if outcome.end not in case.ends:
        wrongs.append(f"The refresh ended otherwise than it may: {outcome}")
    shown = shown_by(platform)
    if shown != right and (outcome.end is End.SUCCESS or shown not in scene.states):
        wrongs.append(f"The warehouse shows what it never should, after this: {outcome}")
    try:
        refresh(platform)
    except TotesError as error:
        return [*wrongs, f"The next refresh fails: {type(error).__name__}: {error}"]
    if shown_by(platform) != right:
        wrongs.append(f"The warehouse is not what it is without a fault: {World(platform).wrongs()}")
    broken = broken_foreign_keys(platform.warehouse.url, platform.schema)
    return [*wrongs, *broken, *unreadable(platform, scene.batches)]


def _refresh(settings: Settings, scene: Scene, store: ObjectStore | None, journal: Journal) -> Outcome:
    """Refresh in a process of its own that reaches every server through a proxy, and wait for its end."""
    with ExitStack() as stack:
        source = stack.enter_context(PostgresProxy("source", settings.source, journal))
        warehouse = stack.enter_context(PostgresProxy("warehouse", settings.warehouse, journal))
        environment = dict(settings.environment)
        if store:
            environment["AWS_ENDPOINT_URL"] = stack.enter_context(S3Proxy(store.endpoint, journal)).url
        proxied = replace(settings, source=source.url, warehouse=warehouse.url, environment=environment)
        process = RefreshProcess(proxied, scene.prepare)
        journal.interrupt = process.kill
        return process.wait()
