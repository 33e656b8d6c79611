"""The embedded stack: one PostgreSQL server with the simulated totesys and the warehouse, and the lake in two folders.

Everything lies under `.totes/` in the working folder (or in `TOTES_HOME`), and is still there the next time.
"""

import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import psycopg

from totes_dagster import settings
from totes_dagster.local.postgres import EmbeddedPostgres
from totes_dagster.local.seeding import seed

logger = logging.getLogger(__name__)

DEFAULT_ORDERS = 5_000


class LocalStack:
    """The embedded stack of one folder; its server runs for as long as a process uses it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = EmbeddedPostgres(home / "postgres")

    def start(self) -> "LocalStack":
        """See that the server runs and has both databases; keep it until the end of this process."""
        for folder in (self.home, self.home / "lake"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is in there is nobody else's
        self.server.start()
        self.server.create_database("totesys")
        self.server.create_database("warehouse")
        return self

    def seed(
        self,
        orders: int = DEFAULT_ORDERS,
        *,
        random_seed: int = 0,
        progress: Callable[[str, int], None] | None = None,
    ) -> dict[str, int]:
        """Found the simulated company, unless it exists; return the rows made per table, nothing if it existed."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            # Several processes of one `dagster dev` may be first at the same time.
            connection.execute("select pg_advisory_lock(hashtextextended('totes_dagster.seed', 0))")
            if self.is_seeded():
                return {}
            return seed(self.database_url("totesys"), orders=orders, seed=random_seed, progress=progress)

    def is_seeded(self) -> bool:
        """Whether the simulated company exists."""
        with psycopg.connect(self.database_url("totesys")) as connection:
            row = connection.execute("select to_regclass('payment') is not null").fetchone()
            return bool(row and row[0])

    def database_url(self, name: str) -> str:
        """URI of a database of the stack: `totesys` or `warehouse`."""
        return self.server.url(name)

    def lake_url(self, zone: str) -> str:
        """URL of a zone of the lake: `ingestion` or `processed`."""
        return (self.home / "lake" / zone).as_uri()


def stack_home() -> Path:
    """The folder that holds the embedded stack."""
    return Path(os.environ.get(settings.HOME) or ".totes").resolve()


def local_stack() -> LocalStack:
    """The embedded stack of this process: running, and with a small company if it is new."""
    stack = _founded_stack()
    stack.server.start()  # somebody may have killed it since
    return stack


@lru_cache(maxsize=1)
def _founded_stack() -> LocalStack:
    stack = LocalStack(stack_home()).start()
    if stack.seed():
        logger.warning("Made a simulated company with %s sales orders in %s.", f"{DEFAULT_ORDERS:,}", stack.home)
    return stack
