"""The PostgreSQL side of the declarations."""

from collections.abc import Callable

import psycopg
from sqlalchemy.schema import CreateTable

from totes_dagster.postgres.types import ddl, sql_type
from totes_dagster.schema.registry import metadata


def test_types_are_written_as_postgresql_writes_them(database: Callable[..., str]) -> None:
    with psycopg.connect(database()) as connection:
        for table in metadata.sorted_tables:
            connection.execute(ddl(CreateTable(table)))
        rows = connection.execute(
            "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid::regclass::text = any (%s) and attnum > 0",
            [list(metadata.tables)],
        ).fetchall()
    assert {(table, column): type_ for table, column, type_ in rows} == {
        (table.name, column.name): sql_type(column) for table in metadata.tables.values() for column in table.columns
    }
