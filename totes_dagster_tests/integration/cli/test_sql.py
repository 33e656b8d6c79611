"""`totes sql`: one query, or psql, on the warehouse; it changes nothing, and shows no password."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster_tests.integration.commands import refusal_here, run_here, totes_here

SCHEMA = 'the "new" \\ schema'


@pytest.fixture
def warehouse(database: Callable[..., str]) -> dict[str, str]:
    """Settings that name a database with a table, in a schema of an odd name."""
    url = database("warehouse")
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(SCHEMA)))
        connection.execute(
            sql.SQL(
                "create table {} as select 12345678901234567890.10 as amount, 'Zoë, \"x\"' as name, null as none"
            ).format(sql.Identifier(SCHEMA, "sale"))
        )
    return {"WAREHOUSE_READER_URL": url, "WAREHOUSE_SCHEMA": SCHEMA}


def rows(warehouse: dict[str, str]) -> int:
    with psycopg.connect(warehouse["WAREHOUSE_READER_URL"]) as connection:
        return connection.execute(sql.SQL("select from {}").format(sql.Identifier(SCHEMA, "sale"))).rowcount


def psql(warehouse: dict[str, str], *lines: str) -> subprocess.CompletedProcess[str]:
    """psql in a process of its own, which is told these lines."""
    return subprocess.run(
        [sys.executable, "-m", "totes_dagster.cli.commands", "sql"],
        env={**os.environ, **warehouse},
        input="\n".join(["\\pset format unaligned", *lines, ""]),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_query_is_printed_as_a_table(warehouse: dict[str, str]) -> None:
    assert totes_here("sql", "select * from sale;", **warehouse).splitlines() == [
        f"{'amount':>23}  name      none",
        '12345678901234567890.10  Zoë, "x"',
    ]


def test_csv_and_json_have_every_digit(warehouse: dict[str, str]) -> None:
    query = "select * from sale -- and nothing else"
    (row,) = csv.DictReader(io.StringIO(totes_here("sql", "--csv", query, **warehouse)))
    assert row == {"amount": "12345678901234567890.10", "name": 'Zoë, "x"', "none": ""}
    (found,) = json.loads(totes_here("sql", query, "--json", **warehouse), parse_float=Decimal)
    assert found == {"amount": Decimal("12345678901234567890.10"), "name": 'Zoë, "x"', "none": None}
    assert json.loads(totes_here("sql", "--json", "select 1 where false", **warehouse)) == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("delete from sale", "QueryError: `totes sql` only reads: cannot execute DELETE in a read-only transaction."),
        ("delete from sale returning 1", "QueryError: `totes sql` only reads: "),
        ("select 1; commit; delete from sale", "DatabaseError: The query failed at warehouse_reader: cannot insert "),
        ("commit", "QueryError: The statement returns no rows. Give a query."),
        ("select nothing", 'ColumnMissingError: The query failed at warehouse_reader: column "nothing" does not exist'),
    ],
)
def test_what_is_not_a_query_is_refused_and_changes_nothing(warehouse: dict[str, str], query: str, error: str) -> None:
    assert refusal_here("sql", query, **warehouse).startswith(error)
    assert rows(warehouse) == 1


def test_psql_opens_read_only_in_the_schema(warehouse: dict[str, str]) -> None:
    done = psql(warehouse, "select count(*) as n from sale;", "delete from sale;")
    assert done.stdout.splitlines()[-3:] == ["n", "1", "(1 row)"]
    assert "cannot execute DELETE in a read-only transaction" in done.stderr
    assert rows(warehouse) == 1


def test_the_password_is_not_in_the_command_line_of_psql(warehouse: dict[str, str]) -> None:
    target = conninfo_to_dict(warehouse["WAREHOUSE_READER_URL"])
    url = f"postgresql://{target['user']}:s3cret@/{target['dbname']}?host={target['host']}&port={target['port']}"
    done = psql({**warehouse, "WAREHOUSE_READER_URL": url}, "\\! tr '\\0' ' ' < /proc/$PPID/cmdline")
    assert "psql" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_a_form_without_a_query_is_a_wrong_usage() -> None:
    result = run_here("sql", "--csv")
    assert (result.exit_code, "Give a query with --csv or --json." in result.stderr) == (2, True)
