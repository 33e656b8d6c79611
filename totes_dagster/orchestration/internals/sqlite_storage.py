"""A faster version of Dagster's SQLite storage, on whose event log a refresh in `totes dev` spends most of its time.

Dagster creates an engine for every event that it writes or reads, which compiles its statements again, connects again,
and waits for the disk. Here, engines are kept, and so is the connection to the file that all runs share; and nothing
waits for the disk. A power failure may lose the last events, or the file of one run, but no data of the platform
depends on them. Everything else is Dagster's own code.

Tried with Dagster 1.13.27.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event

ENGINES_KEPT = 16
"""The most engines that are kept: a run's file is used only while the run lasts."""


class QuickSqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in SQLite files, with a faster event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = QuickSqliteEventLogStorage(f"{base_dir}/history/runs/")  # the same path as Dagster's

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> Self:
        """Create an instance of this class, not of Dagster's."""
        return cls.from_local(inst_data=inst_data, **config_value)


class QuickSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log in SQLite files: one for each run, and the index for all."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    def dispose(self) -> None:
        """Close all connections."""
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            self._engines[shard] = _new_engine(self.conn_string_for_shard(shard), kept_open=shard == INDEX_SHARD_NAME)
            if len(self._engines) > ENGINES_KEPT:
                oldest = next(iter(self._engines))
                self._engines.pop(oldest).dispose()
        self._engines.move_to_end(shard)
        return self._engines[shard]


def _new_engine(url: str, *, kept_open: bool) -> Engine:
    # A run's file is closed after every event: Dagster watches that file for changes, and as long as it is open, SQLite
    # keeps them in another file, its write-ahead log.
    pool = {"poolclass": QueuePool, "pool_size": 1} if kept_open else {"poolclass": NullPool}
    engine = create_engine(
        url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}, **pool
    )

    @event.listens_for(engine, "connect")
    def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
        # With `normal`, the index is never damaged. For a run's file, even that would wait for the disk at every close.
        connection.execute(f"pragma synchronous = {'normal' if kept_open else 'off'}")

    return engine
