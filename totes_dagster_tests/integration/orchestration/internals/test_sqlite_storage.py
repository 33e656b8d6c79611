"""The quicker storage of `totes dev`: Dagster's own reads what it wrote, and who watches it is told."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from dagster import DagsterInstance, job, op
from dagster._core.storage.event_log import SqliteEventLogStorage

from totes_dagster.orchestration.development.dev import configure
from totes_dagster.orchestration.internals.sqlite_storage import ENGINES_KEPT, QuickSqliteEventLogStorage


@op
def work() -> int:
    return 7


@job
def little() -> None:
    work()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance


def test_it_is_what_the_development_server_uses(instance: DagsterInstance) -> None:
    assert isinstance(instance.event_log_storage, QuickSqliteEventLogStorage)


def test_dagsters_own_storage_reads_what_it_wrote(home: Path, instance: DagsterInstance) -> None:
    runs = [little.execute_in_process(instance=instance).run_id for _ in range(ENGINES_KEPT + 4)]
    written = {run: [str(event) for event in instance.all_logs(run)] for run in runs}
    (home / "dagster.yaml").unlink()
    with DagsterInstance.from_config(str(home)) as other:
        assert type(other.event_log_storage) is SqliteEventLogStorage
        assert [run.run_id for run in other.get_runs()] == runs[::-1]
        assert {run: [str(event) for event in other.all_logs(run)] for run in runs} == written
    assert all(len(events) > 5 for events in written.values())


def test_whoever_watches_a_run_of_another_process_is_told_at_once(home: Path, instance: DagsterInstance) -> None:
    run = instance.create_run_for_job(little)
    told = Event()
    with DagsterInstance.from_config(str(home)) as watching:
        watching.watch_event_logs(run.run_id, None, lambda *_: told.set())
        instance.report_run_failed(run)
        assert told.wait(60)
        watching.end_watch_event_logs(run.run_id, lambda *_: None)


def test_no_file_is_open_after_it_is_closed(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        little.execute_in_process(instance=instance)
        assert list(home.rglob("*.db-wal"))  # of the index, which stays open
    assert list(home.rglob("*.db-wal")) == []
    (index,) = home.rglob("index.db")
    with sqlite3.connect(index) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
