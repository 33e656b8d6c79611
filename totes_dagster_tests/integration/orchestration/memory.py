"""An instance of Dagster on a storage that a test can look into, and small jobs that leave something of every kind."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DataVersion,
    Definitions,
    ExecuteInProcessResult,
    MaterializeResult,
    RunConfig,
    StaticPartitionsDefinition,
    asset,
    asset_check,
    define_asset_job,
    in_process_executor,
)

from totes_dagster.definitions import build_defs
from totes_dagster.orchestration.internals.run_history import History
from totes_dagster.orchestration.jobs import JOB_TAG, refresh
from totes_dagster.orchestration.retention import PruneConfig, history_of
from totes_dagster.orchestration.specs import key_of_loaded, key_of_source

BREAK = "break"
"""A run with this tag fails before anything is done."""

SOURCE, TABLE, OTHER = key_of_source("staff"), key_of_loaded("dim_staff"), key_of_loaded("dim_date")
"""Three of the platform's assets."""

THEIRS = AssetKey("theirs")
"""An asset of another code location."""

OWN_CHECK = AssetCheckKey(OTHER, "is_known")


def break_down(context: AssetExecutionContext | AssetCheckExecutionContext) -> None:
    """Fail, if the run is to."""
    if BREAK in context.run.tags:
        raise ValueError("broken")


def leave_something_of_every_kind(context: AssetExecutionContext) -> Iterator[Any]:
    """A materialisation with a tag, an observation, a check's result, and a compute log."""
    break_down(context)
    context.log.info("working")
    yield AssetObservation(SOURCE)
    yield MaterializeResult(data_version=DataVersion(context.run.run_id))
    yield AssetCheckResult(check_name="is_right", passed=True)


@asset(key=TABLE, check_specs=[AssetCheckSpec("is_right", asset=TABLE)])
def table(context: AssetExecutionContext) -> Iterator[Any]:
    """An asset with a check of its own."""
    yield from leave_something_of_every_kind(context)


@asset(key=OTHER)
def other(context: AssetExecutionContext) -> None:
    """An asset without a check of its own."""
    break_down(context)


@asset_check(asset=other)
def is_known(context: AssetCheckExecutionContext) -> AssetCheckResult:
    """A check that has a job of its own."""
    break_down(context)
    return AssetCheckResult(passed=True)


@asset(
    key=THEIRS,
    check_specs=[AssetCheckSpec("is_right", asset=THEIRS)],
    partitions_def=StaticPartitionsDefinition(["east", "west"]),
)
def theirs(context: AssetExecutionContext) -> Iterator[Any]:
    """An asset of theirs, of which as much is left."""
    yield from leave_something_of_every_kind(context)


DEFINITIONS = Definitions(
    assets=[table, other],
    asset_checks=[is_known],
    jobs=[
        define_asset_job(refresh.name, AssetSelection.assets(table), tags={JOB_TAG: refresh.name}),
        define_asset_job("other", AssetSelection.assets(other).without_checks(), tags={JOB_TAG: "other"}),
        define_asset_job("check", AssetSelection.checks(is_known), tags={JOB_TAG: "check"}),
    ],
    executor=in_process_executor,
)

EARLIER = Definitions(
    assets=[table], jobs=[define_asset_job(refresh.name, AssetSelection.assets(table))], executor=in_process_executor
)
"""The platform before its runs carried a tag."""

ELSEWHERE = Definitions(
    assets=[theirs], jobs=[define_asset_job(refresh.name, AssetSelection.assets(theirs))], executor=in_process_executor
)
"""Another code location, with a job of the same name."""


@dataclass(frozen=True)
class Memory:
    """An instance of Dagster, its home, and its database if it has one."""

    instance: DagsterInstance
    home: Path
    database: str | None

    def run(self, job: str = refresh.name, definitions: Definitions = DEFINITIONS, **options: Any) -> str:
        """Run a job, and return the run's id."""
        definition = definitions.resolve_job_def(job)
        return definition.execute_in_process(instance=self.instance, raise_on_error=False, **options).run_id

    def start(self, job: str = refresh.name) -> str:
        """A run that another process is at work on."""
        definition = DEFINITIONS.resolve_job_def(job)
        run = self.instance.create_run_for_job(definition, status=DagsterRunStatus.STARTED, tags=definition.run_tags)
        return run.run_id

    def history(self) -> History:
        """The platform's runs and assets, as a new process sees them."""
        return history_of(self.instance)

    def prune(self, **config: Any) -> ExecuteInProcessResult:
        """Run the platform's job."""
        run_config = RunConfig(ops={"prune_history": PruneConfig(**config)})
        return build_defs().resolve_job_def("prune").execute_in_process(instance=self.instance, run_config=run_config)

    def runs(self) -> set[str]:
        """All runs but those of prunes."""
        return {run.run_id for run in self.instance.get_runs() if run.job_name != "prune"}

    def mentions(self, text: str) -> set[str]:
        """Tables with a row in which a text occurs, and files and folders with it in their names."""
        named = {str(path.relative_to(self.home)) for path in self.home.rglob("*") if text in path.name}
        return named | {name for name, row in self.rows() if text in str(row)}

    def untagged(self) -> set[Any]:
        """Ids of events that have tags, but do not exist."""
        events = {row[0] for name, row in self.rows() if name == "event_logs"}
        return {row[1] for name, row in self.rows() if name == "asset_event_tags"} - events

    def rows(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """All rows of all tables that runs share, each with its table's name."""
        if self.database:
            with psycopg.connect(self.database) as connection:
                tables = connection.execute("select relname from pg_stat_user_tables").fetchall()
                for (name,) in tables:
                    for row in connection.execute(f"select * from {name}"):
                        yield name, row
            return
        for file in (self.home / "history/runs.db", self.home / "history/runs/index.db"):
            with closing(sqlite3.connect(file)) as files:
                for (name,) in files.execute("select name from sqlite_master where type = 'table'").fetchall():
                    for row in files.execute(f"select * from {name}").fetchall():
                        yield name, row
