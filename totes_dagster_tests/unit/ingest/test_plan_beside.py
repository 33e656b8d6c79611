"""Keys are planned while rows are read, on the connection that holds the snapshot: what fails there is what is told."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from totes_dagster.errors import DatabaseError, DatabaseUnavailableError
from totes_dagster.ingest import plan, reader
from totes_dagster.ingest.run import ingest_changes
from totes_dagster.ingest.snapshot import SourceSnapshot
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.seeding import seed

open_reader = reader.open_reader
PATIENCE = 30


@pytest.fixture
def totesys(database: Callable[..., str]) -> Database:
    url = database("totesys")
    seed(url, orders=3)
    return Database("totesys", url)


def test_a_failure_that_takes_the_snapshot_along_is_told_and_not_that_of_the_readers(
    totesys: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_failed = threading.Event()

    def fail(_: Any, snapshot: SourceSnapshot, *arguments: Any, **options: Any) -> None:
        try:
            snapshot.connection.execute("select 1 / 0")
        finally:
            has_failed.set()

    def open_late(snapshot: SourceSnapshot) -> AbstractContextManager[reader.SnapshotReader]:
        assert has_failed.wait(PATIENCE)
        return open_reader(snapshot)

    monkeypatch.setattr(plan, "plan_keys", fail)
    monkeypatch.setattr(reader, "open_reader", open_late)
    with pytest.raises(DatabaseError, match="division by zero") as told:
        ingest_changes(totesys, Zone(tmp_path.as_uri()))
    assert isinstance(told.value.__cause__, DatabaseUnavailableError)


def test_a_failure_of_a_reader_alone_is_told_as_it_is(
    totesys: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise DatabaseUnavailableError("No more connections.")

    monkeypatch.setattr(reader, "open_reader", refuse)
    with pytest.raises(DatabaseUnavailableError, match=r"No more connections\."):
        ingest_changes(totesys, Zone(tmp_path.as_uri()))
