"""Measuring latency on real databases: what is measured, and that the source is left as it was, whatever happens."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Platform
from totes_dagster.errors import DatabaseUnavailableError
from totes_dagster.latency.mark import SourceNotWritableError, marking
from totes_dagster.latency.measurement import NotSeenError, View, clock_offset, measure
from totes_dagster.latency.timings import Change, steps_of
from totes_dagster.pipeline import refresh
from totes_dagster.postgres.database import Database
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import company_of_a_graph
from totes_dagster_tests.integration.latency.repeating import AT_ONCE, PATIENCE, repeating

MARKED = "select count(*) from staff where last_name like '%[latency%'"


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
    with repeating(lambda: refresh(platform)):
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
        head = ask(platform.warehouse.database, "select max(batch) from analytics.load_history")
        with platform.warehouse.database.connect() as connection:
            view = View(connection, platform.warehouse.schema, mark.row)
            writer = view.writer_of(marked)
            assert writer is not None
            batch, snapshot_at, loaded_at = view.batch_of(writer)
    assert batch == head - 1
    assert snapshot_at and loaded_at and snapshot_at < loaded_at


def test_the_source_is_left_as_it_was_and_the_warehouse_follows(platform: Platform) -> None:
    before = staff(platform)
    with repeating(lambda: refresh(platform)):
        measure(platform, changes=2, pauses=AT_ONCE, timeout=PATIENCE)
    assert staff(platform) == before
    refresh(platform)
    marked = "select count(*) from analytics.dim_staff where last_name like '%[latency%'"
    assert ask(platform.warehouse.database, marked) == 0


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

    with repeating(lambda: refresh(platform)), pytest.raises(interruption):
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


def test_an_empty_warehouse_is_waited_for(companies: Companies) -> None:
    platform = companies.unseen(company_of_a_graph())
    with pytest.raises(NotSeenError, match="The warehouse was still empty after 0 s"):
        measure(platform, changes=1, pauses=AT_ONCE, timeout=0)
    with repeating(lambda: refresh(platform)):
        assert len(measure(platform, changes=1, pauses=AT_ONCE, timeout=PATIENCE)) == 1


def test_the_clock_of_a_server_here_is_ours(platform: Platform) -> None:
    with platform.source.connect() as connection:
        started = time.monotonic()
        offset = clock_offset(connection)
        assert abs(offset.total_seconds()) <= time.monotonic() - started
