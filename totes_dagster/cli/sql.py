"""`totes sql`: queries of the warehouse from the command line, in read-only transactions."""

import csv
import io
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import click
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.postgres import types

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import QueryError, one_line
from totes_dagster.local.programs import program
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.runtime.terminal import show_table

_NUMBERS = {types[name].oid for name in ("int2", "int4", "int8", "float4", "float8", "numeric")}


class Form(StrEnum):
    """How the result of a query is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class Result:
    """The rows of a query, in PostgreSQL's own text; None for null."""

    columns: list[str]
    rows: list[list[str | None]]
    numeric: list[bool]


def open_psql(warehouse: Warehouse) -> int:
    """Open psql on the warehouse, and wait for its end; return its exit status.

    Its transactions are read-only unless somebody begins one that is not, which only the rights of a role can prevent.
    """
    given = os.environ.get("PGOPTIONS", "")
    path = re.sub(r"([\\\s])", r"\\\1", sql.Identifier(warehouse.schema).as_string(None))
    options = f"{given} -c default_transaction_read_only=on -c search_path={path}".strip()
    target: dict[str, Any] = conninfo_to_dict(warehouse.database.conninfo())
    # Every user of the machine can see a command line.
    password = {"PGPASSWORD": target.pop("password")} if "password" in target else {}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C cancels a query of psql
    try:
        return subprocess.run(  # noqa: S603 - the program of our own wheel
            [str(program("psql")), make_conninfo(**target)],
            env={**os.environ, **password, "PGOPTIONS": options},
            check=False,
        ).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def print_query(warehouse: Warehouse, query: str, form: Form) -> None:
    """Run one query in a read-only transaction, and print its rows.

    Raises:
        QueryError: it would change something, or returns no rows.
        DatabaseError: the warehouse cannot be reached, or refuses the query, as it does several statements at once.
    """
    query = query.strip().removesuffix(";")
    if form is Form.JSON:
        # PostgreSQL's own JSON has every digit of a number. The query is the user's, and reads only.
        query = f"select row_to_json(result)::text from ({query}\n) as result"  # noqa: S608  # nosec B608
    result = _run(warehouse, query)
    match form:
        case Form.JSON:
            lines = ",\n".join(str(line) for (line,) in result.rows)
            click.echo(f"[{lines}]")
        case Form.CSV:
            written = io.StringIO()
            writer = csv.writer(written, lineterminator="\n")
            writer.writerow(result.columns)
            writer.writerows([["" if cell is None else cell for cell in row] for row in result.rows])
            click.echo(written.getvalue(), nl=False)
        case Form.TABLE:
            rows = [["" if cell is None else cell for cell in row] for row in result.rows]
            show_table("", result.columns, rows, numeric=result.numeric)


def _run(warehouse: Warehouse, query: str) -> Result:
    with warehouse.database.transaction(read_only=True) as connection:
        connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(warehouse.schema)))
        cursor = psycopg.Cursor(connection)
        try:
            # In a pipeline, the server takes one statement at a time, so that none can end the transaction.
            with connection.pipeline():
                cursor.execute(query.encode())
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise QueryError(f"`totes sql` only reads: {one_line(error)}") from error
        except psycopg.Error as error:
            raise named_error(warehouse.database.name, "the query", error) from error
        result = cursor.pgresult
        if result is None or cursor.description is None:
            raise QueryError("The statement returns no rows. Give a query.")
        return Result(
            [column.name for column in cursor.description],
            [
                [
                    None if (value := result.get_value(row, column)) is None else value.decode()
                    for column in range(result.nfields)
                ]
                for row in range(result.ntuples)
            ],
            [column.type_code in _NUMBERS for column in cursor.description],
        )
