"""How the command line shows work: progress while it lasts, and tables and single lines when it is done."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from totes_dagster.config.platform import Platform
from totes_dagster.ingest.run import changed_tables
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.local.stack import LocalStack
from totes_dagster.pipeline import Refreshed
from totes_dagster.reconcile.run import Reconciled
from totes_dagster.remodel.run import REMODELS, missing_parts
from totes_dagster.runtime.progress import Progress, silent
from totes_dagster.warehouse.migrations import is_migrated
from totes_dagster.warehouse.status import warehouse_status

_RECORD_IDS_RUN_OUT = 0.8
"""From which part on a warning says that a sequence comes to its end."""

console = Console(highlight=False, markup=False)  # what the source holds is text, and never markup


@contextmanager
def shown_progress(totals: dict[str, int] | None = None) -> Iterator[Progress]:
    """Show rows per stage for as long as the block runs; nothing where there is no terminal.

    Args:
        totals: for stages of which it is known, how many rows there will be.
    """
    if not console.is_terminal:
        yield silent
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}
        lock = threading.Lock()

        def moved(stage: str, table: str, rows: int) -> None:
            with lock:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=(totals or {}).get(stage))
                bars.advance(tasks[stage], rows)
                done = int(bars.tasks[bars.task_ids.index(tasks[stage])].completed)
                bars.update(tasks[stage], description=f"{stage:<8}{done:>12,} rows  {table:<20}")

        yield moved


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Say what the block waits for, and on a terminal for how long it has."""
    if not console.is_terminal:
        console.print(f"{what} …", soft_wrap=True)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description} …", markup=False), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        bars.add_task(what, total=None)
        yield


def summary(refreshed: Refreshed) -> str:
    """What a refresh did, in one line."""
    loaded = refreshed.loaded
    if not loaded:
        return "Nothing changed."
    counts: Counter[str] = Counter()
    for batch in loaded:
        for table in batch.tables.values():
            counts.update(new=table.new, changed=table.changed, deleted=table.deleted)
            counts.update(placeholders=table.placeholders, quarantined=table.quarantined)
    first, last = loaded[0].batch, loaded[-1].batch
    batches = f"batch {last}" if first == last else f"batches {first} to {last}"
    what = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"Loaded {batches}: {what or 'nothing that the warehouse did not show already'}."


def show_reconciled(reconciled: Reconciled) -> None:
    """Print what a reconciliation found, and what became of it."""
    rows = sum(table.rows for table in reconciled.found.values())
    differing = {star: table for star, table in reconciled.found.items() if table}
    for star, table in differing.items():
        for sample in table.samples:
            console.print(f"{star}: {sample}", soft_wrap=True)
    for table in reconciled.left.values():
        for line in table.unaccounted:
            console.print(f"History cannot be repaired from the source: {line}.", soft_wrap=True)
    if not differing:
        console.print(f"The warehouse equals the source: {rows:,} rows compared.")
        return
    count = sum(table.count for table in differing.values())
    left = sum(table.count for table in reconciled.left.values())
    what = f"{count:,} of {rows:,} rows differed, in {', '.join(differing)}"
    done = f"repaired by batch {reconciled.repair.batch}" if reconciled.repair else "repaired"
    console.print(f"{what}; {f'{left:,} still do' if left else done}.", soft_wrap=True)


def tell(who: str, what: str) -> None:
    """Print a line that begins with whom it is about."""
    console.print(Text.assemble((f"{who:<11}", "bold"), what), soft_wrap=True)


def show_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows as a table; numbers with thousands separators, to the right, and floats to the thousandth."""
    listed = [list(row) for row in rows]
    if title:
        console.print(title, style="bold")
    table = Table(header_style="dim")
    for number, column in enumerate(columns):
        numeric = all(isinstance(row[number], int | float) and not isinstance(row[number], bool) for row in listed)
        table.add_column(column, justify="right" if numeric and listed else "left")
    for row in listed:
        table.add_row(*(Text(_written(value)) for value in row))
    console.print(table)


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if type(value) is int else str(value)


def seed_with_progress(stack: LocalStack, orders: int, random_seed: int = 0) -> None:
    """Found the stack's company unless it exists, and say what was made."""
    started = time.perf_counter()
    with shown_progress() as progress:
        rows = stack.seed(orders, random_seed=random_seed, progress=lambda *done: progress("seed", *done))
    if rows:
        show_table(
            f"A company with {orders:,} sales orders, made in {time.perf_counter() - started:.1f} s",
            ("table", "rows"),
            rows.items(),
        )
    else:
        console.print(f"The company in {stack.home} exists already, and is left as it is.", soft_wrap=True)


def show_status(platform: Platform) -> None:
    """Print where the three stages stand; makes and changes nothing.

    Raises:
        LakeFolderMissingError: a folder that the settings name does not exist.
        TotesError: a database or the lake cannot be read.
    """
    if not platform.embedded:  # whose zones come with the first refresh, and cannot be mistyped
        for zone in (platform.ingestion, platform.processed):
            zone.check_exists()
    log = BatchLog(platform.ingestion)
    head = log.head()
    changed = changed_tables(platform.source, platform.ingestion)
    missing = {star: len(missing_parts(star, log, platform.processed)) for star in REMODELS}
    migrated = is_migrated(platform.warehouse, platform.schema)
    warehouse = warehouse_status(platform.warehouse, platform.schema) if migrated else None
    loaded = warehouse.batch if warehouse else 0
    shown = warehouse.snapshot_at if warehouse else None
    nothing = "nothing yet"
    show_table(
        "",
        ("stage", "stands at", "to do"),
        (
            ("totesys", "now", f"capture {', '.join(changed)}" if changed else ""),
            ("ingestion", f"batch {head} of {_moment(log.manifest(head).snapshot.taken_at)}" if head else nothing, ""),
            (
                "processed",
                nothing if not head else "incomplete" if any(missing.values()) else "complete",
                ", ".join(f"{count} parts of {star}" for star, count in missing.items() if count),
            ),
            (
                "warehouse",
                f"batch {loaded} of {_moment(shown)}" if shown else nothing,
                f"load {head - loaded} batches" if head > loaded else "",
            ),
        ),
    )
    aside = {table: found.rows for table, found in (warehouse.quarantined if warehouse else {}).items()}
    if aside:
        what = ", ".join(f"{rows:,} of {table}" for table, rows in aside.items())
        console.print(f"Rows set aside, for reasons that the warehouse's table quarantine tells: {what}.")
    for fact, part in (warehouse.record_ids_used if warehouse else {}).items():
        if part > _RECORD_IDS_RUN_OUT:
            console.print(f"{fact}: {part:.0%} of its record ids are used up; raise its sequence's maximum.")
    if not changed and head == loaded and head:
        console.print("The warehouse shows the source as it is now.")
    elif shown:
        lag = datetime.now(UTC) - shown
        console.print(
            f"The warehouse shows the source as it was {lag.total_seconds():,.0f} s ago. Run `totes refresh`."
        )
    else:
        console.print("The warehouse is empty. Run `totes refresh`.")


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
