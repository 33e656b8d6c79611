"""Dagster's own storage, made cheaper for tests, which run hundreds of small jobs in their own processes.

What is stored, and how, stays as it is. But Dagster reads its migrations for every instance, looks up the columns of
its tables for every event, and connects anew for every statement: together that is a third of what a run takes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log import in_memory
from dagster._core.storage.event_log.in_memory import InMemoryEventLogStorage
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage, sqlite_event_log
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection

_QUESTIONS = (
    (InMemoryEventLogStorage, "has_table"),
    (SqliteEventLogStorage, "has_table"),
    (PostgresEventLogStorage, "has_table"),
    (SqlEventLogStorage, "has_asset_key_col"),
    (SqlEventLogStorage, "_has_asset_key_col_on_connection"),
    (SqlRunStorage, "has_backfill_id_column"),
    (SqlRunStorage, "has_backfill_tags_table"),
    (SqlRunStorage, "has_bulk_action_job_name_column"),
    (SqlRunStorage, "has_bulk_actions_selector_cols"),
    (SqlRunStorage, "has_run_stats_index_cols"),
)
"""What Dagster asks a storage about its tables, because it may be of an earlier version."""

_ENGINES = 64
"""How many files' engines are kept; a run has a file of its own."""


def make_cheap(patched: pytest.MonkeyPatch) -> None:
    """Make Dagster's storage cheaper in this process."""
    patched.setattr(ScriptDirectory, "from_config", _reading_once(ScriptDirectory.from_config))
    for storage, question in _QUESTIONS:
        patched.setattr(storage, question, _asking_until_yes(getattr(storage, question)))
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        patched.setattr(module, "create_engine", _engine_of_file)
    patched.setattr(in_memory, "create_engine", _engine_in_memory)
    patched.setattr(InMemoryEventLogStorage, "_connect", _connected)


def _reading_once(read: Callable[[Config], ScriptDirectory]) -> Callable[[Config], ScriptDirectory]:
    known = dict[str, ScriptDirectory]()

    def from_config(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location") or ""
        if not location.startswith("dagster:"):
            return read(config)
        if location not in known:
            known[location] = read(config)
        return known[location]

    return from_config


def _asking_until_yes(ask: Callable[..., bool]) -> Callable[..., bool]:
    """Ask a storage no more once the answer was yes: its tables and columns stay."""
    known = WeakKeyDictionary[object, set[str]]()

    def asked(storage: object, *about: Any) -> bool:
        yes = known.setdefault(storage, set())
        name = " ".join(part for part in about if isinstance(part, str))  # without the connection
        if name not in yes:
            if not ask(storage, *about):
                return False
            yes.add(name)
        return True

    return asked


def _engine_of_file(url: str, *, poolclass: type, connect_args: Mapping[str, Any] | None = None) -> Engine:
    return _kept_engine(url, poolclass, tuple((connect_args or {}).items()))


@lru_cache(_ENGINES)
def _kept_engine(url: str, poolclass: type, connect_args: tuple[tuple[str, Any], ...]) -> Engine:
    """An engine, which remembers the statements that it has compiled. It keeps no connection."""
    return sqlalchemy.create_engine(url, poolclass=poolclass, connect_args=dict(connect_args))


def _engine_in_memory(url: str, *, poolclass: type) -> Engine:
    """An engine whose connections may be used in all threads, one after the other."""
    engine = sqlalchemy.create_engine(url, poolclass=poolclass, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda connection, _: connection.execute("pragma foreign_keys = on"))
    return engine


@contextmanager
def _connected(storage: InMemoryEventLogStorage) -> Iterator[Connection]:
    """A transaction on the connection that the storage holds as long as it lives."""
    with storage._db_lock, storage._held_conn.begin():
        yield storage._held_conn
