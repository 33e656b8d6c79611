"""What must become of every source row, however odd, said a second time: plain Python over the texts of its values.

Shares nothing with the platform, nor with the oracle, whose SQL fails of odd values. What a test does is in `world.py`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster_tests.specification import StarTable
from totes_dagster_tests.system.end_to_end.rules import (
    DIMENSIONS,
    FACTS,
    REFERENCES,
    TABLES,
    Columns,
    OddValueError,
    Row,
    Text,
    columns_of,
    integer,
)

Version = tuple[Row, bool]
"""A row of a fact, and whether it records a deletion."""


class Expectation:
    """What the warehouse must hold, after the platform saw the source in some states, one after the other.

    Attributes:
        versions: of each fact, by source table and key.
        members: rows of each dimension, by key.
        aside: source rows that are set aside now, by table and key; how many there are of each.
        years: of the calendar, the first and the last.
    """

    def __init__(self) -> None:
        self.versions: dict[str, dict[str, list[Version]]] = {table: {} for table in FACTS}
        self.members: dict[str, dict[str, Row]] = {dimension: {} for dimension in DIMENSIONS}
        self.aside: Counter[tuple[str, Text]] = Counter()
        self.years: tuple[int, int] | None = None

    def see(self, url: str) -> None:
        """The platform sees the source as it is now."""
        with psycopg.connect(url) as connection:
            source = {table: text_rows(connection, table) for table in TABLES}
        self.aside.clear()
        for dimension, star in DIMENSIONS.items():
            rows = self._looked_up(source, star) if star.looked_up_in else source[star.source]
            sound = self._sound(star.source, columns_of(star), rows, star.nullable)
            self.members[dimension] |= {str(row[star.key]): row for row in sound}
        for table, columns in FACTS.items():
            self._see_fact(table, list(self._sound(table, columns, source[table], set())), source[table])

    def _see_fact(self, table: str, sound: list[Row], rows: list[Row]) -> None:
        versions = self.versions[table]
        for row in sound:
            known = versions.setdefault(str(row[f"{table}_id"]), [])
            if not known or known[-1] != (row, False):
                known.append((row, False))
            years = [int(str(value)[:4]) for name, value in row.items() if name.endswith("_date")]
            first, last = self.years or (9999, 1)
            self.years = min(first, *years), max(last, *years)
            for dimension, references in REFERENCES.items():
                for name in references:
                    if name in row:
                        self.members[dimension].setdefault(str(row[name]), _placeholder(dimension, row[name]))
        present = {_key(row[f"{table}_id"]) for row in rows}
        for key, known in versions.items():
            if key not in present and not known[-1][1]:
                known.append((known[-1][0], True))

    def _sound(self, table: str, columns: Columns, rows: list[Row], nullable: set[str]) -> Iterator[Row]:
        """The rows of a star table that are made of sound source rows; the others are noted as set aside."""
        key = f"{table}_id"
        copies = Counter(row[key] for row in rows)
        for row in rows:
            made = None if copies[row[key]] > 1 or "cannot be looked up" in row else star_row(columns, row)
            if made is None or {name for name, value in made.items() if value is None} - nullable:
                self.aside[table, _key(row[key])] += 1
            else:
                yield made

    def _looked_up(self, source: dict[str, list[Row]], star: StarTable) -> list[Row]:
        """Rows with values of another table's; where the row there shares its key, nothing can be looked up."""
        of, by = star.looked_up_in, star.looked_up_by
        looked_up = [column for column in star.columns if column.table]
        copies = Counter(row[f"{of}_id"] for row in source[of])
        found = {row[f"{of}_id"]: row for row in source[of] if row[f"{of}_id"] is not None}
        nothing: Row = dict.fromkeys(column.source for column in looked_up)
        rows = []
        for row in source[star.source]:
            values = found.get(row[by], nothing) if row[by] is not None else nothing
            unknown = {column.source: None if column.mark == "?" else "Unknown" for column in looked_up}
            added = {f"{of}.{name}": other if values[name] is None else values[name] for name, other in unknown.items()}
            # A number that no integer holds is unfit, and nothing can be looked up by it.
            odd = row[by] is not None and (copies[row[by]] > 1 or _key(row[by]) is None)
            rows.append({**row, **added, **({"cannot be looked up": by} if odd else {})})
        return rows


def disagreements(expected: Expectation, url: str) -> list[str]:
    """Where a warehouse is not what it must be, one line each."""
    found: list[str] = []
    with psycopg.connect(url) as connection:
        for dimension, star in DIMENSIONS.items():
            rows = text_rows(connection, dimension, [column.name for column in star.columns])
            found += _compared(dimension, list(expected.members[dimension].values()), rows)
        for table, columns in FACTS.items():
            versions = versions_of(connection, table)
            for key in versions.keys() | expected.versions[table].keys():
                is_there, must_be = versions.get(key), expected.versions[table].get(str(key))
                if is_there != must_be:
                    found.append(f"{table} {key} has the versions {is_there}, not {must_be}.")
            current = [known[-1][0] for known in expected.versions[table].values() if not known[-1][1]]
            found += _compared(f"current_{table}", current, text_rows(connection, f"current_{table}", list(columns)))
        found += _compared_quarantine(expected, connection)
        years, days = _value(connection, "select array[min(year), max(year)] from dim_date"), expected.years
        if days and years != list(days):
            found.append(f"The calendar is of the years {years}, not {days}.")
    return found


def versions_of(connection: psycopg.Connection, table: str) -> dict[str, list[Version]]:
    """The versions that the warehouse has in the fact of a source table, by key, oldest first."""
    versions: dict[str, list[Version]] = {}
    for row in text_rows(connection, f"fact_{table}", [*FACTS[table], "is_deleted"], order=2):
        deleted = row.pop("is_deleted") == "true"
        versions.setdefault(str(row[f"{table}_id"]), []).append((row, deleted))
    return versions


def _compared_quarantine(expected: Expectation, connection: psycopg.Connection) -> Iterator[str]:
    listed = text_rows(connection, "quarantine", ["source_table", "source_key", "reason", "batch", "part"])
    aside = Counter((str(row["source_table"]), row["source_key"]) for row in listed)
    if aside != expected.aside:
        yield f"Listed without need: {aside - expected.aside}; not listed: {expected.aside - aside}."
    if not all(row["reason"] for row in listed):
        yield "A row is listed without a reason."


def text_rows(connection: psycopg.Connection, table: str, names: list[str] | None = None, order: int = 0) -> list[Row]:
    """The rows of a table, all values as texts; in the order of the column of this number, if one is given."""
    if names is None:
        cursor = connection.execute(sql.SQL("select * from {} limit 0").format(sql.Identifier(table)))
        names = [column.name for column in cursor.description or ()]
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
    query = sql.SQL("select {} from {}").format(columns, sql.Identifier(table))
    if order:  # versions, by their record id
        query += sql.SQL(" order by {}").format(
            sql.Identifier(f"{table.removeprefix('fact_').split('_')[0]}_record_id")
        )
    return [dict(zip(names, row, strict=True)) for row in connection.execute(query)]


def _value(connection: psycopg.Connection, query: str) -> Any:
    return connection.execute(query).fetchall()[0][0]


def star_row(columns: Columns, row: Row) -> Row | None:
    """A row of a star table; None where a value is none that it can hold."""
    try:
        return {name: None if (value := row[of]) is None else kind(value) for name, (of, kind) in columns.items()}
    except OddValueError:
        return None


def _key(value: Text) -> Text:
    """A key as the warehouse can hold it."""
    try:
        return None if value is None else integer(value)
    except OddValueError:
        return None


def _placeholder(dimension: str, key: Text) -> Row:
    first, *others = DIMENSIONS[dimension].columns
    return {first.name: key, **{other.name: None if other.mark == "?" else "Unknown" for other in others}}


def _compared(name: str, expected: list[Row], found: list[Row]) -> Iterator[str]:
    must_be, is_there = (Counter(tuple(sorted(row.items())) for row in rows) for rows in (expected, found))
    for what, rows in (("lacks", must_be - is_there), ("has too much", is_there - must_be)):
        for row in list(rows)[:3]:
            yield f"{name} {what}: {dict(row)}"
