"""Every way in which a statement fails or a connection breaks off: what may pass is told from what will not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from totes_dagster.errors import (
    AccessDeniedError,
    ColumnMissingError,
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnavailableError,
    DiskFullError,
    LoginRefusedError,
    ReadOnlyServerError,
    TableMissingError,
    TotesError,
)
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.postgres.columns import Column, read_columns
from totes_dagster.postgres.database import Database
from totes_dagster.postgres.named_errors import named_error
from totes_dagster_tests.exposure import assert_clear
from totes_dagster_tests.tcp_postgres import TcpPostgres
from totes_dagster_tests.wires import listening, wire_to

MANY_ROWS = "generate_series(1, 10_000_000) as key"


@pytest.fixture(scope="module")
def warehouse(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database with a table, and one in a schema of its own."""
    assert postgres.create_database("failing")
    made = Database("warehouse", postgres.url("failing"))
    with psycopg.connect(made.url) as connection:
        connection.execute("create table payment (payment_id int primary key, amount numeric)")
        connection.execute("create schema private create table payment (payment_id int)")
        connection.execute("create role stranger login")
    yield made
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("drop database failing with (force)")
        connection.execute("drop role stranger")


@pytest.fixture
def stranger(warehouse: Database) -> Database:
    """The same, for a user without any right."""
    return Database("warehouse", make_conninfo(warehouse.url, user="stranger"))


@contextmanager
def failing(kind: type[TotesError], *words: str) -> Iterator[None]:
    with pytest.raises(TotesError) as raised:
        yield
    error = assert_clear(raised.value)
    assert type(error) is kind, error
    for word in words:
        assert word in str(error)


def run(database: Database, *statements: str) -> None:
    """Run statements in one transaction, and read what the last one returns."""
    with database.transaction() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        cursor.fetchall()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("select * from public.payment", "permission denied for table payment."),
        (
            "select * from private.payment",
            "permission denied for schema private (in: select * from private.payment).",
        ),
    ],
)
def test_a_right_that_is_lacking_is_said(stranger: Database, statement: str, reason: str) -> None:
    with failing(AccessDeniedError, f"failed at warehouse: {reason} Grant the user of warehouse this privilege"):
        run(stranger, statement)


def test_a_missing_table_is_said(warehouse: Database) -> None:
    with failing(TableMissingError, 'relation "refund" does not exist', "Check that WAREHOUSE_URL names the right"):
        run(warehouse, "select * from refund")


def test_a_missing_column_is_said_with_the_statement_it_is_missing_in(warehouse: Database) -> None:
    with failing(ColumnMissingError, 'column "tax" does not exist (in: select tax from public.payment)'):
        run(warehouse, "select tax from public.payment")


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("08006", DatabaseUnavailableError),
        ("53300", DatabaseUnavailableError),
        ("57P01", DatabaseUnavailableError),
        ("57P02", DatabaseUnavailableError),
        ("57P03", DatabaseUnavailableError),
        ("40001", DatabaseBusyError),
        ("40P01", DatabaseBusyError),
        ("55P03", DatabaseBusyError),
        ("57014", DatabaseBusyError),
        ("25006", ReadOnlyServerError),
        ("25P03", DatabaseUnavailableError),
        ("53100", DiskFullError),
        ("28000", LoginRefusedError),
        ("23505", DatabaseError),
        ("57P04", DatabaseError),
        ("XX000", DatabaseError),
    ],
)
def test_what_the_server_reports_is_named_by_its_sqlstate(
    warehouse: Database, sqlstate: str, kind: type[DatabaseError]
) -> None:
    """Whatever language it speaks."""
    with failing(kind, "A statement failed at warehouse: etwas ging schief"):
        run(warehouse, f"do $$ begin raise exception 'etwas ging schief' using errcode = '{sqlstate}'; end $$")


def test_only_what_may_pass_is_tried_again() -> None:
    passing = (DatabaseUnavailableError, DatabaseBusyError)
    assert all(kind.transient for kind in passing)
    every: set[type[DatabaseError]] = {DatabaseError, *DatabaseError.__subclasses__()}
    assert not any(kind.transient for kind in every if not issubclass(kind, passing))


def test_a_statement_that_takes_too_long_is_worth_another_attempt(warehouse: Database) -> None:
    with failing(DatabaseBusyError, "canceling statement due to statement timeout"):
        run(warehouse, "set local statement_timeout to 50", "select pg_sleep(60)")


def test_a_lock_that_is_not_to_be_had_is_worth_another_attempt(warehouse: Database) -> None:
    with warehouse.transaction() as holder, failing(DatabaseBusyError, "canceling statement due to lock timeout"):
        holder.execute("lock table public.payment")
        run(warehouse, "set local lock_timeout to 50", "select * from public.payment")


def test_a_deadlock_is_worth_another_attempt(warehouse: Database) -> None:
    with warehouse.transaction() as connection:
        connection.execute("insert into public.payment values (1), (2)")
    hasty = Database("warehouse", make_conninfo(warehouse.url, options="-c deadlock_timeout=20"))
    together = threading.Barrier(2, timeout=30)
    failures: list[TotesError] = []

    def change(first: int, second: int) -> None:
        try:
            with hasty.transaction() as connection:
                connection.execute("update public.payment set amount = 1 where payment_id = %s", [first])
                together.wait()
                connection.execute("update public.payment set amount = 1 where payment_id = %s", [second])
        except TotesError as error:
            failures.append(error)

    threads = [threading.Thread(target=change, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    (failure,) = failures
    with failing(DatabaseBusyError, "deadlock detected"):
        raise failure


def terminate(url: str, pid: int) -> None:
    """End a session on the server, and wait until it is gone."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 10000)", [pid])


@pytest.mark.parametrize("ending", ["commit", "execute"])
def test_a_session_that_the_server_ends_is_worth_another_attempt(warehouse: Database, ending: str) -> None:
    with failing(DatabaseUnavailableError), warehouse.transaction() as connection:
        terminate(warehouse.url, connection.info.backend_pid)
        if ending == "commit":
            connection.commit()
        else:
            connection.execute("select 1")


def test_a_wire_that_is_cut_is_worth_another_attempt(server: TcpPostgres) -> None:
    with listening(wire_to(server.port)) as wire:
        database = Database("warehouse", f"postgresql://visitor@127.0.0.1:{wire.port}/postgres")
        broken = failing(DatabaseUnavailableError, "server closed the connection unexpectedly")
        with broken, database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("select 1")
            wire.cut()
            cursor.execute("select 2")


def test_rows_that_stop_coming_are_named_too(warehouse: Database) -> None:
    with (
        failing(DatabaseUnavailableError, "Reading payment from warehouse failed: "),
        warehouse.transaction() as reading,
    ):
        terminate_later = threading.Timer(0, terminate, [warehouse.url, reading.info.backend_pid])
        terminate_later.start()
        try:
            read_columns(reading, [Column("key", "integer", sql.SQL("key"))], sql.SQL(MANY_ROWS))
        except psycopg.Error as error:
            raise named_error("warehouse", "reading payment from warehouse", error) from error
        finally:
            terminate_later.join()


def test_what_was_done_is_named_in_the_message() -> None:
    error = psycopg.errors.InsufficientPrivilege("permission denied for table sales_order")
    assert str(named_error("totesys", "reading sales_order", error)) == (
        "Reading sales_order failed at totesys: permission denied for table sales_order. Grant the user of totesys "
        "this privilege or, if only the owner has it, membership in the owner's role; or set TOTESYS_URL to a user who "
        "has it."
    )
    assert str(named_error("totesys", "reading sales_order from totesys", error)).startswith(
        "Reading sales_order from totesys failed: permission denied"
    )


def test_an_error_in_a_block_does_not_become_that_of_a_connection_that_broke_off(
    warehouse: Database, tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError), warehouse.connect() as connection:
        terminate(warehouse.url, connection.info.backend_pid)
        raise ZeroDivisionError


def test_a_connection_that_broke_off_is_not_reported_twice(
    warehouse: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """psycopg would log that it could not roll back, besides the error that says why."""
    with failing(DatabaseUnavailableError), warehouse.transaction() as connection:
        terminate(warehouse.url, connection.info.backend_pid)
        connection.execute("select 1")
    assert not caplog.records
