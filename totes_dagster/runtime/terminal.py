"""Terminal output: progress bars, tables and labelled lines. What they show belongs to the callers."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from totes_dagster.runtime.progress import Progress, silent

console = Console(highlight=False, markup=False)  # values of the source are text, never markup


@contextmanager
def shown_progress(totals: dict[str, int] | None = None) -> Iterator[Progress]:
    """Show rows per stage while the block runs; nothing without a terminal.

    Args:
        totals: the expected number of rows, for stages where it is known.
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

        def advance(stage: str, table: str, rows: int) -> None:
            with lock:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=(totals or {}).get(stage))
                bars.advance(tasks[stage], rows)
                done = int(bars.tasks[bars.task_ids.index(tasks[stage])].completed)
                bars.update(tasks[stage], description=f"{stage:<8}{done:>12,} rows  {table:<20}")

        yield advance


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Show what the block waits for; on a terminal, also for how long."""
    if not console.is_terminal:
        console.print(f"{what} …", soft_wrap=True)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description} …", markup=False), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        bars.add_task(what, total=None)
        yield


def print_labelled(label: str, text: str) -> None:
    """Print a line that begins with a bold label."""
    console.print(Text.assemble((f"{label:<11}", "bold"), text), soft_wrap=True)


def show_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, numeric: list[bool] | None = None
) -> None:
    """Print rows as a table; numbers with thousands separators, right-aligned, floats with three decimals.

    `numeric` says which columns of texts are numbers.

    Without a terminal, columns are separated by spaces alone, for other programs to read.
    """
    names, listed = list(columns), [list(row) for row in rows]
    if numeric is None:
        numeric = [bool(listed) and all(_is_number(row[place]) for row in listed) for place in range(len(names))]
    texts = [[_formatted(value) for value in row] for row in listed]
    if not console.is_terminal:
        _show_plain(title, numeric, [names, *texts])
        return
    if title:
        console.print(title, style="bold")
    table = Table(header_style="dim")
    for column, right in zip(names, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left")
    for row in texts:
        table.add_row(*map(Text, row))
    console.print(table)


def _show_plain(title: str, numeric: list[bool], lines: list[list[str]]) -> None:
    if title:
        console.print(title, soft_wrap=True)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        console.print("  ".join(cells).rstrip(), soft_wrap=True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _formatted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if type(value) is int else str(value)
