"""The rows of the table: what is measured, and what each is compared with."""

import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.bench import Bench, new_bench
from benchmarks.limit import copy_by_psql
from benchmarks.measuring import Measured, median, run, run_totes, run_work
from totes_dagster.simulator.seeding import publish


@dataclass(frozen=True)
class Size:
    """How much to measure: sales orders, batches of a lake with a history, and repetitions."""

    orders: int
    batches: int
    rounds: int


def first_load(bench: Bench, size: Size) -> Iterator[str]:
    """A first load against the limit, in turns."""
    company = bench.company(size.orders)
    loads, staged, limits = [], [], []
    for number in range(size.rounds):
        loads.append(run_work(bench, bench.platform(company, name := f"first_{number}"), "first-load"))
        bench.settle(name)
        limits.append(copy_by_psql(bench, name))
        bench.drop(name)
        staged.append(run_work(bench, bench.platform(company, name := f"staged_{number}"), "first-stages"))
        bench.drop(name)
    limit = statistics.median(each.seconds for each in limits)
    copying = statistics.median(each.copying for each in limits)
    seconds, cpu = (statistics.median(each.result["refresh"][name] for each in loads) for name in ("seconds", "cpu"))
    server = statistics.median(each.server_cpu for each in loads)
    peak = max(each.result["refresh"]["peak"] for each in loads)
    yield f"{size.orders:,} orders: {seconds:.1f} s, {seconds / limit:.2f} times the limit of {limit:.1f} s"
    yield f"the limit: COPY {copying:.1f} s, keys, indexes and references {limit - copying:.1f} s"
    yield f"{cpu:.1f} CPU seconds of the client, {server:.1f} of the server; peak memory of the process {peak:.0f} MB"
    for name in ("ingest", "remodel", "load"):
        took, cpu = (statistics.median(each.result[name][what] for each in staged) for what in ("seconds", "cpu"))
        yield f"{name} alone: {took:.1f} s, {took / limit:.2f} times the limit; {cpu:.1f} CPU seconds of the client"


def refresh(bench: Bench, size: Size) -> Iterator[str]:
    """Refreshes in a warm process, and as a command."""
    company = bench.company(size.orders)
    platform = bench.platform(company, "refreshed")
    run_totes(bench, platform, "refresh")
    bench.settle("refreshed")
    warm = run_work(bench, platform, "refreshes", str(4 * size.rounds))
    for name, seconds in warm.result.items():
        yield f"{name}, {size.orders:,} orders: {statistics.median(seconds):.3f} s in a warm process"
    idle = [run_totes(bench, platform, "refresh") for _ in range(size.rounds)]
    imports = [run(bench, [sys.executable, "-c", "import pandas, pyarrow"]) for _ in range(size.rounds)]
    yield (
        f"`totes refresh` with nothing to do: {median(idle):.2f} s, {median(idle) / median(imports):.1f} times "
        f"`import pandas, pyarrow` ({median(imports):.2f} s)"
    )


def log(_: Bench, size: Size) -> Iterator[str]:
    """Refreshes in a warm process from the source's log, beside those by counting, on a server of their own."""
    with new_bench({"wal_level": "logical"}) as bench:
        company = bench.company(size.orders)
        publish(bench.server.url(company))
        took = []
        for name, from_log in (("counted", False), ("logged", True)):
            platform = replace(bench.platform(company, name), from_log=from_log)
            run_totes(bench, platform, "refresh")
            bench.settle(name)
            took.append(run_work(bench, platform, "refreshes", str(4 * size.rounds)).result)
        counted, logged = took
        for name, seconds in logged.items():
            median_logged, median_counted = statistics.median(seconds), statistics.median(counted[name])
            yield (
                f"{name}, {size.orders:,} orders: {median_logged:.3f} s from the log, "
                f"{median_logged / median_counted:.2f} times counting ({median_counted:.3f} s)"
            )


def reconcile(bench: Bench, size: Size) -> Iterator[str]:
    """A reconciliation of equal tables, and a rebuild of the warehouse from one large batch."""
    platform = bench.platform(bench.company(size.orders), "compared")
    first = run_totes(bench, platform, "refresh")
    bench.settle("compared")
    compared = [run_totes(bench, platform, "reconcile") for _ in range(size.rounds)]
    yield _beside(f"reconcile, {size.orders:,} orders", compared, "the first load", first)
    rebuilt = [run_totes(bench, platform, "rebuild", "--yes") for _ in range(size.rounds)]
    yield _beside(f"rebuild, {size.orders:,} orders", rebuilt, "the first load", first)


def history(bench: Bench, size: Size) -> Iterator[str]:
    """A lake of many small batches: the backlog, a rebuild, and refreshes after it."""
    company = bench.company(min(size.orders, 20_000))
    platform = bench.platform(company, "long")
    run_totes(bench, platform, "refresh")
    early = run_work(bench, platform, "refreshes", str(4 * size.rounds))
    made = run_work(bench, platform, "batches", str(size.batches))
    yield f"{size.batches:,} batches ingested and remodelled: {1000 * made.seconds / size.batches:.0f} ms each"
    backlog = run_totes(bench, platform, "refresh")
    yield f"{size.batches:,} waiting batches loaded: {backlog.seconds:.1f} s, {_each(backlog, size.batches)}"
    rebuilt = run_totes(bench, platform, "rebuild", "--yes")
    yield f"rebuild from {size.batches:,} batches: {rebuilt.seconds:.1f} s, {_each(rebuilt, size.batches)}"
    late = run_work(bench, platform, "refreshes", str(4 * size.rounds))
    for name, seconds in late.result.items():
        before, after = statistics.median(early.result[name]), statistics.median(seconds)
        yield f"{name}, after {size.batches:,} batches: {after:.3f} s, {after / before:.2f} times that after a few"


def start(bench: Bench, size: Size) -> Iterator[str]:
    """What it takes to start: imports, and the command line."""
    imports = [run(bench, [sys.executable, "-c", "import pandas, pyarrow"]) for _ in range(size.rounds)]
    helped = [run(bench, [sys.executable, "-m", "totes_dagster.cli.commands", "--help"]) for _ in range(size.rounds)]
    definitions = [run(bench, [sys.executable, "-c", "import totes_dagster.definitions"]) for _ in range(size.rounds)]
    for name, each in (("`totes --help`", helped), ("import of the definitions", definitions)):
        yield _beside(name, each, "`import pandas, pyarrow`", *imports)


ROWS: dict[str, Callable[[Bench, Size], Iterator[str]]] = {
    "first-load": first_load,
    "refresh": refresh,
    "log": log,
    "reconcile": reconcile,
    "history": history,
    "start": start,
}


def _each(measured: Measured, batches: int) -> str:
    return f"{1000 * measured.seconds / batches:.1f} ms each"


def _beside(name: str, measured: list[Measured], other: str, *others: Measured) -> str:
    ratio = median(measured) / median(list(others))
    return f"{name}: {median(measured):.2f} s, {ratio:.2f} times {other} ({median(list(others)):.2f} s)"
