"""`totes latency`: how long a change takes from its commit in the source until a query of the warehouse shows it.

Only looks at what others refresh. What is measured comes from the databases and from Dagster's records; what it amounts
to is computed in `timings.py`.
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

_LOOK_EVERY = 0.01
_READINGS = 5  # of a server's clock at a time; the quickest counts


class NotSeenError(TotesError):
    """The warehouse did not show what was waited for in time."""


def run(*, changes: int, every: float, timeout: float, random_seed: int, json_file: TextIO | None) -> None:
    """Measure, and print what came of it, also where the measurement was cut short.

    Args:
        changes: how many to make, one after the other.
        every: mean pause before each, in seconds.
        timeout: how long to wait for each to be seen, in seconds.
        random_seed: what the pauses follow from.
        json_file: where to write every single measurement.

    Raises:
        NotSeenError, MarkError, DatabaseError: see `measure`.
    """
    # Either way the mark is taken off on the way out; also where a shell had SIGINT ignored.
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

    The changes are marks on one row of `staff`, the last of which is taken off in the end, whatever happens.

    Args:
        platform: whose source to change, and whose warehouse to look at. Somebody else has to refresh it.
        changes: how many to make.
        pauses: seconds to wait before each.
        timeout: seconds to wait for each, and for the first load of an empty warehouse before them.
        on_seen: told of each change as it is seen.

    Raises:
        NotSeenError: the warehouse did not show a change in time.
        MarkError: the source cannot be marked; see `mark.py`.
        DatabaseError: a database cannot be reached, refuses, or breaks off.
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
        ((said,),) = connection.execute("select clock_timestamp()").fetchall()
        return Reading(asked_at, said, _now())

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
        """Whether the row is there at all."""
        found = self._fetch(sql.SQL("select to_regclass(%s) is not null"), self._table.as_string(None))
        return found == (True,) and self.writer_of("") is not None

    def writer_of(self, mark: str) -> str | None:
        """The transaction that brought a mark; None where the row does not bear it."""
        query = sql.SQL("select xmin::text from {} where {} = %s and right({column}, length(%s)) = %s").format(
            self._table, sql.Identifier(KEY), column=sql.Identifier(COLUMN)
        )
        found = self._fetch(query, self._row, mark, mark)
        return found[0] if found else None

    def batch_of(self, writer: str) -> tuple[int | None, datetime | None, datetime | None]:
        """The batch that a transaction loaded, with its `snapshot_at` and `loaded_at`."""
        # The transaction that writes a batch's rows also writes its row of the history.
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


def _wait_until(look: Callable[[], T | None], timeout: float, otherwise: str) -> T:
    end = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() >= end:
            raise NotSeenError(
                f"{otherwise} Measuring refreshes nothing by itself: see that `totes dev` or another Dagster runs on "
                "this platform, and that its sensor totesys_changes is on."
            )
        time.sleep(_LOOK_EVERY)
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def with_runs(changes: list[Change]) -> list[Change]:
    """The changes with the runs of Dagster that brought them, as far as any are known; says whose records are not."""
    for home in dagster_homes():
        try:
            changes = with_run(changes, home)
        except Exception as error:
            # An instance can be of any kind, and fail in any way; what it says may show a password.
            console.print(f"Dagster's records in {home} cannot be read ({type(error).__name__}).", soft_wrap=True)
    return changes


@contextmanager
def _shown_progress(changes: int) -> Iterator[Callable[[Change], None]]:
    """Show each change as it is seen: in a bar on a terminal, otherwise in a line of its own."""
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
    """Print how long each step took: a table on a terminal, otherwise lines; write every change to a file if given."""
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
    strangers = sum(change.run is None for change in changes)
    if strangers:
        console.print(
            f"Of {strangers} of {len(changes)} changes no run of Dagster on this machine is known: others refreshed, "
            "or DAGSTER_HOME does not name the instance. What came before their snapshot is not split.",
            soft_wrap=True,
        )
