"""Many faults, one at a time: each happens to a refresh of a fresh copy of a scene, and is then judged."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import cycle, product, repeat
from pathlib import Path

import psycopg

from totes_dagster.errors import TotesError
from totes_dagster_tests.oracle import broken_foreign_keys
from totes_dagster_tests.system.faults.points import Fault, Journal, Point, everything, sample
from totes_dagster_tests.system.faults.proxied import ObjectStore, proxied
from totes_dagster_tests.system.faults.refreshing import PROCESSES, End, Outcome, RefreshProcess, Settings
from totes_dagster_tests.system.faults.scenes import Scene, differences, shown_by, unreadable

_AT_ONCE = 4
"""More than the cores of a small machine: who tries again waits a while first."""

_ENDINGS = {
    Fault.KILLED_BEFORE: {"DIED"},
    Fault.KILLED_AFTER: {"DIED"},
    # Nothing is lost where the driver only wanted to know something, and does without.
    Fault.DISK_FULL: {"DiskFullError", "SUCCESS"},
    Fault.SLOW_DOWN_FOR_GOOD: {"LakeUnavailableError"},
}
"""How a refresh may end of a fault. It must survive all others."""


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong."""

    point: Point
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.point}"


@dataclass(frozen=True)
class Verdict:
    """What came of a case, and whatever is wrong about it, in one line each."""

    case: Case
    outcome: Outcome
    wrongs: list[str]


def every(points: Iterable[Point], faults: Iterable[Fault]) -> list[Case]:
    """Each of these faults at each of these points."""
    return [Case(*case) for case in product(points, faults)]


def some(points: list[Point], faults: Iterable[Fault], count: int, seed: int) -> list[Case]:
    """So many of these points, with one of the faults each, in turn. Every fault at every point, if asked for."""
    if everything():
        return every(points, faults)
    return [Case(*case) for case in zip(sample(points, count, seed), cycle(faults), strict=False)]


class Matrix:
    """Runs cases, some at once; each in a process that has nothing of another one's.

    Every case needs a copy of a database, a process, and a refresh more: some hundred milliseconds of both cores.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._pool = ProcessPoolExecutor(_AT_ONCE, PROCESSES, _adopt, (store.environment,))
        self._points: dict[Path, tuple[datetime, list[Point]]] = {}
        self._endings: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()

    def points(self, scene: Scene) -> list[Point]:
        """All points of a scene's refresh when nothing goes wrong, in an order that is the same each time.

        They are others once the server was restarted: after that, a refresh captures whole what has changed.
        """
        with psycopg.connect(scene.server) as connection:
            ((started,),) = connection.execute("select pg_postmaster_start_time()").fetchall()
        known, points = self._points.get(scene.lake, (None, []))
        if known != started:
            points = self._pool.submit(_points, scene, self._store).result()
            self._points[scene.lake] = started, points
        return points

    def wrongs(self, scene: Scene, cases: Iterable[Case]) -> list[str]:
        """Whatever is wrong after any of these faults, in one line each."""
        wrongs: list[str] = []
        for verdict in self._pool.map(_verdict, repeat(scene), cases, repeat(self._store)):
            self._endings[verdict.case.fault.name][verdict.outcome.ending] += 1
            wrongs += [f"{verdict.case}: {wrong}" for wrong in verdict.wrongs]
        return wrongs

    def summary(self) -> Iterator[str]:
        """How much was tried, and how it ended."""
        cases = sum(map(Counter.total, self._endings.values()))
        yield f"{cases} faults, of refreshes that have {sum(len(points) for _, points in self._points.values())} points"
        for fault, endings in sorted(self._endings.items()):
            yield f"{fault}: {', '.join(f'{count} {ending}' for ending, count in endings.most_common())}"


def _adopt(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)


def _points(scene: Scene, store: ObjectStore) -> list[Point]:
    journal = Journal()
    with scene.copy(store.bucket) as settings:
        outcome = refresh_apart(settings, scene, journal, store)
        assert outcome == Outcome(End.SUCCESS), outcome
        assert not differences(shown_by(settings.platform()), scene.states[-1])
    assert len(set(journal.points)) == len(journal.points)
    return sorted(journal.points)


def _verdict(scene: Scene, case: Case, store: ObjectStore) -> Verdict:
    """Judge a case: on the object store if it is about that, and on a folder, which is faster, if not."""
    used = store if case.point.server == "lake" else None
    journal = Journal(case.point, case.fault)
    with scene.copy(used.bucket if used else None) as settings:
        patience = {"TOTES_RETRY_SECONDS": "0"} if case.fault is Fault.SLOW_DOWN_FOR_GOOD else {}
        outcome = refresh_apart(replace(settings, environment=patience), scene, journal, used)
        if not journal.reached.is_set():
            return Verdict(case, outcome, [f"The refresh never came so far: {outcome}"])
        wrongs = wrongs_after(scene, settings, outcome)
    if outcome.ending not in _ENDINGS.get(case.fault, {"SUCCESS"}):
        wrongs.insert(0, f"The refresh ended otherwise than it may: {outcome}")
    return Verdict(case, outcome, wrongs)


def wrongs_after(scene: Scene, settings: Settings, outcome: Outcome) -> list[str]:
    """Whatever is wrong with a platform after a refresh that ended so, and after a plain one that follows."""
    platform, right = settings.platform(), scene.states[-1]
    wrongs = []
    shown = shown_by(platform)
    if shown != right and (outcome.end is End.SUCCESS or shown not in scene.states):
        wrongs.append(f"The warehouse shows what it never should, after this: {outcome}")
    try:
        settings.refresh()
    except TotesError as error:
        return [*wrongs, f"The next refresh fails: {type(error).__name__}: {error}"]
    if shown_by(platform) != right:
        wrongs.append(f"The warehouse is not what it is without a fault: {differences(shown_by(platform), right)}")
    broken = broken_foreign_keys(platform.warehouse.database.url, platform.warehouse.schema)
    return [*wrongs, *broken, *unreadable(platform, scene.batches)]


def refresh_apart(settings: Settings, scene: Scene, journal: Journal, store: ObjectStore | None) -> Outcome:
    """Refresh in a process of its own, which the journal may kill, by way of proxies; wait for its end."""
    with proxied(settings, journal, store) as way:
        process = RefreshProcess(way.settings, scene.prepare)
        journal.interrupt = process.kill
        return process.run()
