"""How Dagster's storage grows with refreshes, and that it stays flat under `prune`.

    .venv/bin/python -m benchmarks.growth sqlite
    .venv/bin/python -m benchmarks.growth postgres --refreshes 300

Executes real refreshes of a small company, in this process, each of what a change of the source affects; measures what
each kind of data grew by, and extrapolates to 10,000 refreshes, linearly. Then it prunes all but the newest refresh and
executes as many again: what is on disk should be what it was. A run that the daemon starts has a dozen events more, of
its launch. The sensor's ticks are written by the same call as the daemon's, one for each refresh.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import click
import psycopg
from dagster import DagsterInstance, RunConfig
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from rich.table import Table

from benchmarks.bench import new_bench
from totes_dagster.orchestration.jobs import assets_affected_by
from totes_dagster.orchestration.retention import PruneConfig
from totes_dagster.runtime.terminal import console
from totes_dagster_tests.integration.graph import Graph, graph_of

PER = 10_000

KINDS = {
    "event_logs": "events",
    "runs": "runs",
    "run_tags": "run tags",
    "asset_check_executions": "check executions",
    "asset_event_tags": "event tags",
    "asset_keys": "assets",
    "snapshots": "job snapshots",
    "job_ticks": "ticks",
}


@dataclass(frozen=True)
class Size:
    """Of one kind of data: rows or files, and bytes in use."""

    rows: int
    bytes: int


class Storage(Protocol):
    """A storage of Dagster's, and what to ask it."""

    configuration: str

    def tables(self, home: Path) -> dict[str, Size]:
        """Tables and their sizes, with indexes."""

    def tidy(self) -> None:
        """Do what the database does by itself, sooner or later."""

    def on_disk(self, home: Path) -> int:
        """All bytes, in use or free."""


class Sqlite:
    """SQLite files in the home; the events of each run in one of its own, and copies of some in `index.db`."""

    configuration = ""

    def tables(self, home: Path) -> dict[str, Size]:
        """Tables of the shared files, and the runs' own files as one."""
        sizes = {}
        for file in (home / "history/runs.db", home / "history/runs/index.db", home / "schedules/schedules.db"):
            with sqlite3.connect(file) as connection:
                query = "select tbl_name, sum(pgsize) from dbstat join sqlite_master using (name) group by 1"
                for name, used in connection.execute(query).fetchall():
                    (rows,) = connection.execute(f"select count(*) from {name}").fetchone()  # noqa: S608 - Dagster's
                    sizes[f"{name} ({file.name})" if name == "event_logs" else name] = Size(rows, used)
        runs = [file for file in (home / "history/runs").glob("*.db") if file.name != "index.db"]
        sizes["files of runs' events"] = Size(len(runs), sum(file.stat().st_size for file in runs))
        return sizes

    def tidy(self) -> None:
        """Nothing: a free page is used by whatever is written next."""

    def on_disk(self, home: Path) -> int:
        """All files of the home."""
        return _files(home).bytes


class Postgres:
    """One database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.configuration = f"storage:\n  postgres:\n    postgres_url: {url}\n"

    def tables(self, home: Path) -> dict[str, Size]:  # noqa: ARG002 - others look there
        """All of Dagster's tables."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "select relname, pg_total_relation_size(relid) from pg_stat_user_tables"
            return {
                name: Size(connection.execute(f"select count(*) from {name}").fetchone()[0], used)  # type: ignore[index] # noqa: S608
                for name, used in connection.execute(query).fetchall()
            }

    def tidy(self) -> None:
        """What autovacuum does by the minute, without which space is not used again."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("vacuum")

    def on_disk(self, home: Path) -> int:
        """The database's files, and those of compute logs."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("select pg_database_size(current_database())").fetchone()
        return (row[0] if row else 0) + _files(home).bytes


def measured(storage: Storage, home: Path) -> dict[str, Size]:
    """Sizes by kind of data."""
    storage.tidy()
    named = {KINDS.get(name, name.replace("event_logs", "events")): size for name, size in storage.tables(home).items()}
    return {**named, "compute logs": _files(home / "storage"), "all, on disk": Size(0, storage.on_disk(home))}


def refreshed(graph: Graph, times: int) -> float:
    """Change the source and refresh, again and again; return the seconds that one refresh took."""
    started = time.monotonic()
    for number in range(times):
        order = 1 + number % 20
        graph.change(f"update sales_order set units_sold = units_sold % 1000 + 1 where sales_order_id = {order}")  # noqa: S608
        tags = {"totes/changed": "sales_order", "dagster/sensor_name": "totesys_changes"}
        run = graph.run(tags=tags, asset_selection=assets_affected_by(["sales_order"]))
        graph.instance.create_tick(
            TickData(
                instigator_origin_id="0" * 40,
                instigator_name="totesys_changes",
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus.SUCCESS,
                timestamp=time.time(),
                run_ids=[run.run_id],
                selector_id="1" * 40,
                cursor="0/1A2B3C4D 2000 0",
                origin_run_ids=[],
            )
        )
        if number % 25 == 24:  # noqa: PLR2004
            console.print(f"  {number + 1} refreshes, {(time.monotonic() - started) / (number + 1):.1f} s each")
    return (time.monotonic() - started) / times


def pruned(graph: Graph) -> float:
    """Remove all refreshes but the newest, and all ticks; return the seconds that took."""
    started = time.monotonic()
    graph.run("prune", run_config=RunConfig(ops={"prune_history": PruneConfig(refreshes=1, minutes=1_000)}))
    took = time.monotonic() - started
    graph.instance.purge_ticks("0" * 40, "1" * 40, before=time.time())
    return took


@contextmanager
def stage(storage_kind: str) -> Iterator[tuple[Graph, Storage, Path]]:
    """A small company, and an instance of Dagster on the storage; gone at the end."""
    with new_bench() as bench:
        bench.server.create_database("dagster")
        storage = Sqlite() if storage_kind == "sqlite" else Postgres(bench.server.url("dagster"))
        home = bench.folder / "dagster"
        home.mkdir()
        (home / "dagster.yaml").write_text(f"{storage.configuration}telemetry:\n  enabled: false\n")
        graph = graph_of(bench.platform(bench.company(orders=20), "warehouse"))
        with DagsterInstance.from_config(str(home)) as instance:
            graph = replace(graph, instance=instance)
            graph.run()
            yield graph, storage, home


@click.command()
@click.argument("storage_kind", metavar="STORAGE", type=click.Choice(["sqlite", "postgres"]))
@click.option("--refreshes", default=200, show_default=True, help="To execute, and to execute again after a prune.")
def main(storage_kind: str, refreshes: int) -> None:
    """Measure how Dagster's STORAGE grows."""
    with stage(storage_kind) as (graph, storage, home):
        refreshed(graph, 1)  # with what there is once: tables, snapshots of the jobs
        pruned(graph)
        sizes = [measured(storage, home)]
        seconds = refreshed(graph, refreshes)
        sizes.append(measured(storage, home))
        pruning = pruned(graph)
        sizes.append(measured(storage, home))
        refreshed(graph, refreshes)
        sizes.append(measured(storage, home))
    table = Table(title=f"{storage_kind}: {refreshes} refreshes, {seconds:.1f} s each, extrapolated to {PER:,}")
    for heading in ("", "rows each", f"MB per {PER:,}", "MB before", "MB after", "MB pruned", "MB after as many again"):
        table.add_column(heading, justify="right" if heading else "left")
    before, after, *_ = sizes
    for kind in sorted(after, key=lambda kind: after[kind].bytes - before[kind].bytes):
        rows = (after[kind].rows - before[kind].rows) / refreshes
        grown = (after[kind].bytes - before[kind].bytes) / refreshes * PER
        if grown > 0:
            megabytes = (f"{size.get(kind, Size(0, 0)).bytes / 1e6:,.2f}" for size in sizes)
            table.add_row(kind, f"{rows:.1f}", f"{grown / 1e6:,.0f}", *megabytes)
    console.width = 140
    console.print(table)
    console.print(f"Pruning took {pruning:.1f} s, {refreshes / pruning:.0f} runs per second.")


def _files(folder: Path) -> Size:
    sizes = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # SQLite removes some of its own while it is at work
            if file.is_file():
                sizes.append(file.stat().st_size)
    return Size(len(sizes), sum(sizes))


if __name__ == "__main__":
    main()
