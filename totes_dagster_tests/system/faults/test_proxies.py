"""The faults themselves: what is asked for happens, and at no other moment. Else the tests here would say little."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from totes_dagster_tests.system.faults.points import Fault, Journal, Point
from totes_dagster_tests.system.faults.postgres_proxy import PostgresProxy
from totes_dagster_tests.system.faults.proxied import ObjectStore
from totes_dagster_tests.system.faults.s3_proxy import S3Proxy

INSERT = Point("db", "insert into t values (1)")
COMMIT = Point("db", "COMMIT")
COPY_END = Point("db", "end of copy t from stdin")
PUT = Point("lake", "PUT key")
REPORTED = {
    Fault.STATEMENT_TIMEOUT: errors.QueryCanceled,
    Fault.DISK_FULL: errors.DiskFull,
    Fault.DEADLOCK: errors.DeadlockDetected,
}


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    """A database with an empty table."""
    url = database("proxied")
    with psycopg.connect(url) as connection:
        connection.execute("create table t (x int)")
    return url


@contextmanager
def connected(url: str, point: Point, fault: Fault) -> Iterator[psycopg.Connection]:
    """A connection on which a fault waits, and of which no more is asked when it is over."""
    journal = Journal(point, fault)
    with PostgresProxy("db", url, journal) as proxy:
        connection = psycopg.connect(proxy.url)
        yield connection
        connection.close()
    assert journal.reached.is_set()


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        return len(connection.execute("select from t").fetchall())


@pytest.mark.parametrize("fault", REPORTED)
def test_a_statement_that_fails_is_not_executed_and_its_transaction_is_lost(url: str, fault: Fault) -> None:
    with connected(url, INSERT, fault) as connection:
        connection.execute("insert into t values (0)")
        with pytest.raises(REPORTED[fault]):
            connection.execute("insert into t values (1)")
        assert connection.info.transaction_status is TransactionStatus.INERROR
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("insert into t values (2)")
        connection.commit()
    assert rows(url) == 0


@pytest.mark.parametrize("fault", REPORTED)
def test_a_commit_that_fails_leaves_no_transaction_behind(url: str, fault: Fault) -> None:
    with connected(url, COMMIT, fault) as connection:
        connection.execute("insert into t values (1)")
        with pytest.raises(REPORTED[fault]):
            connection.commit()
        assert connection.info.transaction_status is TransactionStatus.IDLE
        assert rows(url) == 0
        connection.execute("insert into t values (2)")
        connection.commit()
    assert rows(url) == 1


@pytest.mark.parametrize("fault", REPORTED)
def test_a_copy_that_fails_at_its_end_stores_nothing(url: str, fault: Fault) -> None:
    with connected(url, COPY_END, fault) as connection:
        with pytest.raises(REPORTED[fault]), connection.cursor().copy("copy t from stdin") as copy:
            copy.write("1\n2\n")
        assert connection.info.transaction_status is TransactionStatus.INERROR
    assert rows(url) == 0


@pytest.mark.parametrize(("fault", "stored"), [(Fault.CLOSED_BEFORE, 0), (Fault.CLOSED_AFTER, 1)])
def test_a_commit_whose_connection_is_lost_was_carried_out_or_not(url: str, fault: Fault, stored: int) -> None:
    with connected(url, COMMIT, fault) as connection:
        connection.execute("insert into t values (1)")
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        assert connection.closed
    assert rows(url) == stored


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(url: str) -> None:
    with (
        connected(url, Point("db", "copy t to stdout"), Fault.CLOSED_MIDWAY) as connection,
        pytest.raises(psycopg.OperationalError),
    ):
        connection.execute("insert into t select generate_series(1, 10)")
        with connection.cursor().copy("copy t to stdout") as copy:
            list(copy)


def test_a_connection_that_the_administrator_ends_says_so(url: str) -> None:
    with connected(url, INSERT, Fault.ADMIN_SHUTDOWN) as connection:
        with pytest.raises(errors.AdminShutdown):
            connection.execute("insert into t values (1)")
        assert connection.closed


def test_a_database_that_is_starting_up_lets_nobody_in(url: str) -> None:
    with (
        PostgresProxy("db", url, Journal(Point("db", "connect"), Fault.STARTING_UP)) as proxy,
        pytest.raises(psycopg.OperationalError, match="the database system is starting up"),
    ):
        psycopg.connect(proxy.url)


def test_a_statement_is_told_from_the_same_statement_later(url: str) -> None:
    with connected(url, Point("db", "insert into t values ($1)", occurrence=3), Fault.DEADLOCK) as connection:
        for value in (1, 2):
            connection.execute("insert into t values (%s)", [value])
        with pytest.raises(errors.DeadlockDetected):
            connection.execute("insert into t values (%s)", [3])


def put(store: ObjectStore, fault: Fault | None, path: Path) -> tuple[int, bytes | None]:
    """Put an object where a fault waits; return the status that came back, 0 for none, and what is stored."""
    journal = Journal(PUT, fault)
    with S3Proxy(store.endpoint, journal) as proxy:
        url = f"{proxy.url}/{store.bucket}/{path.name}/key"
        try:
            with urlopen(Request(url, b"content", {"Content-Type": "text/plain"}, method="PUT"), timeout=1) as answer:
                status = answer.status
        except HTTPError as error:
            status = error.code
        except (OSError, ConnectionError):
            status = 0
    assert journal.reached.is_set()
    s3 = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="eu-west-2",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    try:
        return status, s3.get_object(Bucket=store.bucket, Key=f"{path.name}/key")["Body"].read()
    except s3.exceptions.NoSuchKey:
        return status, None


@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        (Fault.CLOSED_BEFORE, 0, None),
        (Fault.CLOSED_AFTER, 0, b"content"),
        (Fault.RESET, 0, None),
        (Fault.UNANSWERED, 0, b"content"),
        (Fault.INTERNAL_ERROR, 500, None),
        (Fault.SLOW_DOWN, 503, None),
        (None, 200, b"content"),
    ],
)
def test_an_object_whose_creation_goes_wrong_is_there_or_not(
    store: ObjectStore, tmp_path: Path, fault: Fault | None, status: int, stored: bytes | None
) -> None:
    assert put(store, fault, tmp_path) == (status, stored)
