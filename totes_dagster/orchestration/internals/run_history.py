"""What the storage of a Dagster instance holds of runs, and how a run is removed from it with all that belongs to it.

Dagster itself deletes a run's row, tags and events. Its check executions, its compute logs and, on SQLite, the file of
its events stay behind, and are removed here. Which runs are to go is not decided here, but in `retention.py`.

Databases do not shrink by this, but use the space again, so that they stay at the size they once had. To shrink one,
`vacuum` (SQLite) and `vacuum full` (PostgreSQL) lock everybody out for as long as they copy it: for a person to decide.
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
"""What Dagster stores as the run of an event that belongs to none."""

_RUNLESS_TYPES = [
    DagsterEventType.FRESHNESS_STATE_CHANGE.value,
    DagsterEventType.ASSET_MATERIALIZATION.value,
    DagsterEventType.ASSET_OBSERVATION.value,
]


@dataclass(frozen=True)
class Run:
    """A run, as far as it matters for how long it is kept.

    Attributes:
        updated_at: of a run that has ended, when it did.
    """

    run_id: str
    job: str
    status: DagsterRunStatus
    updated_at: datetime


class HistoryStorageError(TotesError):
    """Dagster's storage is none of those whose tables are known."""


class History:
    """The runs of a Dagster instance that keeps them in SQLite or PostgreSQL, and what belongs to them.

    Raises:
        HistoryStorageError: it keeps them elsewhere.
    """

    def __init__(self, instance: DagsterInstance) -> None:
        runs, events = instance.run_storage, instance.event_log_storage
        if not isinstance(runs, SqlRunStorage) or not isinstance(events, SqlEventLogStorage):
            raise HistoryStorageError(
                f"Dagster's storage is {type(events).__name__}, which has no tables to remove old runs from. "
                "Turn off the schedule `prune_hourly`, and let that storage forget by its own means."
            )
        self._instance, self._runs, self._events = instance, runs, events

    def runs(self) -> list[Run]:
        """All runs, whatever their status."""
        # Not the instance's own records: each of them comes with its run's whole configuration, some kilobytes.
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
        """Runs that Dagster needs to say how an asset or a check stands.

        Those are the runs of each asset's newest materialization, observation and attempt, and of each check's newest
        execution and newest result. An asset that is partitioned would need the newest of each partition; none is.
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
        """Runs that are gone, but of which something is left: their removal was cut short, or was not ours."""
        with self._events.index_connection() as connection:
            left = {*_runs_of_events(connection), *connection.scalars(select(_CHECKS.run_id).distinct())}
        if isinstance(self._events, SqliteEventLogStorage):
            left |= set(self._events.get_all_run_ids())
        if self._compute_logs and self._compute_logs.exists():
            left |= {folder.name for folder in self._compute_logs.iterdir() if (folder / "compute_logs").is_dir()}
        # Runs are read last: one that has begun in between had its row before anything else.
        return left - {None, _RUNLESS} - {run.run_id for run in self.runs()}

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove runs, with everything that belongs to them.

        Whenever this is killed, a run is still there or `leftovers` finds it. What is gone already is no error.

        Returns:
            The bytes of the files that are gone. Rows of databases are not counted.
        """
        checks = self._checks  # before the transaction: SQLite storage lends one connection at a time
        with self._events.index_transaction() as connection:
            # On PostgreSQL, Dagster deletes events and their tags one after the other, each for good.
            events = select(_EVENTS.id).where(_EVENTS.run_id.in_(run_ids))
            connection.execute(delete(AssetEventTagsTable).where(_TAGS.event_id.in_(events)))
            for asset, check in checks:  # the only index that knows of runs begins with these
                of_check = and_(_CHECKS.asset_key == asset, _CHECKS.check_name == check)
                connection.execute(delete(AssetCheckExecutionsTable).where(of_check, _CHECKS.run_id.in_(run_ids)))
        freed = 0
        for run_id in run_ids:
            files = self._files_of_events(run_id)
            freed += _bytes([*files, *self._files_of_compute_logs(run_id)])
            # First what cannot be found by looking: a bucket of compute logs is not listed.
            self._instance.compute_log_manager.delete_logs(prefix=[run_id])
            if isinstance(self._events, SqliteEventLogStorage):
                # It remembers which files it made tables in, and not whether they are still there.
                self._events._initialized_dbs.discard(run_id)
            self._instance.delete_run(run_id)
            for file in files:
                file.unlink(missing_ok=True)
        return freed

    def remove_runless(self, before: datetime) -> int:
        """Remove old events of assets that belong to no run, such as changes of freshness, but for each newest one.

        Returns:
            How many.
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
            with self._events.run_connection(_RUNLESS) as connection:  # a second copy, as of all events
                connection.execute(delete(SqlEventLogStorageTable).where(old))
        return removed

    @cached_property
    def _checks(self) -> list[tuple[str, str]]:
        """Keys of assets, as they are stored, and names of checks."""
        with self._events.index_connection() as connection:
            rows = connection.execute(select(_CHECKS.asset_key, _CHECKS.check_name).distinct())
            return [(asset, check) for asset, check in rows]

    @cached_property
    def _compute_logs(self) -> Path | None:
        """The folder of compute logs, if that is where they are."""
        manager = self._instance.compute_log_manager
        if not isinstance(manager, LocalComputeLogManager):
            return None
        return Path(manager.get_captured_local_path(["any"], "out")).parent

    def _files_of_compute_logs(self, run_id: str) -> list[Path]:
        return list((self._compute_logs / run_id).rglob("*")) if self._compute_logs else []

    def _files_of_events(self, run_id: str) -> list[Path]:
        """Files of the database that SQLite storage keeps per run: some 200 kB, however empty."""
        if not isinstance(self._events, SqliteEventLogStorage):
            return []
        file = self._events.path_for_shard(run_id)
        # The one that `leftovers` looks for goes last.
        return [Path(f"{file}-wal"), Path(f"{file}-shm"), Path(file)]


def _runs_of_events(connection: Connection) -> Iterable[str]:
    """Runs that have events, found by one look into the index for each run, not for each event."""
    found = select(func.min(_EVENTS.run_id).label("run_id")).where(_EVENTS.run_id > _RUNLESS).cte(recursive=True)
    following = select(func.min(_EVENTS.run_id)).where(_EVENTS.run_id > found.c.run_id).scalar_subquery()
    found = found.union_all(select(following).where(found.c.run_id.is_not(None)))
    return connection.scalars(select(found.c.run_id))


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
