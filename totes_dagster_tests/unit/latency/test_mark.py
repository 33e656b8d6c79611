"""The mark of a measurement: it goes on one row, leaves everything else alone, and comes off whatever happens."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from totes_dagster.errors import ColumnMissingError, DatabaseBusyError, DatabaseUnavailableError
from totes_dagster.latency import mark as module
from totes_dagster.latency.mark import (
    MarkLeftError,
    MeasurementInProgressError,
    SourceEmptyError,
    SourceNotWritableError,
    marking,
)
from totes_dagster.postgres.database import Database
from totes_dagster.simulator.seeding import create_schema
from totes_dagster_tests.source import contents


@pytest.fixture
def totesys(source: str) -> Database:
    return Database("totesys", source)


def execute(database: Database, statement: str) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(statement)


def last_names(database: Database) -> dict[int, str]:
    return {key: row["last_name"] for key, row in contents(database.url)["staff"].items()}


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, int, str]]:
    """What differs between two states of a source with the same rows: table, key and column."""
    return [
        (table, key, column)
        for table, rows in before.items()
        for key, row in rows.items()
        for column in row
        if after[table][key][column] != row[column]
    ]


def test_a_mark_is_new_each_time_and_changes_one_value_only(totesys: Database) -> None:
    before = contents(totesys.url)
    with marking(totesys) as mark:
        first, second = mark.put(1), mark.put(2)
        assert first != second
        assert differing(before, contents(totesys.url)) == [("staff", mark.row, "last_name")]
        assert last_names(totesys)[mark.row] == before["staff"][mark.row]["last_name"] + second
    assert contents(totesys.url) == before


def test_a_row_that_was_never_marked_is_not_touched(totesys: Database) -> None:
    with psycopg.connect(totesys.url) as connection:
        before = connection.execute("select array_agg(xmin::text order by staff_id) from staff").fetchone()
        with marking(totesys):
            pass
        assert connection.execute("select array_agg(xmin::text order by staff_id) from staff").fetchone() == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ValueError])
def test_it_comes_off_whatever_happens(totesys: Database, failure: type[BaseException]) -> None:
    before = contents(totesys.url)
    with pytest.raises(failure), marking(totesys) as mark:
        mark.put(1)
        raise failure
    assert contents(totesys.url) == before


def test_it_comes_off_when_the_connection_breaks_off(totesys: Database) -> None:
    before = contents(totesys.url)
    with pytest.raises(DatabaseUnavailableError, match="failed at totesys"), marking(totesys) as mark:
        mark.put(1)
        execute(totesys, f"select pg_terminate_backend({mark.connection.info.backend_pid}, 10000)")
        mark.put(2)
    assert contents(totesys.url) == before


def test_what_others_write_into_the_row_meanwhile_stays(totesys: Database) -> None:
    with marking(totesys) as mark:
        mark.put(1)
        execute(totesys, f"update staff set last_name = 'Married' where staff_id = {mark.row}")
        mark.put(2)
    assert last_names(totesys)[mark.row] == "Married"


def test_one_that_a_killed_measurement_left_is_taken_off_by_the_next(totesys: Database) -> None:
    before = contents(totesys.url)
    with marking(totesys) as mark:
        mark.put(1)
        mark.is_on = False  # nobody takes it off
    assert contents(totesys.url) != before
    with marking(totesys) as mark:
        mark.put(1)
    assert contents(totesys.url) == before


def test_one_that_cannot_be_taken_off_is_told_with_its_row(totesys: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    said = pytest.raises(MarkLeftError, match=r"The mark is still on staff\.last_name of staff_id 1 in totesys")
    with said as failure, marking(totesys) as mark:
        mark.put(1)
        execute(totesys, "alter table staff rename column last_name to surname")
    assert isinstance(failure.value.__cause__, ColumnMissingError)


def test_a_row_that_others_hold_is_not_waited_for_without_end(
    totesys: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SET_LOCK_TIMEOUT", "set local lock_timeout = '10ms'")
    with psycopg.connect(totesys.url) as other:
        other.execute("select from staff for update")
        said = pytest.raises(MarkLeftError, match="lock timeout")
        monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
        with said as failure, marking(totesys) as mark:
            mark.put(1)
        assert isinstance(failure.value.__cause__, DatabaseBusyError)


def test_a_user_who_may_only_read_is_told_what_to_do(totesys: Database) -> None:
    role = "may_only_read"
    execute(totesys, f"create role {role} login; grant select on all tables in schema public to {role}")
    try:
        said = pytest.raises(
            SourceNotWritableError, match=r"permission denied for table staff\..* must be able to update staff"
        )
        with said, marking(Database("totesys", make_conninfo(totesys.url, user=role))) as mark:
            mark.put(1)
    finally:
        execute(totesys, f"drop owned by {role}; drop role {role}")


def test_a_row_that_is_gone_is_said(totesys: Database) -> None:
    execute(totesys, "alter table sales_order drop constraint sales_order_staff_id_fkey")
    execute(totesys, "alter table purchase_order drop constraint purchase_order_staff_id_fkey")
    said = pytest.raises(SourceEmptyError, match="The row staff_id 1 of totesys' staff was deleted")
    with said, marking(totesys) as mark:
        execute(totesys, f"delete from staff where staff_id = {mark.row}")
        mark.put(1)


def test_two_do_not_measure_at_the_same_time(totesys: Database) -> None:
    with marking(totesys), pytest.raises(MeasurementInProgressError, match="Another measurement is running"):
        marking(totesys).__enter__()


def test_who_measures_keeps_nothing_from_being_cleaned_up(totesys: Database) -> None:
    with marking(totesys) as mark:
        mark.put(1)
        with psycopg.connect(totesys.url) as connection:
            query = """select count(*) from pg_stat_activity where datname = current_database()
                       and pid <> pg_backend_pid() and (backend_xid is not null or backend_xmin is not null)"""
            assert connection.execute(query).fetchall() == [(0,)]


def test_a_source_without_staff_cannot_be_marked(database: Callable[..., str]) -> None:
    empty = database("totesys")
    create_schema(empty)
    with pytest.raises(SourceEmptyError, match="totesys has no staff"), marking(Database("totesys", empty)):
        pass
