"""Many faults, one at a time: each happens to a refresh of a fresh copy of a scene, and is then judged."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, repeat

from totes_dagster.errors import TotesError
from totes_dagster.stages.refresh import refresh
from totes_dagster_tests.end_to_end.world import World
from totes_dagster_tests.faults.points import Fault, Journal, Point
from totes_dagster_tests.faults.postgres_proxy import PostgresProxy
from totes_dagster_tests.faults.refreshing import PROCESSES, End, Outcome, RefreshProcess, Settings
from totes_dagster_tests.faults.s3_proxy import S3Proxy
from totes_dagster_tests.oracle import broken_foreign_keys
from totes_dagster_tests.faults.scenes import Scene, shown_by, unreadable

_AT_ONCE = 2


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server, a bucket of it for the lakes, and the variables that lead there."""

    endpoint: str
    bucket: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong."""

    point: Point
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.point}"


class Matrix:
    """Runs cases, some at once; each in a process of its own, that has nothing of another one's."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._pool = ProcessPoolExecutor(_AT_ONCE, PROCESSES, _adopt, [store.environment])
        self.cases = 0

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()

    def points(self, scene: Scene) -> list[Point]:
        """All points of a scene's refresh when nothing goes wrong, in an order that is the same each time."""
        return self._pool.submit(_points, scene, self._store).result()

    def wrongs(self, scene: Scene, cases: Sequence[Case]) -> list[str]:
        """Whatever is wrong after any of these faults, in one line each."""
        self.cases += len(cases)
        return list(chain.from_iterable(self._pool.map(_wrongs, repeat(scene), cases, repeat(self._store))))


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


def _wrongs(scene: Scene, case: Case, store: ObjectStore) -> list[str]:
    """Judge one case: on the object store if it is about that, and on a folder, which is faster, if not."""
    used = store if case.point.server == "lake" else None
    with scene.copy(used and used.bucket) as settings:
        return [f"{case}: {wrong}" for wrong in _judge(scene, settings, case, used)]


def _judge(scene: Scene, settings: Settings, case: Case, store: ObjectStore | None) -> list[str]:
    journal = Journal(case.point, case.fault)
    outcome = _refresh(settings, scene, store, journal)
    if not journal.reached.is_set():
        return [f"It never came so far: {outcome}"]
    platform = settings.platform()
    wrongs = []
    if outcome.end is not End.DIED if case.fault.kills else outcome.end not in {End.SUCCESS, End.NAMED_ERROR}:
        wrongs.append(f"The refresh ended otherwise than it may: {outcome}")
    states = scene.states[-1:] if outcome.end is End.SUCCESS else scene.states
    if shown_by(platform) not in states:
        wrongs.append(f"The warehouse shows what it never should ({outcome}).")
    try:
        refresh(platform)
    except TotesError as error:
        return [*wrongs, f"The next refresh fails: {error!r}"]
    if shown_by(platform) != scene.states[-1]:
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
