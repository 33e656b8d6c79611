"""Lists runs in the storage of a Dagster instance, and removes runs with everything that belongs to them.

Dagster itself deletes a run's row, tags and events. Its check executions, its compute logs and, on SQLite, the file
with its events remain, and are removed here. Which runs are removed is decided in `retention.py`.

Other code locations may share the instance. Their runs and assets are neither listed nor touched.

Databases do not shrink, but reuse the space, so they keep the size that they once had. `vacuum` (SQLite) and `vacuum
full` (PostgreSQL) shrink them, but lock out all other sessions meanwhile, so that is left to an administrator.

Tried with Dagster 1.13.27.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import product
from pathlib import Path

from dagster import AssetCheckKey, AssetKey, DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import ColumnElement, and_, delete, func, select

from totes_dagster.errors import TotesError

_EVENTS = SqlEventLogStorageTable.c
_CHECKS = AssetCheckExecutionsTable.c
_TAGS = AssetEventTagsTable.c

_RUNLESS = ""
"""What Dagster stores as the run of an event that belongs to no run."""

_RUNLESS_TYPES = [
    DagsterEventType.FRESHNESS_STATE_CHANGE.value,
    DagsterEventType.ASSET_MATERIALIZATION.value,
    DagsterEventType.ASSET_OBSERVATION.value,
]

_EVENTS_AT_ONCE = 1_000
"""The most events that one statement names."""


@dataclass(frozen=True)
class Run:
    """A run, with the attributes that decide how long it is kept.

    Attributes:
        run_id: its id.
        job: the job that its tag names.
        status: its status.
        updated_at: when the run ended or, if it has not, when its row was last updated.
    """

    run_id: str
    job: str
    status: DagsterRunStatus
    updated_at: datetime


class HistoryStorageError(TotesError):
    """Dagster's storage is of a kind whose tables are not known."""


def unsupported(instance: DagsterInstance) -> str | None:
    """A sentence on why old runs of this instance cannot be removed here; None if they can."""
    try:
        _storages(instance)
    except HistoryStorageError as error:
        return str(error)
    return None


class History:
    """Some of the runs and assets of a Dagster instance that keeps them in SQLite or PostgreSQL.

    Args:
        instance: the instance.
        tag: the tag that these runs carry, with the name of their job.
        assets: the assets that these runs materialize, observe and check.

    Raises:
        HistoryStorageError: the instance keeps its runs elsewhere.
    """

    def __init__(self, instance: DagsterInstance, tag: str, assets: Collection[AssetKey]) -> None:
        self._runs, self._events = _storages(instance)
        self._instance, self._tag = instance, tag
        self._assets = {key.to_string(): key for key in assets}

    def runs(self) -> list[Run]:
        """All runs with the tag, whatever their status."""
        # Not the instance's run records: each includes its run's whole configuration, some kilobytes.
        columns, tags = RunsTable.c, RunTagsTable.c
        query = (
            select(columns.run_id, tags.value, columns.status, columns.end_time, columns.update_timestamp)
            .join(RunTagsTable, tags.run_id == columns.run_id)
            .where(tags.key == self._tag)
        )
        with self._runs.connect() as connection:
            rows = connection.execute(query).fetchall()
        return [
            Run(
                run_id,
                job,
                DagsterRunStatus(status),
                updated.replace(tzinfo=UTC) if ended is None else datetime.fromtimestamp(ended, UTC),
            )
            for run_id, job, status, ended, updated in rows
        ]

    def held(self) -> set[str]:
        """Runs that Dagster needs to show the status of one of the assets, or of a check of them.

        These are the runs of each asset's newest materialization, observation and attempt, and of each check's newest
        execution and newest result. (Partitioned assets, of which there are none, would need them for each partition.)
        """
        runs: set[str | None] = set()
        for record in self._instance.get_asset_records(list(self._assets.values())):
            entry = record.asset_entry
            observed = self._instance.fetch_observations(entry.asset_key, limit=1).records
            materialized = [entry.last_materialization_record] if entry.last_materialization_record else []
            runs |= {entry.last_run_id, *(event.run_id for event in [*observed, *materialized])}
        checks = [AssetCheckKey(self._assets[asset], check) for asset, check in self._checks]
        for summary in self._events.get_asset_check_summary_records(checks).values():
            executions = (summary.last_check_execution_record, summary.last_completed_check_execution_record)
            runs |= {execution.run_id for execution in executions if execution}
        return {run for run in runs if run}

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove runs, with everything that belongs to them.

        The row of a run goes last. So if this is killed at any time, `runs` still lists what was not removed entirely.
        It is not an error if some of it is gone already.

        Returns:
            The number of bytes of removed files. Rows in databases are not counted.
        """
        checks = self._checks  # before the transaction: SQLite storage lends one connection at a time
        with self._events.index_transaction() as connection:
            # On PostgreSQL, Dagster deletes events and their tags in separate transactions.
            events = select(_EVENTS.id).where(_EVENTS.run_id.in_(run_ids))
            connection.execute(delete(AssetEventTagsTable).where(_TAGS.event_id.in_(events)))
            for asset, check in checks:  # the only index on runs begins with these columns
                of_check = and_(_CHECKS.asset_key == asset, _CHECKS.check_name == check)
                connection.execute(delete(AssetCheckExecutionsTable).where(of_check, _CHECKS.run_id.in_(run_ids)))
        freed = 0
        for run_id in run_ids:
            files = self._files_of_events(run_id)
            freed += _bytes([*files, *self._files_of_compute_logs(run_id)])
            self._instance.compute_log_manager.delete_logs(prefix=[run_id])
            if isinstance(self._events, SqliteEventLogStorage):
                # The storage remembers in which files it has created tables, and would not create them again.
                self._events._initialized_dbs.discard(run_id)
            # Not the instance's `delete_run`, which deletes the row before the events.
            self._events.delete_events(run_id)
            for file in files:
                file.unlink(missing_ok=True)
            self._runs.delete_run(run_id)
        return freed

    def remove_runless(self, before: datetime) -> int:
        """Remove old events of the assets that belong to no run, such as freshness changes, except each newest one.

        Args:
            before: events older than this are removed; with a time zone.

        Returns:
            How many were removed.
        """
        removed = 0
        with self._events.index_transaction() as connection:
            for old in self._old_runless(before):
                # Not one statement with a subquery, for which PostgreSQL reads all tags, even if nothing is old.
                ids = connection.scalars(select(_EVENTS.id).where(old)).all()
                for first in range(0, len(ids), _EVENTS_AT_ONCE):
                    some = ids[first : first + _EVENTS_AT_ONCE]
                    connection.execute(delete(AssetEventTagsTable).where(_TAGS.event_id.in_(some)))
                    connection.execute(delete(SqlEventLogStorageTable).where(_EVENTS.id.in_(some)))
                removed += len(ids)
        if any(file.exists() for file in self._files_of_events(_RUNLESS)):
            # SQLite storage keeps a second copy of all events.
            with self._events.run_connection(_RUNLESS) as connection:
                for old in self._old_runless(before):
                    connection.execute(delete(SqlEventLogStorageTable).where(old))
        return removed

    def _old_runless(self, before: datetime) -> Iterator[ColumnElement[bool]]:
        """For each asset and type of event, which events belong to no run and are old, except the newest one."""
        # One by one, because an index begins with these columns. PostgreSQL reads the whole table for all of them.
        for asset, event_type in product(self._assets, _RUNLESS_TYPES):
            runless = and_(
                _EVENTS.asset_key == asset, _EVENTS.dagster_event_type == event_type, _EVENTS.run_id == _RUNLESS
            )
            newest = select(func.max(_EVENTS.id)).where(runless).scalar_subquery()
            yield and_(runless, _EVENTS.id < newest, _EVENTS.timestamp < before.astimezone(UTC).replace(tzinfo=None))

    @cached_property
    def _checks(self) -> list[tuple[str, str]]:
        """The asset keys of the assets' checks, as they are stored, and their names."""
        of_assets = _CHECKS.asset_key.in_(self._assets)
        with self._events.index_connection() as connection:
            rows = connection.execute(select(_CHECKS.asset_key, _CHECKS.check_name).where(of_assets).distinct())
            return [(asset, check) for asset, check in rows]

    @cached_property
    def _compute_logs(self) -> Path | None:
        """The folder with the compute logs; None if they are not in a folder."""
        manager = self._instance.compute_log_manager
        if not isinstance(manager, LocalComputeLogManager):
            return None
        return Path(manager.get_captured_local_path(["any"], "out")).parent

    def _files_of_compute_logs(self, run_id: str) -> list[Path]:
        return list((self._compute_logs / run_id).rglob("*")) if self._compute_logs else []

    def _files_of_events(self, run_id: str) -> list[Path]:
        """Files of the database that SQLite storage keeps per run: about 200 kB, even if it is empty."""
        if not isinstance(self._events, SqliteEventLogStorage):
            return []
        file = self._events.path_for_shard(run_id)
        return [Path(f"{file}-wal"), Path(f"{file}-shm"), Path(file)]


def _storages(instance: DagsterInstance) -> tuple[SqlRunStorage, SqlEventLogStorage]:
    runs, events = instance.run_storage, instance.event_log_storage
    if isinstance(runs, SqlRunStorage) and isinstance(events, SqlEventLogStorage):
        return runs, events
    unknown = events if isinstance(runs, SqlRunStorage) else runs
    raise HistoryStorageError(
        f"Dagster's storage is {type(unknown).__name__}, which has no tables to remove old runs from. Remove them by "
        "that storage's own means."
    )


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
