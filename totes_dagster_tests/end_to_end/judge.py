"""What must become of every source row, however odd, said a second time: plain Python over the texts of its values.

Shares nothing with the platform, nor with the oracle, whose SQL fails of odd values. What a test does is in `world.py`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from fractions import Fraction
from typing import Any

import psycopg
from babel import Locale
from psycopg import sql

Text = str | None
Row = dict[str, Text]
"""A row as texts, by column."""


class OddValueError(ValueError):
    """A value that its place in the warehouse cannot hold."""


def _text(value: str) -> str:
    return value


def _integer(value: str) -> str:
    if not -(2**31) <= int(value) < 2**31:
        raise OddValueError(value)
    return str(int(value))


def _money(value: str) -> str:
    try:
        pence = Fraction(value) * 100
    except ValueError as error:  # NaN and infinities
        raise OddValueError(value) from error
    if pence.denominator != 1 or abs(pence) >= 10**10:
        raise OddValueError(value)
    sign, (pounds, rest) = "-" if pence < 0 else "", divmod(abs(int(pence)), 100)
    return f"{sign}{pounds}.{rest:02}"


def _date(value: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise OddValueError(value)
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise OddValueError(value) from error


def _moment(value: str, part: int) -> str:
    # Not so: infinity, years of five digits, and years before Christ.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+", value):
        raise OddValueError(value)
    return value.split(" ")[part]


def _day(value: str) -> str:
    return _moment(value, 0)


def _time(value: str) -> str:
    return _moment(value, 1)


def _currency_name(code: str) -> str:
    return Locale("en").currencies.get(code, code)


Columns = dict[str, tuple[str, Callable[[str], str]]]
"""For each column of a star table the source column that it comes from, and how."""

_STAMPS: Columns = {
    "created_date": ("created_at", _day),
    "created_time": ("created_at", _time),
    "last_updated_date": ("last_updated", _day),
    "last_updated_time": ("last_updated", _time),
}
_AGREED: Columns = {
    "agreed_payment_date": ("agreed_payment_date", _date),
    "agreed_delivery_date": ("agreed_delivery_date", _date),
    "agreed_delivery_location_id": ("agreed_delivery_location_id", _integer),
}


def _columns(kind: Callable[[str], str], names: str) -> Columns:
    return {name: (name, kind) for name in names.split()}


_ADDRESS: Columns = _columns(_text, "address_line_1 address_line_2 district city postal_code country phone")

FACTS: dict[str, Columns] = {
    "sales_order": {
        **_columns(_integer, "sales_order_id"),
        **_STAMPS,
        "sales_staff_id": ("staff_id", _integer),
        **_columns(_integer, "counterparty_id units_sold currency_id design_id"),
        **_columns(_money, "unit_price"),
        **_AGREED,
    },
    "purchase_order": {
        **_columns(_integer, "purchase_order_id staff_id counterparty_id item_quantity currency_id"),
        **_STAMPS,
        **_columns(_text, "item_code"),
        **_columns(_money, "item_unit_price"),
        **_AGREED,
    },
    "payment": {
        **_columns(_integer, "payment_id transaction_id counterparty_id currency_id payment_type_id"),
        **_STAMPS,
        **_columns(_money, "payment_amount"),
        **_columns(_text, "paid"),
        **_columns(_date, "payment_date"),
    },
}
"""By source table; the fact is `fact_…`, its view `current_…`."""

DIMENSIONS: dict[str, tuple[str, Columns]] = {
    "dim_location": ("address", {"location_id": ("address_id", _integer), **_ADDRESS}),
    "dim_currency": (
        "currency",
        {
            **_columns(_integer, "currency_id"),
            **_columns(_text, "currency_code"),
            "currency_name": ("currency_code", _currency_name),
        },
    ),
    "dim_design": (
        "design",
        _columns(_integer, "design_id") | _columns(_text, "design_name file_location file_name"),
    ),
    "dim_payment_type": (
        "payment_type",
        _columns(_integer, "payment_type_id") | _columns(_text, "payment_type_name"),
    ),
    "dim_transaction": (
        "transaction",
        _columns(_integer, "transaction_id sales_order_id purchase_order_id") | _columns(_text, "transaction_type"),
    ),
    "dim_staff": (
        "staff",
        {
            **_columns(_integer, "staff_id"),
            **_columns(_text, "first_name last_name email_address department_name location"),
        },
    ),
    "dim_counterparty": (
        "counterparty",
        {
            **_columns(_integer, "counterparty_id"),
            **_columns(_text, "counterparty_legal_name"),
            **{
                f"counterparty_legal_{name}{'_number' if name == 'phone' else ''}": (f"legal_{name}", _text)
                for name in _ADDRESS
            },
        },
    ),
}
NULLABLE = {
    "address_line_2",
    "district",
    "counterparty_legal_address_line_2",
    "counterparty_legal_district",
    "sales_order_id",
    "purchase_order_id",
}
"""Columns of dimensions that may be null; of facts, none may."""

REFERENCES = {
    "dim_location": ["agreed_delivery_location_id"],
    "dim_currency": ["currency_id"],
    "dim_design": ["design_id"],
    "dim_payment_type": ["payment_type_id"],
    "dim_transaction": ["transaction_id"],
    "dim_staff": ["staff_id", "sales_staff_id"],
    "dim_counterparty": ["counterparty_id"],
}
"""Columns of facts that refer to a dimension."""

TABLES = [*FACTS, *(source for source, _ in DIMENSIONS.values()), "department"]

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
            source = {table: _rows(connection, table) for table in TABLES}
        self.aside.clear()
        staff = self._looked_up(source, "staff", "department", "department_id", ["department_name", "location"], "")
        parties = self._looked_up(source, "counterparty", "address", "legal_address_id", list(_ADDRESS), "legal_")
        for dimension, (table, columns) in DIMENSIONS.items():
            rows = {"staff": staff, "counterparty": parties}.get(table, source[table])
            key = next(iter(columns))
            self.members[dimension] |= {row[key]: row for row in self._sound(table, columns, rows, NULLABLE - {key})}
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
            made = None if copies[row[key]] > 1 or "cannot be looked up" in row else _made(columns, row)
            if made is None or {name for name, value in made.items() if value is None} - nullable:
                self.aside[table, _key(row[key])] += 1
            else:
                yield made

    def _looked_up(
        self, source: dict[str, list[Row]], table: str, of: str, by: str, names: list[str], prefix: str
    ) -> list[Row]:
        """Rows with values of another table's; one whose key is not its own can be looked up by nobody."""
        copies = Counter(row[f"{of}_id"] for row in source[of])
        found = {row[f"{of}_id"]: row for row in source[of] if row[f"{of}_id"] is not None}
        nothing: Row = dict.fromkeys(names)
        rows = []
        for row in source[table]:
            values = found.get(row[by], nothing) if row[by] is not None else nothing
            unknown = {name: "Unknown" if name not in NULLABLE else None for name in names}
            added = {prefix + name: unknown[name] if values[name] is None else values[name] for name in names}
            # A number that no integer holds is not what it says, and nothing can be looked up by it.
            odd = row[by] is not None and (copies[row[by]] > 1 or _key(row[by]) is None)
            rows.append({**row, **added, **({"cannot be looked up": by} if odd else {})})
        return rows


def disagreements(expected: Expectation, url: str) -> list[str]:
    """Where a warehouse is not what it must be, one line each."""
    found: list[str] = []
    with psycopg.connect(url) as connection:
        for dimension, (_, columns) in DIMENSIONS.items():
            rows = _rows(connection, dimension, list(columns))
            found += _compared(dimension, list(expected.members[dimension].values()), rows)
        for table, columns in FACTS.items():
            rows = _rows(connection, f"fact_{table}", [*columns, "is_deleted"], order=2)
            versions: dict[Text, list[Version]] = {}
            for row in rows:
                deleted = row.pop("is_deleted") == "true"
                versions.setdefault(row[f"{table}_id"], []).append((row, deleted))
            for key in versions.keys() | expected.versions[table].keys():
                is_there, must_be = versions.get(key), expected.versions[table].get(str(key))
                if is_there != must_be:
                    found.append(f"{table} {key} has the versions {is_there}, not {must_be}.")
            current = [known[-1][0] for known in expected.versions[table].values() if not known[-1][1]]
            found += _compared(f"current_{table}", current, _rows(connection, f"current_{table}", list(columns)))
        found += _compared_quarantine(expected, connection)
        years, days = _value(connection, "select array[min(year), max(year)] from dim_date"), expected.years
        if days and years != list(days):
            found.append(f"The calendar is of the years {years}, not {days}.")
    return found


def _compared_quarantine(expected: Expectation, connection: psycopg.Connection) -> Iterator[str]:
    listed = _rows(connection, "quarantine", ["source_table", "source_key", "reason", "batch", "part"])
    aside = Counter((str(row["source_table"]), row["source_key"]) for row in listed)
    if aside != expected.aside:
        yield f"Listed without need: {aside - expected.aside}; not listed: {expected.aside - aside}."
    if not all(row["reason"] for row in listed):
        yield "A row is listed without a reason."


def _rows(connection: psycopg.Connection, table: str, names: list[str] | None = None, order: int = 0) -> list[Row]:
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
    return connection.execute(query).fetchall()[0][0]  # type: ignore[arg-type]


def _made(columns: Columns, row: Row) -> Row | None:
    """A row of a star table; None where a value is none that it can hold."""
    try:
        return {name: None if (value := row[of]) is None else kind(value) for name, (of, kind) in columns.items()}
    except OddValueError:
        return None


def _key(value: Text) -> Text:
    """A key as the warehouse can hold it."""
    try:
        return None if value is None else _integer(value)
    except OddValueError:
        return None


def _placeholder(dimension: str, key: Text) -> Row:
    _, columns = DIMENSIONS[dimension]
    first, *others = columns
    return {first: key, **{name: None if name in NULLABLE else "Unknown" for name in others}}


def _compared(name: str, expected: list[Row], found: list[Row]) -> Iterator[str]:
    must_be, is_there = (Counter(tuple(sorted(row.items())) for row in rows) for rows in (expected, found))
    for what, rows in (("lacks", must_be - is_there), ("has too much", is_there - must_be)):
        for row in list(rows)[:3]:
            yield f"{name} {what}: {dict(row)}"
