"""`totes latency`: how long a change takes from its commit in the source until a query of the warehouse shows it.

Refreshes nothing itself. The moments come from the databases and from Dagster's records; `timings.py` computes the
durations.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO, TypeVar

import psycopg
from psycopg import sql
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from totes_dagster.config.platform import Platform, platform_from_environment
from totes_dagster.errors import TotesError
from totes_dagster.latency.mark import COLUMN, KEY, Mark, marking
from totes_dagster.latency.runs import dagster_homes, with_run
from totes_dagster.latency.timings import Change, Reading, as_json, offset_of, summaries_of
from totes_dagster.postgres.transactions import transaction
from totes_dagster.runtime.terminal import console, show_table
from totes_dagster.schema.bookkeeping import load_history
from totes_dagster.schema.dimensions import dim_staff
from totes_dagster.simulator.pauses import exponential_pauses
from totes_dagster.simulator.vocabulary import generator

T = TypeVar("T")

_POLL_SECONDS = 0.01
_READINGS = 5  # of a server's clock per offset; the one with the shortest round trip counts


class NotSeenError(TotesError):
    """The warehouse did not show a change in time."""


def run(*, changes: int, every: float, timeout: float, random_seed: int, json_file: TextIO | None) -> None:
    """Measure, and print the results, even of an interrupted measurement.

    Args:
        changes: how many to make, one after the other.
        every: mean pause before each, in seconds.
        timeout: how long to wait until the warehouse shows each, in seconds.
        random_seed: seed of the pauses.
        json_file: where to write all measurements.

    Raises:
        NotSeenError, MarkError, DatabaseError: see `measure`.
    """
    # Both signals unwind the stack, which removes the mark; even if the shell made this process ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    seen: list[Change] = []
    interrupted = False
    try:
        with _shown_progress(changes) as show:

            def keep(change: Change) -> None:
                seen.append(change)
                show(change)

            pauses = exponential_pauses(every, generator(random_seed, "latency"))
            measure(platform_from_environment(), changes=changes, pauses=pauses, timeout=timeout, on_seen=keep)
    except KeyboardInterrupt:
        interrupted = True
        console.print(f"Stopped after {len(seen)} of {changes} changes; the marked row is as it was.")
    finally:
        report(with_runs(seen), json_file)
    if interrupted:
        sys.exit(130)


def measure(
    platform: Platform,
    *,
    changes: int,
    pauses: Iterator[float],
    timeout: float,
    on_seen: Callable[[Change], None] = lambda _: None,
) -> list[Change]:
    """Make changes in the source, one after the other, and wait until the warehouse shows each.

    The changes are marks on one row of `staff`. The last one is removed at the end, even after an error.

    Args:
        platform: the source to change, and the warehouse to query. Another process must refresh it.
        changes: how many to make.
        pauses: seconds to wait before each.
        timeout: seconds to wait for each, and before them for the first load of an empty warehouse.
        on_seen: called with each change once the warehouse shows it.

    Returns:
        The changes, in order.

    Raises:
        NotSeenError: the warehouse did not show a change in time.
        MarkError: the source cannot be marked; see `mark.py`.
        DatabaseError: a database cannot be reached, refuses, or closes the connection.
    """
    seen = []
    with platform.warehouse.database.connect() as connection, marking(platform.source) as mark:
        view = View(connection, platform.warehouse.schema, mark.row)
        _wait_until(view.is_loaded, timeout, f"The warehouse was still empty after {timeout:g} s.")
        for number in range(1, changes + 1):
            time.sleep(next(pauses))
            change = _change(number, mark, view, timeout)
            seen.append(change)
            on_seen(change)
    return seen


def clock_offset(connection: psycopg.Connection) -> timedelta:
    """How far the clock of a connection's server is ahead of ours."""

    def read() -> Reading:
        asked_at = _now()
        ((server_time,),) = connection.execute("select clock_timestamp()").fetchall()
        return Reading(asked_at, server_time, _now())

    with transaction(connection):
        return offset_of([read() for _ in range(_READINGS)])


class View:
    """What the warehouse shows of the marked row, over one open connection."""

    def __init__(self, connection: psycopg.Connection, schema: str, row: int) -> None:
        self.connection = connection
        self._row = row
        self._table = sql.Identifier(schema, dim_staff.name)
        self._history = sql.Identifier(schema, load_history.name)

    def is_loaded(self) -> bool:
        """Whether the warehouse has the row."""
        found = self._fetch(sql.SQL("select to_regclass(%s) is not null"), self._table.as_string(None))
        return found == (True,) and self.writer_of("") is not None

    def writer_of(self, mark: str) -> str | None:
        """The `xmin` of the row, if it bears this mark; otherwise None."""
        query = sql.SQL("select xmin::text from {} where {} = %s and right({column}, length(%s)) = %s").format(
            self._table, sql.Identifier(KEY), column=sql.Identifier(COLUMN)
        )
        found = self._fetch(query, self._row, mark, mark)
        return found[0] if found else None

    def batch_of(self, writer: str) -> tuple[int | None, datetime | None, datetime | None]:
        """The batch that a transaction loaded, with its `snapshot_at` and `loaded_at`; None for each if unknown."""
        # The transaction that writes a batch's rows also writes its row in load_history.
        query = sql.SQL("select batch, snapshot_at, loaded_at from {} where xmin::text = %s order by batch desc")
        with transaction(self.connection):
            return self._fetch(query.format(self._history), writer) or (None, None, None)

    def _fetch(self, query: sql.SQL | sql.Composed, *values: object) -> Any:
        return self.connection.execute(query, values).fetchone()


def _change(number: int, mark: Mark, view: View, timeout: float) -> Change:
    text = mark.put(number)
    committed_at = _now()
    writer = _wait_until(
        lambda: view.writer_of(text), timeout, f"Change {number} was not seen in the warehouse within {timeout:g} s."
    )
    seen_at = _now()
    batch, snapshot_at, loaded_at = view.batch_of(writer)
    return Change(
        number=number,
        committed_at=committed_at,
        snapshot_at=snapshot_at and snapshot_at - clock_offset(mark.connection),
        loaded_at=loaded_at and loaded_at - clock_offset(view.connection),
        seen_at=seen_at,
        batch=batch,
    )


def _wait_until(query: Callable[[], T | None], timeout: float, failure: str) -> T:
    end = time.monotonic() + timeout
    while not (found := query()):
        if time.monotonic() >= end:
            raise NotSeenError(
                f"{failure} A measurement does not refresh the warehouse itself: make sure that `totes dev` or another "
                "Dagster runs on this platform, and that its sensor totesys_changes is on."
            )
        time.sleep(_POLL_SECONDS)
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def with_runs(changes: list[Change]) -> list[Change]:
    """The changes with the Dagster runs that loaded them, where known; prints which records cannot be read."""
    for home in dagster_homes():
        try:
            changes = with_run(changes, home)
        except Exception as error:
            # An instance can be of any kind, and fail in any way; its message may show a password.
            console.print(f"Dagster's records in {home} cannot be read ({type(error).__name__}).", soft_wrap=True)
    return changes


@contextmanager
def _shown_progress(changes: int) -> Iterator[Callable[[Change], None]]:
    """Show each change as the warehouse shows it: on a terminal in a progress bar, otherwise on a line."""
    if not console.is_terminal:
        yield lambda change: console.print(
            f"change {change.number} of {changes}: seen after {change.seconds:.3f} s", soft_wrap=True
        )
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("waiting for the first change", total=changes)

        def show(change: Change) -> None:
            bar.update(task, advance=1, description=f"seen after {change.seconds:.3f} s")

        yield show


def report(changes: Sequence[Change], json_file: TextIO | None = None) -> None:
    """Print how long each step took: a table on a terminal, otherwise lines.

    Args:
        changes: what was measured.
        json_file: where to write all measurements.
    """
    if json_file is not None:
        json.dump([as_json(change) for change in changes], json_file, ensure_ascii=False, indent=2)
        json_file.write("\n")
    if not changes:
        return
    rows = [
        (" → ".join(summary.step), summary.count, summary.median, summary.p95, summary.longest)
        for summary in summaries_of(changes)
    ]
    if console.is_terminal:
        show_table("From commit to seen, in seconds", ("step", "changes", "median", "95 %", "longest"), rows)
    else:
        for step, count, median, p95, longest in rows:
            console.print(
                f"{step}: {count} changes, median {median:.3f} s, 95 % {p95:.3f} s, longest {longest:.3f} s",
                soft_wrap=True,
            )
    without_run = sum(change.run is None for change in changes)
    if without_run:
        console.print(
            f"The Dagster run of {without_run} of {len(changes)} changes is not known on this machine: another process "
            "refreshed, or DAGSTER_HOME does not name the instance. The time before they were loaded is not split.",
            soft_wrap=True,
        )
