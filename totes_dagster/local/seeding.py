"""Seeding the embedded stack's company, with progress in the terminal."""

import time

from totes_dagster.local.stack import LocalStack
from totes_dagster.runtime.terminal import console, show_table, shown_progress


def seed_with_progress(stack: LocalStack, orders: int, random_seed: int = 0) -> None:
    """Create the stack's company unless it exists, and print what was created."""
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
