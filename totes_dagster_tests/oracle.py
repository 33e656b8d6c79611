"""What the warehouse must hold, said a second time: plain SQL over the source, which shares nothing with the platform.

Only what the warehouse shows is judged here. How a test brings it about is in `world.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster_tests.specification import CALENDAR, DIMENSIONS, FACTS, Column, StarTable

__all__ = [
    "DIMENSIONS",
    "FACTS",
    "Row",
    "Versions",
    "broken_foreign_keys",
    "current_rows",
    "differences",
    "dimension_rows",
    "history",
    "members",
    "wrong_totals",
]

Row = tuple[Any, ...]
Versions = dict[int, list[Row]]
"""The versions of a fact by natural key, oldest first: the fact's columns, `is_deleted` and `batch`."""

_CURRENCY_NAMES = """(values
    ('GBP', 'British Pound'), ('USD', 'US Dollar'), ('EUR', 'Euro'), ('SEK', 'Swedish Krona'), ('CHF', 'Swiss Franc'),
    ('JPY', 'Japanese Yen'), ('CAD', 'Canadian Dollar'), ('AUD', 'Australian Dollar'), ('NOK', 'Norwegian Krone'),
    ('DKK', 'Danish Krone'), ('PLN', 'Polish Zloty')) as names (code, name)"""

_CALENDAR = """
    select day::date as date_id, extract(year from day)::int as year, extract(month from day)::int as month,
           extract(day from day)::int as day, extract(isodow from day)::int as day_of_week,
           to_char(day, 'FMDay')::varchar as day_name, to_char(day, 'FMMonth')::varchar as month_name,
           extract(quarter from day)::int as quarter
    from (select date_trunc('year', min(day)) as first,
                 date_trunc('year', max(day)) + interval '1 year -1 day' as last from named) as years,
         generate_series(first, last, interval '1 day') as day"""
"""Every day of the years from the first to the last that `named` has a day of."""

_TYPES = {"int": "int", "money": "numeric(10,2)", "varchar": "varchar", "date": "date", "time": "time", "bool": "bool"}


def _expression(column: Column) -> str:
    """A column's value, in SQL over its driving table `main` and the table looked up, `found`."""
    value = f"found.{column.source}" if column.table else f"main.{column.source}"
    if column.function == "currency_name":
        value = f"(select name from {_CURRENCY_NAMES} where code = {value})"
    if column.table and column.mark != "?":
        value = f"coalesce({value}, 'Unknown')"
    return f"{value}::{_TYPES[column.type]} as {column.name}"


def _expected(star: StarTable) -> str:
    """A query of the source for the rows of a star table, without placeholders."""
    if star is CALENDAR:
        return _calendar()
    lookup = (
        f" left join {star.looked_up_in} as found on found.{star.looked_up_in}_id = main.{star.looked_up_by}"
        if star.looked_up_in
        else ""
    )
    return f"select {', '.join(map(_expression, star.columns))} from {star.source} as main{lookup}"


def _placeholders(star: StarTable) -> str:
    """A query for the placeholders that references of facts need; empty for a dimension that no fact refers to."""
    key, *others = star.columns
    values = [f"{'null' if column.mark == '?' else repr('Unknown')}::{_TYPES[column.type]}" for column in others]
    return " union ".join(
        f"select main.{column.source}, {', '.join(values)} from {fact.source} as main "
        f"where main.{column.source} not in (select {key.source} from {star.source})"
        for fact in FACTS.values()
        for column in fact.columns
        if column.dimension == star.name
    )


def _calendar() -> str:
    """A query for the calendar of the days that facts name."""
    days = [
        f"select main.{column.source}::date as day from {fact.source} as main"
        for fact in FACTS.values()
        for column in fact.columns
        if column.dimension == CALENDAR.name
    ]
    return f"with named as ({' union '.join(days)}) {_CALENDAR}"


_SHOWN = 3


def differences(source_url: str, warehouse_url: str, schema: str = "public", *, strict: bool = False) -> list[str]:
    """Where the warehouse is not what the source says, one line each; empty when all is well.

    Every column of every row of every star table is compared, with its type: facts as the `current_*` views show them.
    A dimension may also hold members that the source has no more, and the calendar further whole years; with `strict`,
    which is for sources that nothing was deleted from, it may not.
    """
    found: list[str] = []
    with _reading(source_url) as source, _reading(warehouse_url, schema) as warehouse:
        for name, star in DIMENSIONS.items():
            columns, expected = _select(source, _expected(star))
            found += _wrong_columns(warehouse, name, columns, extra=[])
            actual = _rows_of(warehouse, name, columns)
            present = set() if strict else {row[0] for row in actual}
            leftovers = [] if strict else _leftovers(warehouse, name, expected, actual)
            query = "" if star is CALENDAR else _placeholders(star)
            placeholders = _select(source, query)[1] if query else []
            # What was deleted while something refers to it stays as it was, and needs no placeholder.
            expected += leftovers + [row for row in placeholders if row[0] not in present]
            found += _compared(name, expected, actual)
        for name, fact in FACTS.items():
            columns, expected = _select(source, _expected(fact))
            found += _wrong_columns(warehouse, name, columns, extra=[fact.record_id, "is_deleted", "batch"])
            found += _compared(fact.view, expected, _rows_of(warehouse, fact.view, columns))
    return found


def broken_foreign_keys(warehouse_url: str, schema: str = "public") -> list[str]:
    """References of facts, in any version, that point nowhere; and references that the database does not enforce."""
    found: list[str] = []
    with _reading(warehouse_url, schema) as warehouse:
        enforced = set(
            warehouse.execute(
                """
                select conrelid::regclass::text, attname::text, confrelid::regclass::text
                from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
                where contype = 'f' and convalidated and connamespace = quote_ident(current_schema())::regnamespace"""
            ).fetchall()
        )
        for name, fact in FACTS.items():
            for column, dimension in ((one.name, one.dimension) for one in fact.columns if one.dimension):
                if (name, column, dimension) not in enforced:
                    found.append(f"{name}.{column} has no valid foreign key to {dimension}.")
                query = sql.SQL("select count(*) from {} where {} not in (select {} from {})").format(
                    *map(sql.Identifier, (name, column, DIMENSIONS[dimension].key, dimension))
                )
                dangling = _value(warehouse, query)
                if dangling:
                    found.append(f"{dangling} rows of {name} have a {column} that {dimension} lacks.")
    return found


def wrong_totals(warehouse_url: str, schema: str = "public") -> list[str]:
    """Totals that the newest load has kept, and that are not what a count finds."""
    with _reading(warehouse_url, schema) as warehouse:
        newest = warehouse.execute("select totals from load_history order by batch desc limit 1").fetchone()
        kept: dict[str, Any] = (newest and newest[0]) or {}
        found: list[str] = []
        for name, total in kept.items():
            (counted,) = warehouse.execute(f"select {_counts(name)} from {name}").fetchall()
            expected = (*counted[:2], counted[2] and counted[2].isoformat())
            if (total["rows"], total["placeholders"], total["newest_stamp"]) != expected:
                found.append(f"load_history says of {name} {total}, but it has {expected}.")
        return found


def _counts(name: str) -> str:
    """How many rows and placeholders a star table has, and the newest stamp of a fact, in SQL."""
    if name in FACTS:
        return "count(*), 0, max(last_updated_date + last_updated_time)"
    unknown = [column.name for column in DIMENSIONS[name].columns if column.type == "varchar" and column.mark != "?"]
    is_unknown = " and ".join(f"{column} = 'Unknown'" for column in unknown)
    return f"count(*), count(*) filter (where {is_unknown}), null::timestamp"


def current_rows(source_url: str) -> dict[str, dict[int, Row]]:
    """What each fact must show now, by natural key."""
    with _reading(source_url) as source:
        return {name: {row[0]: row for row in _select(source, _expected(fact))[1]} for name, fact in FACTS.items()}


def members(source_url: str) -> dict[str, set[Row]]:
    """The members of each dimension that the source's rows make, without placeholders."""
    with _reading(source_url) as source:
        return {name: set(_select(source, _expected(star))[1]) for name, star in DIMENSIONS.items()}


def history(warehouse_url: str, schema: str = "public") -> dict[str, Versions]:
    """Every version that each fact holds, without its generated id."""
    with _reading(warehouse_url, schema) as warehouse:
        found: dict[str, Versions] = {}
        for name, fact in FACTS.items():
            # By name: a column that a migration added comes after those that the load adds.
            columns = [fact.record_id, *(column.name for column in fact.columns), "is_deleted", "batch"]
            query = sql.SQL("select {} from {} order by {}").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)), *map(sql.Identifier, (name, fact.record_id))
            )
            versions = found.setdefault(name, {})
            for row in warehouse.execute(query):
                versions.setdefault(row[1], []).append(row[1:])
        return found


def dimension_rows(warehouse_url: str, schema: str = "public") -> dict[str, list[Row]]:
    """Every row of each dimension, in order of its key."""
    with _reading(warehouse_url, schema) as warehouse:
        return {
            name: warehouse.execute(
                sql.SQL("select * from {} order by {}").format(sql.Identifier(name), sql.Identifier(star.key))
            ).fetchall()
            for name, star in DIMENSIONS.items()
        }


@contextmanager
def _reading(url: str, schema: str = "public") -> Iterator[psycopg.Connection]:
    """A connection that sees one state of the database."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("select set_config('search_path', quote_ident(%s), true)", [schema])
        yield connection


def _select(connection: psycopg.Connection, query: str) -> tuple[dict[str, str], list[Row]]:
    """The columns of a query, with their types, and its rows."""
    cursor = connection.execute(query)
    return _described(cursor), cursor.fetchall()


def _described(cursor: psycopg.Cursor) -> dict[str, str]:
    return {column.name: column.type_display for column in cursor.description or ()}


def _rows_of(warehouse: psycopg.Connection, table: str, columns: dict[str, str]) -> list[Row]:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return warehouse.execute(sql.SQL("select {} from {}").format(names, sql.Identifier(table))).fetchall()


def _wrong_columns(
    warehouse: psycopg.Connection, table: str, expected: dict[str, str], extra: list[str]
) -> Iterator[str]:
    found = _described(warehouse.execute(sql.SQL("select * from {} limit 0").format(sql.Identifier(table))))
    if sorted(found) != sorted([*expected, *extra]):
        yield f"{table} has the columns {', '.join(found)}, not {', '.join(expected)}."
    for name, type_ in expected.items():
        if _comparable(found.get(name, type_)) != _comparable(type_):
            yield f"{table}.{name} is {found[name]}, not {type_}."


def _comparable(type_: str) -> str:
    return "text" if type_.startswith("varchar") else type_


def _leftovers(warehouse: psycopg.Connection, dimension: str, expected: list[Row], actual: list[Row]) -> list[Row]:
    """A dimension's rows that the source does not account for, and that are right all the same."""
    if dimension == CALENDAR.name:
        # Years that only former versions name; whole years they must be.
        calendar = _select(warehouse, f"with named as (select date_id as day from dim_date) {_CALENDAR}")[1]
        return sorted(set(calendar) - set(expected))
    keys = {row[0] for row in expected}
    return [row for row in actual if row[0] not in keys]


def _compared(name: str, expected: list[Row], actual: list[Row]) -> Iterator[str]:
    if len(actual) != len(set(actual)):
        yield f"{name} has {len(actual) - len(set(actual))} rows more than once."
    for what, rows in (
        ("lacks", set(expected) - set(actual)),
        ("has too much", set(actual) - set(expected)),
    ):
        if rows:
            shown = "; ".join(map(str, sorted(rows, key=lambda row: row[0])[:_SHOWN]))
            yield f"{name} {what}, {len(rows)} rows: {shown}"


def _value(connection: psycopg.Connection, query: sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
