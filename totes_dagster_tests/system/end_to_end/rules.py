"""Which texts of source values can become values of a star table, and which: by the columns of `specification.py`.

What follows from it for a source is in `judge.py`.
"""

import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction

from babel import Locale

from totes_dagster_tests import specification
from totes_dagster_tests.specification import CALENDAR, StarTable

Text = str | None
Row = dict[str, Text]
"""A row as texts, by column."""


class OddValueError(ValueError):
    """A value that its place in the warehouse cannot hold."""


def _text(value: str) -> str:
    return value


def integer(value: str) -> str:
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


_KINDS: dict[str, Callable[[str], str]] = {
    "int": integer,
    "varchar": _text,
    "bool": _text,
    "money": _money,
    "day": _day,
    "time": _time,
    "date": _date,
    "currency_name": _currency_name,
}

Columns = dict[str, tuple[str, Callable[[str], str]]]
"""For each column of a star table its source column, `table.column` where it is looked up, and the conversion."""


def columns_of(star: StarTable) -> Columns:
    """The columns of a star table, as the specification says."""
    return {
        column.name: (
            f"{column.table}.{column.source}" if column.table else column.source,
            _KINDS[column.function or column.type],
        )
        for column in star.columns
    }


FACTS: dict[str, Columns] = {star.source: columns_of(star) for star in specification.FACTS.values()}
"""By source table; the fact is `fact_…`, its view `current_…`."""

DIMENSIONS: dict[str, StarTable] = {
    name: star for name, star in specification.DIMENSIONS.items() if star is not CALENDAR
}

REFERENCES: dict[str, list[str]] = {
    name: sorted(
        {column.name for fact in specification.FACTS.values() for column in fact.columns if column.dimension == name}
    )
    for name in DIMENSIONS
}
"""Columns of facts that refer to a dimension."""

TABLES = sorted(
    {*FACTS, *(table for star in DIMENSIONS.values() for table in (star.source, star.looked_up_in) if table)}
)
