"""The row `cluster`: large batches shared with workers, beside one process that does everything.

All workers are on this machine, so they share its cores with the databases and with one another. What the row shows is
what sharing costs, and what of the work it divides; not how fast several machines are.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psutil

from benchmarks.bench import Bench
from benchmarks.measuring import settings_of
from benchmarks.rows import Size
from totes_dagster import pipeline
from totes_dagster.cluster.credentials import new_credentials, write_credentials
from totes_dagster.cluster.local import LocalCluster
from totes_dagster.config.platform import Platform

_PORT = 18_786
_NAPS, _NAP_SECONDS = 200, 0.05


@dataclass(frozen=True)
class Shared:
    """What a first load took.

    Attributes:
        seconds: by stage.
        server: CPU seconds of the server, by stage.
        cpu: CPU seconds of all other processes, by stage.
        bytes: what passed between these.
    """

    seconds: dict[str, float]
    server: dict[str, float]
    cpu: dict[str, float]
    bytes: int

    @property
    def all_cpu(self) -> float:
        """CPU seconds of all processes but the server's."""
        return sum(self.cpu.values())


def cluster(bench: Bench, size: Size) -> Iterator[str]:
    """A first load by one process, by one worker and by two, in turns."""
    company = bench.company(size.orders)
    loads: dict[int, list[Shared]] = {0: [], 1: [], 2: []}
    for number in range(size.rounds):
        for workers, done in loads.items():
            name = f"shared_{number}_{workers}"
            with _workers(bench, bench.platform(company, name), workers) as platform:
                done.append(_load(bench, platform))
            bench.drop(name)
    rows = 4.3 * size.orders / 1_000_000
    for workers, done in loads.items():
        said = ", ".join(_said_of(stage, done) for stage in done[0].seconds)
        cpu = statistics.median(each.all_cpu for each in done)
        beside = cpu / statistics.median(each.all_cpu for each in loads[0])
        moved = statistics.median(each.bytes for each in done) / 1000 / rows
        by = f"{workers} worker{'' if workers == 1 else 's'}" if workers else "one process alone"
        yield (
            f"{by}, {size.orders:,} orders: {said}; {cpu:.1f} CPU seconds, {beside:.2f} times one process"
            + (f"; {moved:.0f} kB between processes for a million rows" if workers else "")
        )
    for workers in (1, 2, 4):
        with _workers(bench, bench.platform(company, f"naps_{workers}"), workers) as platform:
            empty, naps = _naps(platform, 1000, 0), _naps(platform, _NAPS, _NAP_SECONDS)
        bench.drop(f"naps_{workers}")
        shared = _NAPS * _NAP_SECONDS / workers
        yield (
            f"{workers} worker{'' if workers == 1 else 's'}: {1000 / empty:.0f} empty tasks a second; {_NAPS} tasks "
            f"that sleep {_NAP_SECONDS} s: {naps:.1f} s, {naps / shared:.2f} times their share"
        )


@contextmanager
def _workers(bench: Bench, platform: Platform, workers: int) -> Iterator[Platform]:
    """The platform, with so many workers; with none, one process does everything."""
    if not workers:
        yield platform
        return
    folder = bench.folder / "cluster"
    credentials = new_credentials()
    write_credentials(credentials, folder)
    with LocalCluster(credentials, folder, port=_PORT).running(
        workers, {**os.environ, **settings_of(platform)}
    ) as running:
        yield replace(platform, cluster=running)


def _said_of(stage: str, loads: list[Shared]) -> str:
    seconds, cpu, server = (
        statistics.median(getattr(each, what)[stage] for each in loads) for what in ("seconds", "cpu", "server")
    )
    return f"{stage} {seconds:.1f} s ({cpu:.1f} CPU seconds, {server:.1f} of the server)"


def _load(bench: Bench, platform: Platform) -> Shared:
    stages: dict[str, Callable[[], object]] = {
        "ingest": lambda: pipeline.ingest(platform.source, platform.lake.ingestion, cluster=platform.cluster),
        "remodel": lambda: pipeline.remodel_all(platform.lake, cluster=platform.cluster),
        "load": lambda: pipeline.load(platform.warehouse, platform.lake, cluster=platform.cluster),
    }
    done, sent = Shared({}, {}, {}, 0), _bytes_sent()
    for name, stage in stages.items():
        cpu, server = _cpu_seconds(), bench.cpu_seconds()
        done.seconds[name] = _seconds(stage)
        done.cpu[name], done.server[name] = _cpu_seconds() - cpu, bench.cpu_seconds() - server
    return replace(done, bytes=_bytes_sent() - sent)


def _naps(platform: Platform, count: int, seconds: float) -> float:
    """The seconds that so many tasks take which do nothing but sleep."""
    by, works = platform.cluster, [seconds] * count
    if by is None:
        raise ValueError("There are no workers.")
    return _seconds(lambda: list(by.each("naps", works, task=time.sleep, here=time.sleep)))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _cpu_seconds() -> float:
    """CPU seconds of this process, the scheduler and the workers."""
    this = psutil.Process(os.getpid())
    used = 0.0
    for process in (this, *this.children(recursive=True)):
        try:
            if not process.name().startswith("postgres"):
                times = process.cpu_times()
                used += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return used


def _bytes_sent() -> int:
    """Bytes over this machine's own network; the servers of a benchmark are reached by sockets in a folder."""
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)
