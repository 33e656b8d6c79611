"""What the judgement of faults is worth: a platform that is broken in one of these ways does not pass it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from psycopg import sql

from totes_dagster import pipeline as refreshing
from totes_dagster.errors import TotesError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.zone import Zone
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster_tests.system.faults.matrix import Case, Matrix
from totes_dagster_tests.system.faults.points import Fault, last
from totes_dagster_tests.system.faults.scenes import Scene

pytestmark = pytest.mark.slow

HISTORY = ("warehouse", 'insert into "public"."load_history"')
MANIFEST = ("lake", "PUT ingestion/batches/")
"""Requests by the server, and how they begin."""


def load_in_two_transactions() -> None:
    """Bring the rows of a batch, and only in another transaction the batch itself."""
    execute = LoadTransaction.execute

    def commit_before(transaction: LoadTransaction, statement: str | sql.SQL | sql.Composed) -> int:
        text = statement if isinstance(statement, str) else statement.as_string(None)
        if "insert into" in text and "load_history" in text:
            transaction.commit()
        return execute(transaction, statement)

    LoadTransaction.execute = commit_before  # type: ignore[method-assign, assignment]


def commit_before_writing() -> None:
    """Commit a batch, and create the parts of payments only then."""
    create, commit = Zone.create, BatchLog.commit
    late: list[tuple[str, bytes]] = []

    def create_later(zone: Zone, path: str, data: bytes) -> bool:
        if path.startswith("payment/"):
            late.append((path, data))
            return True
        return create(zone, path, data)

    def commit_first(log: BatchLog, manifest: Manifest) -> bool:
        committed = commit(log, manifest)
        return committed and all(create(log.zone, path, data) for path, data in late)

    Zone.create, BatchLog.commit = create_later, commit_first  # type: ignore[method-assign, assignment]


def ignore_failing_loads() -> None:
    """Take a load that failed for one that is done."""
    work = vars(refreshing)["load"]

    def load_or_not(*arguments: object) -> object:
        try:
            return work(*arguments)
        except TotesError:
            return []

    vars(refreshing)["load"] = load_or_not


def fail_namelessly() -> None:
    """Let the driver's own errors through."""
    LoadTransaction.commit = lambda transaction: 1 / 0  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("broken", "where", "fault", "complaint"),
    [
        (load_in_two_transactions, HISTORY, Fault.KILLED_BEFORE, "never"),
        (commit_before_writing, MANIFEST, Fault.KILLED_AFTER, "next refresh fails"),
        (ignore_failing_loads, HISTORY, Fault.DISK_FULL, "never should"),
        (fail_namelessly, HISTORY, Fault.DEADLOCK, "otherwise than it may"),
    ],
)
def test_a_platform_that_is_broken_is_found_out(
    matrix: Matrix,
    scenes: dict[str, Scene],
    broken: Callable[[], None],
    where: tuple[str, str],
    fault: Fault,
    complaint: str,
) -> None:
    scene = scenes["a rich change"]
    point = last(matrix.points(scene), *where)
    assert matrix.wrongs(scene, [Case(point, fault)]) == []
    (wrong, *_) = matrix.wrongs(replace(scene, prepare=broken), [Case(point, fault)])
    assert complaint in wrong
