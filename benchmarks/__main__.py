"""Measures the platform beside what it is compared with, and prints a table: `make benchmark`."""

import click

from benchmarks.bench import new_bench
from benchmarks.cluster import cluster
from benchmarks.latency import latency
from benchmarks.peer import peer
from benchmarks.rows import ROWS as PLATFORM
from benchmarks.rows import Size
from benchmarks.setting_up import set_up
from totes_dagster.runtime.terminal import console

ROWS = {**PLATFORM, "peer": peer, "cluster": cluster, "latency": latency, "set-up": set_up}

ONCE = ("history", "start", "set-up")
"""The rows that are the same for a company of any size, and are measured with the first one only."""


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(list(ROWS)))
@click.option(
    "--orders",
    "sizes",
    multiple=True,
    type=click.IntRange(1),
    default=[1_000_000],
    show_default=True,
    help="Sales orders of the company; may be repeated.",
)
@click.option("--batches", default=5_000, show_default=True, help="Batches of a lake with a history.")
@click.option("--rounds", default=3, show_default=True, help="How often to measure; medians are shown.")
def main(rows: tuple[str, ...], sizes: tuple[int, ...], batches: int, rounds: int) -> None:
    """Measure ROWS of the table; all of them by default."""
    for number, orders in enumerate(sizes):
        # Each size has a server of its own: no company is in the way of another one's.
        with new_bench() as bench:
            for name in rows or ROWS:
                if number and name in ONCE:
                    continue
                console.rule(name, align="left")
                for line in ROWS[name](bench, Size(orders, batches, rounds)):
                    console.print(line, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
