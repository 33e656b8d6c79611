"""Lists the runs in the storage of a Dagster instance, and removes runs with everything that belongs to them.

Dagster itself deletes a run's row, tags and events. Its check executions, its compute logs and, on SQLite, the file
with its events remain, and are removed here. Which runs are removed is decided in `retention.py`.

Databases do not shrink, but reuse the space, so they keep the size that they once had. `vacuum` (SQLite) and `vacuum
full` (PostgreSQL) shrink them, but lock out all other sessions meanwhile, so that is left to an administrator.

Tried with Dagster 1.13.27.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
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
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import Connection, and_, delete, func, select

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


@dataclass(frozen=True)
class Run:
    """A run, with the attributes that decide how long it is kept.

    Attributes:
        updated_at: when the run ended or, if it has not, when its row was last updated.
    """

    run_id: str
    job: str
    status: DagsterRunStatus
    updated_at: datetime


class HistoryStorageError(TotesError):
    """Dagster's storage is of a kind whose tables are not known."""


class History:
    """The runs of a Dagster instance that keeps them in SQLite or PostgreSQL, and what belongs to them.

    Raises:
        HistoryStorageError: the instance keeps its runs elsewhere.
    """

    def __init__(self, instance: DagsterInstance) -> None:
        runs, events = instance.run_storage, instance.event_log_storage
        if not isinstance(runs, SqlRunStorage) or not isinstance(events, SqlEventLogStorage):
            raise HistoryStorageError(
                f"Dagster's storage is {type(events).__name__}, which has no tables to remove old runs from. "
                "Turn off the schedule `prune_hourly`, and remove old runs by that storage's own means."
            )
        self._instance, self._runs, self._events = instance, runs, events

    def runs(self) -> list[Run]:
        """All runs, whatever their status."""
        # Not the instance's run records: each includes its run's whole configuration, some kilobytes.
        columns = RunsTable.c
        query = select(
            columns.run_id, columns.pipeline_name, columns.status, columns.end_time, columns.update_timestamp
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
        """Runs that Dagster needs to show the status of an asset or a check.

        These are the runs of each asset's newest materialization, observation and attempt, and of each check's newest
        execution and newest result. (Partitioned assets, of which there are none, would need them for each partition.)
        """
        runs: set[str | None] = set()
        for record in self._instance.get_asset_records():
            entry = record.asset_entry
            observed = self._instance.fetch_observations(entry.asset_key, limit=1).records
            materialized = [entry.last_materialization_record] if entry.last_materialization_record else []
            runs |= {entry.last_run_id, *(event.run_id for event in [*observed, *materialized])}
        checks = [AssetCheckKey(key, check) for asset, check in self._checks if (key := AssetKey.from_db_string(asset))]
        for summary in self._events.get_asset_check_summary_records(checks).values():
            executions = (summary.last_check_execution_record, summary.last_completed_check_execution_record)
            runs |= {execution.run_id for execution in executions if execution}
        return {run for run in runs if run}

    def leftovers(self) -> set[str]:
        """Runs whose row is gone, but not everything else: their removal was interrupted, or was not done here."""
        with self._events.index_connection() as connection:
            found = {*_runs_of_events(connection), *connection.scalars(select(_CHECKS.run_id).distinct())}
        if isinstance(self._events, SqliteEventLogStorage):
            found |= set(self._events.get_all_run_ids())
        if self._compute_logs and self._compute_logs.exists():
            found |= {folder.name for folder in self._compute_logs.iterdir() if (folder / "compute_logs").is_dir()}
        # Runs are read last, because the row of a run that began in the meantime was written first.
        return found - {None, _RUNLESS} - {run.run_id for run in self.runs()}

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove runs, with everything that belongs to them.

        If this is killed at any time, a run still exists, or `leftovers` finds it. It is not an error if some of it is
        gone already.

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
            # First what `leftovers` cannot find: a bucket with compute logs is not listed.
            self._instance.compute_log_manager.delete_logs(prefix=[run_id])
            if isinstance(self._events, SqliteEventLogStorage):
                # The storage remembers in which files it has created tables, and would not create them again.
                self._events._initialized_dbs.discard(run_id)
            self._instance.delete_run(run_id)
            for file in files:
                file.unlink(missing_ok=True)
        return freed

    def remove_runless(self, before: datetime) -> int:
        """Remove old events of assets that belong to no run, such as freshness changes, except each newest one.

        Args:
            before: events older than this are removed; with a time zone.

        Returns:
            How many were removed.
        """
        of_no_run = and_(_EVENTS.run_id == _RUNLESS, _EVENTS.dagster_event_type.in_(_RUNLESS_TYPES))
        newest = select(func.max(_EVENTS.id)).where(of_no_run).group_by(_EVENTS.asset_key, _EVENTS.dagster_event_type)
        old = and_(
            of_no_run, _EVENTS.timestamp < before.astimezone(UTC).replace(tzinfo=None), _EVENTS.id.not_in(newest)
        )
        removed = 0
        with self._events.index_transaction() as connection:
            connection.execute(delete(AssetEventTagsTable).where(_TAGS.event_id.in_(select(_EVENTS.id).where(old))))
            removed += connection.execute(delete(SqlEventLogStorageTable).where(old)).rowcount
        if any(file.exists() for file in self._files_of_events(_RUNLESS)):
            with self._events.run_connection(
                _RUNLESS
            ) as connection:  # SQLite storage keeps a second copy of all events
                connection.execute(delete(SqlEventLogStorageTable).where(old))
        return removed

    @cached_property
    def _checks(self) -> list[tuple[str, str]]:
        """The asset keys of all checks, as they are stored, and their names."""
        with self._events.index_connection() as connection:
            rows = connection.execute(select(_CHECKS.asset_key, _CHECKS.check_name).distinct())
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
        # The file that `leftovers` looks for comes last.
        return [Path(f"{file}-wal"), Path(f"{file}-shm"), Path(file)]


def _runs_of_events(connection: Connection) -> Iterable[str]:
    """Runs that have events, found with one index lookup for each run, not for each event."""
    found = select(func.min(_EVENTS.run_id).label("run_id")).where(_EVENTS.run_id > _RUNLESS).cte(recursive=True)
    following = select(func.min(_EVENTS.run_id)).where(_EVENTS.run_id > found.c.run_id).scalar_subquery()
    found = found.union_all(select(following).where(found.c.run_id.is_not(None)))
    return connection.scalars(select(found.c.run_id))


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
