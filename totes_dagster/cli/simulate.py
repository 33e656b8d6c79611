"""`totes simulate`: seeding and changing a source from the command line. What changes belongs to `simulator/`."""

import threading
from contextlib import suppress

from rich.text import Text

from totes_dagster.config import settings
from totes_dagster.config.platform import source_from_environment
from totes_dagster.local.seeding import seed_with_progress
from totes_dagster.local.stack import LocalStack, stack_home
from totes_dagster.runtime.interruption import interruptibly
from totes_dagster.runtime.terminal import console, shown_progress
from totes_dagster.simulator.seeding import seed as seed_source
from totes_dagster.simulator.simulator import Event, Simulator, described


def seed(orders: int, random_seed: int) -> None:
    """Create a company in the source that the environment names, which must be empty, or in the embedded one."""
    if not settings.is_configured():
        seed_with_progress(LocalStack(stack_home()).start(), orders, random_seed)
        return
    with shown_progress() as progress:
        rows = seed_source(_url(), orders=orders, seed=random_seed, progress=lambda *done: progress("seed", *done))
    console.print(f"Created a company of {sum(rows.values()):,} rows, {orders:,} of them sales orders.")


def change(rate: float, random_seed: int, *, harsh: bool) -> None:
    """Change the source until Ctrl-C, this many times per second on average, and print each change."""
    stop = threading.Event()
    with Simulator(_url(), seed=random_seed, harsh=harsh) as simulator, suppress(KeyboardInterrupt):
        console.print(described(rate, harsh=harsh), soft_wrap=True)
        # Ctrl-C stops it between two changes, not during one.
        interruptibly(lambda: simulator.run(rate, stop, _show), stop=stop.set)
    console.print("Stopped.")


def _show(event: Event) -> None:
    console.print(Text(event.description), soft_wrap=True)


def _url() -> str:
    return source_from_environment().conninfo()
