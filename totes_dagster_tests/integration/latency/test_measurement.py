"""Measuring latency on real databases: what is measured, and that the source is left as it was, whatever happens."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, repeat
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from dagster import AssetKey, DagsterInstance
from psycopg.conninfo import make_conninfo
from rich.console import Console

from totes_dagster.cli import output as terminal
from totes_dagster.config.platform import Platform
from totes_dagster.errors import DatabaseUnavailableError
from totes_dagster.latency import measurement as latency
from totes_dagster.latency.mark import SourceNotWritableError, marking
from totes_dagster.latency.measurement import NotSeenError, View, clock_offset, measure, report, with_runs
from totes_dagster.latency.runs import with_run
from totes_dagster.latency.timings import Change, steps_of
from totes_dagster.pipeline import refresh
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.pauses import exponential_pauses
from totes_dagster_tests.integration.graph import Graph, new_graph

AT_ONCE = repeat(0.0)
PATIENCE = 120.0
MARKED = "select count(*) from staff where last_name like '%[latency%'"


@pytest.fixture
def graph(database: Callable[..., str], tmp_path: Path) -> Graph:
    """A company that the warehouse shows."""
    graph = new_graph(database, tmp_path)
    refresh(graph.platform)
    return graph


@pytest.fixture
def platform(graph: Graph) -> Platform:
    return graph.platform


@contextmanager
def going_on(work: Callable[[], Any]) -> Iterator[None]:
    """Somebody who does some work again and again, for as long as the block runs."""
    stop = threading.Event()
    failures = []

    def go_on() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failures == []


def staff(platform: Platform) -> list[tuple[Any, ...]]:
    with psycopg.connect(platform.source.url) as connection:
        return connection.execute("select * from staff order by staff_id").fetchall()


def execute(platform: Platform, statement: str) -> None:
    with psycopg.connect(platform.source.url) as connection:
        connection.execute(statement)


def ask(database: Database, query: str) -> Any:
    with psycopg.connect(database.url) as connection:
        ((value,),) = connection.execute(query).fetchall()
        return value


def test_each_change_is_measured_from_its_commit_until_it_is_seen(platform: Platform) -> None:
    told: list[Change] = []
    with going_on(lambda: refresh(platform)):
        changes = measure(platform, changes=3, pauses=AT_ONCE, timeout=PATIENCE, on_seen=told.append)
    assert told == changes
    assert [change.number for change in changes] == [1, 2, 3]
    batches = [change.batch for change in changes]
    assert batches == sorted({batch for batch in batches if batch})  # each in a batch of its own
    for change in changes:
        assert list(steps_of(change)) == [("commit", "snapshot"), ("snapshot", "loaded"), ("loaded", "seen")]
        assert sum(steps_of(change).values()) == pytest.approx(change.seconds)
    for before, after in pairwise(changes):
        assert before.seen_at <= after.committed_at


def test_the_batch_is_the_one_that_brought_the_change_also_when_others_followed(platform: Platform) -> None:
    with marking(platform.source) as mark:

        def refresh_twice() -> None:
            refresh(platform)
            execute(platform, "update design set design_name = design_name || '!' where design_id = 1")
            refresh(platform)

        marked = mark.put(1)
        refresh_twice()
        head = ask(platform.warehouse, "select max(batch) from analytics.load_history")
        with platform.warehouse.database.connect() as connection:
            view = View(connection, platform.warehouse.schema, mark.row)
            writer = view.writer_of(marked)
            assert writer is not None
            batch, snapshot_at, loaded_at = view.batch_of(writer)
    assert batch == head - 1
    assert snapshot_at and loaded_at and snapshot_at < loaded_at


def test_the_source_is_left_as_it_was_and_the_warehouse_follows(platform: Platform) -> None:
    before = staff(platform)
    with going_on(lambda: refresh(platform)):
        measure(platform, changes=2, pauses=AT_ONCE, timeout=PATIENCE)
    assert staff(platform) == before
    refresh(platform)
    assert ask(platform.warehouse, "select count(*) from analytics.dim_staff where last_name like '%[latency%'") == 0


def test_what_nobody_refreshes_is_said_and_the_source_is_as_it_was(platform: Platform) -> None:
    before = staff(platform)
    told: list[Change] = []
    with pytest.raises(NotSeenError, match=r"Change 1 was not seen in the warehouse within 0\.1 s\. .* its sensor"):
        measure(platform, changes=1, pauses=AT_ONCE, timeout=0.1, on_seen=told.append)
    assert told == []
    assert staff(platform) == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_measurement_leaves_the_source_as_it_was(
    platform: Platform, interruption: type[BaseException]
) -> None:
    before = staff(platform)

    def interrupt(change: Change) -> None:
        assert ask(platform.source, MARKED) == 1
        raise interruption

    with going_on(lambda: refresh(platform)), pytest.raises(interruption):
        measure(platform, changes=2, pauses=AT_ONCE, timeout=PATIENCE, on_seen=interrupt)
    assert staff(platform) == before


def test_a_warehouse_that_breaks_off_is_not_taken_for_the_source(platform: Platform) -> None:
    before = staff(platform)

    def break_off() -> Iterator[float]:
        with psycopg.connect(platform.warehouse.database.url) as connection:
            connection.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() "
                "and pid <> pg_backend_pid()"
            )
        yield 0.0

    with pytest.raises(DatabaseUnavailableError, match="failed at warehouse"):
        measure(platform, changes=1, pauses=break_off(), timeout=PATIENCE)
    assert staff(platform) == before


def test_a_source_that_may_not_be_changed_is_told_and_not_taken_for_slow(platform: Platform) -> None:
    url = make_conninfo(platform.source.url, options="-c default_transaction_read_only=on")
    reading = replace(platform, source=Database("totesys", url))
    with pytest.raises(SourceNotWritableError, match="read-only transaction"):
        measure(reading, changes=1, pauses=AT_ONCE, timeout=PATIENCE)


def test_an_empty_warehouse_is_waited_for(database: Callable[..., str], tmp_path: Path) -> None:
    platform = new_graph(database, tmp_path).platform
    with pytest.raises(NotSeenError, match="The warehouse was still empty after 0 s"):
        measure(platform, changes=1, pauses=AT_ONCE, timeout=0)
    with going_on(lambda: refresh(platform)):
        assert len(measure(platform, changes=1, pauses=AT_ONCE, timeout=PATIENCE)) == 1


def test_a_run_of_dagster_that_brought_a_change_is_found(graph: Graph, tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    with DagsterInstance.from_config(str(home)) as instance:
        running = replace(graph, instance=instance)
        with going_on(running.run):
            (change,) = measure(graph.platform, changes=1, pauses=AT_ONCE, timeout=PATIENCE)
        (found,) = with_run([change], home)
        assert found.run is not None
        ingested = instance.fetch_materializations(AssetKey(["ingestion", "staff"]), limit=1000).records
        (run_id,) = (
            record.run_id
            for record in ingested
            for metadata in [record.asset_materialization.metadata if record.asset_materialization else {}]
            if metadata["batch"].value == change.batch and metadata["rows"].value
        )
    assert found.run.run_id == run_id
    assert replace(found, run=None) == change
    assert {("requested", "started"), ("started", "snapshot")} <= set(steps_of(found))


def test_an_instance_without_a_fitting_run_changes_nothing(platform: Platform, tmp_path: Path) -> None:
    with going_on(lambda: refresh(platform)):
        changes = measure(platform, changes=1, pauses=AT_ONCE, timeout=PATIENCE)
    home = tmp_path / "dagster"
    home.mkdir()
    assert with_run(changes, home) == changes
    assert with_run([], home) == []


def test_records_of_dagster_that_cannot_be_read_are_told_and_cost_no_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("no_such_setting: 1")
    monkeypatch.setenv("TOTES_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    changes = [Change(1, datetime.now(UTC), None, None, datetime.now(UTC))]
    recorder = Console(record=True, width=100, highlight=False)
    monkeypatch.setattr(latency, "console", recorder)
    assert with_runs(changes) == changes
    assert f"Dagster's records in {tmp_path / 'dagster'} cannot be read (" in recorder.export_text()


def test_the_clock_of_a_server_here_is_ours(platform: Platform) -> None:
    with platform.source.connect() as connection:
        started = time.monotonic()
        offset = clock_offset(connection)
        assert abs(offset.total_seconds()) <= time.monotonic() - started


def test_pauses_have_the_mean_that_was_asked_for_and_follow_from_the_seed() -> None:
    pauses = exponential_pauses(5, Random(1))
    drawn = [next(pauses) for _ in range(2000)]
    assert 4.5 < sum(drawn) / len(drawn) < 5.5
    assert len(set(drawn)) == len(drawn)
    again = exponential_pauses(5, Random(1))
    assert drawn[:5] == [next(again) for _ in range(5)]
    assert next(exponential_pauses(0, Random(1))) == 0


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_was_measured_is_a_table_on_a_terminal_and_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    recorder = Console(record=True, width=100, force_terminal=is_terminal, highlight=False)
    monkeypatch.setattr(terminal, "console", recorder)
    monkeypatch.setattr(latency, "console", recorder)
    now = datetime.now(UTC)
    changes = [Change(number, now, None, None, now + timedelta(seconds=number), batch=number) for number in (1, 2, 3)]
    written = io.StringIO()
    report(changes, written)
    printed = recorder.export_text()
    if is_terminal:
        (row,) = [line for line in printed.splitlines() if "commit → seen" in line]
        assert row.replace("│", "").split()[-4:] == ["3", "2.000", "3.000", "3.000"]
    else:
        assert printed.startswith("commit → seen: 3 changes, median 2.000 s, 95 % 3.000 s, longest 3.000 s\n")
    assert "The Dagster run of 3 of 3 changes is not known" in printed
    assert [change["seconds"] for change in json.loads(written.getvalue())] == [1, 2, 3]
