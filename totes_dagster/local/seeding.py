"""Seeding the embedded stack with its company, with progress in the terminal. The rows belong to `simulator/`."""

import time

from totes_dagster.local.stack import LocalStack
from totes_dagster.runtime.terminal import console, show_table, shown_progress


def seed_with_progress(stack: LocalStack, orders: int, random_seed: int = 0) -> None:
    """Create the stack's company unless it exists, and print the rows created.

    Args:
        stack: a started embedded stack.
        orders: number of sales orders.
        random_seed: seed of all random choices.
    """
    started = time.perf_counter()
    with shown_progress() as progress:
        rows = stack.seed(orders, random_seed=random_seed, progress=lambda *done: progress("seed", *done))
    if rows:
        show_table(
            f"A company with {orders:,} sales orders, created in {time.perf_counter() - started:.1f} s",
            ("table", "rows"),
            rows.items(),
        )
    else:
        console.print(f"The company in {stack.home} already exists and is left unchanged.", soft_wrap=True)
