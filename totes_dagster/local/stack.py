"""The embedded stack: one PostgreSQL server with the simulated totesys and the warehouse, and the lake in two folders.

It is kept in `.totes/` in the working folder, or in `TOTES_HOME`. How the server runs belongs to `server`.
"""

import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import psycopg

from totes_dagster.config import settings
from totes_dagster.errors import NothingHereError
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.simulator.seeding import publish, seed

logger = logging.getLogger(__name__)

DEFAULT_ORDERS = 5_000

_DATABASES = ("totesys", "warehouse")

_SETTINGS = {
    "wal_level": "logical",  # so that changes can be captured from the log
    "max_slot_wal_keep_size": "1GB",
}


class LocalStack:
    """The embedded stack of one folder; its server runs as long as any process uses it.

    Args:
        home: the folder; created by `start` if missing.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = EmbeddedPostgres(home / "postgres", _SETTINGS)

    def start(self) -> "LocalStack":
        """Make sure that the server runs and has both databases; keep it until the end of this process.

        Raises:
            EmbeddedServerError: the server cannot be started.
        """
        for folder in (self.home, self.home / "lake"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users must not read the data
        self.server.start()
        for name in _DATABASES:
            self.server.create_database(name)
        return self

    def open(self) -> "LocalStack":
        """Make sure that the server runs, and keep it until the end of this process; create nothing.

        Raises:
            NothingHereError: this folder has no stack, or one without a company.
            EmbeddedServerError: the server cannot be started.
        """
        if not (self.server.data / "PG_VERSION").exists():
            raise NothingHereError
        self.server.start()
        if not (self._has_databases() and self.is_seeded()):
            raise NothingHereError
        return self

    def stop(self) -> bool:
        """Stop using the server and wait until it has stopped; return False at once if other processes use it too."""
        import fcntl  # noqa: PLC0415 - on Unix only, like the server

        self.server.release()
        lease, server_lock = (self.server.directory / name for name in ("lease", "server.lock"))
        if not server_lock.exists():
            return True
        # The guardian takes the lease alone to stop the server; every user shares it.
        if not _is_free(lease, fcntl.LOCK_EX) and _is_free(lease, fcntl.LOCK_SH):
            return False
        with server_lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held by every process of the server, and by its guardian
        return True

    def seed(
        self,
        orders: int = DEFAULT_ORDERS,
        *,
        random_seed: int = 0,
        progress: Callable[[str, int], None] | None = None,
    ) -> dict[str, int]:
        """Create the simulated company, unless it exists, and let its changes be captured from the log.

        Args:
            orders: number of sales orders.
            random_seed: seed of all random choices.
            progress: called with a table's name and the number of rows just added to it.

        Returns:
            The rows created, by table; empty if the company existed.
        """
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            # Several processes of one `dagster dev` may get here at the same time.
            connection.execute("select pg_advisory_lock(hashtextextended('totes_dagster.seed', 0))")
            rows = {}
            if not self.is_seeded():
                rows = seed(self.database_url("totesys"), orders=orders, seed=random_seed, progress=progress)
            publish(self.database_url("totesys"))
            return rows

    def is_seeded(self) -> bool:
        """Whether the simulated company exists."""
        with psycopg.connect(self.database_url("totesys")) as connection:
            row = connection.execute("select to_regclass('payment') is not null").fetchone()
            return bool(row and row[0])

    def _has_databases(self) -> bool:
        with psycopg.connect(self.server.url("postgres")) as connection:
            named = connection.execute("select from pg_database where datname = any(%s)", [list(_DATABASES)])
            return named.rowcount == len(_DATABASES)

    def database_url(self, name: str) -> str:
        """The libpq URI of a database of the stack: `totesys` or `warehouse`."""
        return self.server.url(name)

    def lake_url(self, zone: str) -> str:
        """The URL of a zone of the lake: `ingestion`, `processed` or `landing`."""
        return (self.home / "lake" / zone).as_uri()

    @property
    def landing(self) -> Path:
        """The folder that is the landing zone."""
        return self.home / "lake" / "landing"


def _is_free(path: Path, operation: int) -> bool:
    """Whether a file can be locked now; the lock is released again."""
    import fcntl  # noqa: PLC0415

    with path.open() as file:
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def stack_home() -> Path:
    """The folder that holds the embedded stack."""
    return Path(os.environ.get(settings.HOME) or ".totes").resolve()


def existing_stack() -> LocalStack:
    """The embedded stack of this process, running; never created.

    Raises:
        NothingHereError: there is no stack.
    """
    return _stack_in(stack_home()).open()


def local_stack() -> LocalStack:
    """The embedded stack of this process, running; created with a small company if it does not exist."""
    stack = _created_stack()
    stack.server.start()  # it may have been killed since
    return stack


@lru_cache(maxsize=1)
def _stack_in(home: Path) -> LocalStack:
    return LocalStack(home)  # one per process, because every instance holds its own lease


@lru_cache(maxsize=1)
def _created_stack() -> LocalStack:
    stack = _stack_in(stack_home()).start()
    if stack.seed():
        logger.warning("Created a simulated company with %s sales orders in %s.", f"{DEFAULT_ORDERS:,}", stack.home)
    return stack
