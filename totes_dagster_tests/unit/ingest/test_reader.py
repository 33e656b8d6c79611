"""What of a source's columns a batch holds."""

from collections.abc import Callable, Sequence

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from totes_dagster.errors import DatabaseError
from totes_dagster.ingest import reader
from totes_dagster.ingest.capture import TableCapture
from totes_dagster.ingest.contract import deviations_of
from totes_dagster.ingest.reader import open_reader
from totes_dagster.ingest.snapshot import open_snapshot
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.postgres.columns import Column, read_columns
from totes_dagster.postgres.database import Database
from totes_dagster.schema.totesys import Capture
from totes_dagster.simulator.seeding import create_schema


@pytest.fixture
def totesys(database: Callable[..., str]) -> Database:
    """A source without a row, with a new column and a new table."""
    url = database("totesys")
    create_schema(url)
    with psycopg.connect(url) as connection:
        connection.execute("alter table department add column badge integer")
        connection.execute("create table invoice (invoice_id integer primary key, amount numeric)")
    return Database("totesys", url)


def change(source: Database, *statements: str) -> None:
    with psycopg.connect(source.url) as connection:
        for statement in statements:
            connection.execute(statement)


def captured(source: Database, table: str) -> tuple[pa.Table, list[str]]:
    """What a batch takes of a table, all of it, and how that table deviates from the declaration."""
    with open_snapshot(source) as snapshot, open_reader(snapshot) as reader, reader.transaction([table]):
        description = snapshot.catalogue.tables[table]
        rows = pa.Table.from_batches(reader.rows(table, description, TableCapture(Capture.WHOLE)))
        deviations = [str(found) for found in deviations_of(snapshot.catalogue) if found.table == table]
    return rows, deviations


DEPARTMENT = (
    "insert into department (department_id, department_name, created_at, last_updated, badge) "
    "values (1, 'Sales', now(), now(), 7)"
)


def test_a_new_column_is_captured_and_the_last_column_is_that_of_unfit_values(totesys: Database) -> None:
    change(totesys, DEPARTMENT)
    rows, deviations = captured(totesys, "department")
    assert rows.column("badge").to_pylist() == [7]
    assert rows.column_names[-1] == UNFIT_VALUES
    assert deviations == ["department.badge: expected no such column, found integer"]


@pytest.mark.parametrize("type_", ["text", "integer", "jsonb"])
def test_a_column_under_the_name_that_is_ours_is_not_captured_and_is_reported(totesys: Database, type_: str) -> None:
    change(
        totesys,
        f"alter table department add column {UNFIT_VALUES} {type_}",
        DEPARTMENT,
        f"update department set {UNFIT_VALUES} = '1'",
    )
    rows, deviations = captured(totesys, "department")
    assert rows.column_names.count(UNFIT_VALUES) == 1
    assert rows.column(UNFIT_VALUES).to_pylist() == [None]
    assert rows.column("department_name").to_pylist() == ["Sales"]
    assert deviations[-1] == (
        f"department.{UNFIT_VALUES}: expected no such column, found {type_} under a name that the platform reserves, "
        "not captured"
    )


def test_what_does_not_fit_is_listed_also_beside_a_column_under_the_name_that_is_ours(totesys: Database) -> None:
    change(
        totesys,
        f"alter table department add column {UNFIT_VALUES} text default 'theirs'",
        "alter table department alter column department_id type bigint",
        DEPARTMENT.replace("(1,", f"({2**40},"),
    )
    rows, _ = captured(totesys, "department")
    assert rows.column("department_id").to_pylist() == [None]
    assert rows.column(UNFIT_VALUES).to_pylist() == ['{"department_id": "is 1099511627776, which int32 cannot hold"}']


def test_an_undeclared_table_is_captured_without_a_column_under_the_name_that_is_ours(totesys: Database) -> None:
    change(totesys, f"alter table invoice add column {UNFIT_VALUES} text", "insert into invoice values (1, 2.5, 'x')")
    rows, _ = captured(totesys, "invoice")
    assert rows.column_names == ["invoice_id", "amount", UNFIT_VALUES]
    assert rows.column(UNFIT_VALUES).to_pylist() == [None]


def let_send(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement that would send more rows fail, as a server's does whose memory is used up."""

    def read(connection: psycopg.Connection, columns: Sequence[Column], relation: sql.Composable) -> pa.RecordBatch:
        batch = read_columns(connection, columns, relation)
        if batch.num_rows > rows:
            psycopg.Cursor(connection).execute("select repeat('x', 2000000000)")
        return batch

    monkeypatch.setattr(reader, "read_columns", read)


@pytest.mark.parametrize("rows", [3, 12, 120])
def test_what_is_too_large_for_one_statement_is_read_in_several(
    totesys: Database, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    change(totesys, f"insert into invoice select n, n from generate_series(1, {rows}) as n")
    let_send(3, monkeypatch)
    found, _ = captured(totesys, "invoice")
    assert found.column("invoice_id").to_pylist() == list(range(1, rows + 1))


def test_a_row_that_is_too_large_fails_by_name(totesys: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    change(totesys, "insert into invoice values (1, 1)")
    let_send(0, monkeypatch)
    with pytest.raises(DatabaseError, match="Reading invoice from totesys failed: requested length too large"):
        captured(totesys, "invoice")


def test_keys_are_read_in_order_all_or_those_in_some_ranges(totesys: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "ROWS_AT_ONCE", 2**14)
    keys = [*range(1, 40_000, 3), 2**31 - 1]
    change(
        totesys,
        "alter table department alter column created_at drop not null",
        "insert into department (department_id, department_name, created_at, last_updated) "
        f"select n, '', now(), now() from unnest(array{keys}) as n order by random()",
    )
    with open_snapshot(totesys) as snapshot, open_reader(snapshot) as opened, opened.transaction(["department"]):
        table = snapshot.catalogue.tables["department"]
        every = pa.Table.from_batches(opened.keys("department", table)).column(0).to_pylist()
        some = pa.Table.from_batches(opened.keys("department", table, [0, 2, 77])).column(0).to_pylist()
    assert every == keys
    assert some == [key for key in keys if key >> 14 in {0, 2, 77}]


def test_rows_with_the_same_key_are_named(totesys: Database) -> None:
    change(
        totesys,
        "alter table department drop constraint department_pkey cascade",
        DEPARTMENT,
        DEPARTMENT,
        DEPARTMENT.replace("(1,", "(2,"),
    )
    with open_snapshot(totesys) as snapshot, open_reader(snapshot) as opened, opened.transaction(["department"]):
        capture = TableCapture(Capture.WHOLE, unique_keys=False)
        rows = pa.Table.from_batches(opened.rows("department", snapshot.catalogue.tables["department"], capture))
    assert sorted(rows.column(UNFIT_VALUES).to_pylist(), key=str) == [
        None,
        '{"department_id": "is the key of 2 rows"}',
        '{"department_id": "is the key of 2 rows"}',
    ]


def test_a_row_that_is_both_recent_and_asked_for_by_its_key_is_read_once(totesys: Database) -> None:
    change(totesys, DEPARTMENT, *(DEPARTMENT.replace("(1,", f"({key},") for key in (2, 3)))
    with psycopg.connect(totesys.url) as connection:
        ((horizon,),) = connection.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchall()
    change(totesys, "update department set badge = 8 where department_id = 2")
    with open_snapshot(totesys) as snapshot, open_reader(snapshot) as opened, opened.transaction(["department"]):
        capture = TableCapture(Capture.CHANGES, horizon, (1, 2))
        rows = pa.Table.from_batches(opened.rows("department", snapshot.catalogue.tables["department"], capture))
    assert sorted(rows.column("department_id").to_pylist()) == [1, 2]
