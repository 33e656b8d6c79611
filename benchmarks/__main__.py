"""Measures the platform beside what it is compared with, and prints a table: `make benchmark`."""

import click

from benchmarks.bench import new_bench
from benchmarks.rows import ROWS, Size
from totes_dagster.runtime.terminal import console


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(list(ROWS)))
@click.option("--orders", default=1_000_000, show_default=True, help="Sales orders of the company.")
@click.option("--batches", default=5_000, show_default=True, help="Batches of a lake with a history.")
@click.option("--rounds", default=3, show_default=True, help="How often to measure; medians are shown.")
def main(rows: tuple[str, ...], orders: int, batches: int, rounds: int) -> None:
    """Measure ROWS of the table; all of them by default."""
    with new_bench() as bench:
        for name in rows or ROWS:
            console.rule(name, align="left")
            for line in ROWS[name](bench, Size(orders, batches, rounds)):
                console.print(line, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
