"""Bodies with euro reference exchange rates, in the two formats that providers send.

The CSV of the European Central Bank's Data Portal (`csvdata`), one line for each series and day, with at least the
columns CURRENCY, CURRENCY_DENOM, TIME_PERIOD and OBS_VALUE; and the JSON of Frankfurter, an array of objects with date,
base, quote and rate. How bodies are fetched is in `rates`.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from totes_dagster.errors import RatesFormatError

BASE = "EUR"
"""The currency that all rates are for one unit of."""

CODE = re.compile(r"[A-Z]{3}")
"""A currency's ISO 4217 code."""

Suffix = Literal["csv", "json"]

_CSV_COLUMNS = ("CURRENCY_DENOM", "CURRENCY", "TIME_PERIOD", "OBS_VALUE")
_JSON_KEYS = ("base", "quote", "date", "rate")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Longer numbers than any rate needs, but not so long that a calculation with them takes forever.
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?")
_LONGEST_QUOTED = 40


@dataclass(frozen=True)
class Rate:
    """The exchange rate of a currency on a day.

    Attributes:
        quote_code: ISO 4217 code of the currency: three upper-case letters, never EUR.
        rate_date: the day that the rate is for.
        rate: units of the currency for one euro, with the digits that the provider wrote; more than 0.
    """

    quote_code: str
    rate_date: date
    rate: Decimal


class _Entry(NamedTuple):
    """What a body says about one currency and day, not yet checked."""

    place: str
    base: Any
    quote: Any
    day: Any
    rate: Any


def suffix_of(content: bytes) -> Suffix:
    """The format that a body begins like: `json` if its first character opens an array, otherwise `csv`."""
    return "json" if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else "csv"


def parse_rates(content: bytes) -> list[Rate]:
    """The exchange rates in a body of either format, which is recognized by its first bytes.

    Columns and keys other than the expected ones are ignored, and so is a byte order mark. Days without a rate (empty,
    NaN, null) are skipped.

    Returns:
        One rate for each currency and day, in the order of the body; none if it lists none.

    Raises:
        RatesFormatError: the body has neither format, is incomplete, or contains a rate that is not a number, not more
            than 0, not for one euro, or different from another one for the same currency and day.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RatesFormatError(
            "The body with exchange rates is not text in UTF-8. Look at where it comes from."
        ) from error
    found: dict[tuple[str, date], Rate] = {}
    for entry in _from_json(text) if suffix_of(content) == "json" else _from_csv(text):
        rate = _checked(entry)
        if rate and found.setdefault((rate.quote_code, rate.rate_date), rate) != rate:
            raise _unusable(entry, f"there is another rate of {rate.quote_code} on {rate.rate_date} before it")
    return list(found.values())


def _from_csv(text: str) -> Iterator[_Entry]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, [])
        if not set(_CSV_COLUMNS) <= set(header):
            raise RatesFormatError(_what_it_is_instead(text))
        places = [header.index(column) for column in _CSV_COLUMNS]
        for values in lines:
            if not values:
                continue
            # A line that was cut off could end in the first digits of a rate.
            if len(values) != len(header):
                raise RatesFormatError(
                    f"Line {lines.line_num} of the body with exchange rates has {len(values)} values where there are "
                    f"{len(header)} columns. Fetch it again: it may have been cut off."
                )
            yield _Entry(f"line {lines.line_num}", *(values[place].strip() for place in places))
    except csv.Error as error:
        raise RatesFormatError(
            f"Line {lines.line_num} of the body with exchange rates is not CSV: {error}. Fetch it again: it may have "
            "been cut off."
        ) from error


def _from_json(text: str) -> Iterator[_Entry]:
    try:
        # Numbers stay text until they are checked: a float would lose digits.
        entries = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "its brackets"
        raise RatesFormatError(
            f"The body with exchange rates is not valid JSON (see {where}). Fetch it again: it may have been cut off."
        ) from error
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not set(_JSON_KEYS) <= entry.keys():
            raise RatesFormatError(
                f"Entry {number} of the body with exchange rates is not an object with {', '.join(_JSON_KEYS)}. Check "
                "that it comes from version 2 of Frankfurter's API."
            )
        yield _Entry(f"entry {number}", *(entry[key] for key in _JSON_KEYS))


def _checked(entry: _Entry) -> Rate | None:
    """The rate of an entry; None if the provider has none for that day."""
    if entry.base != BASE:
        raise _unusable(entry, f"its base currency is {_quoted(entry.base)} and not {BASE}")
    if not isinstance(entry.quote, str) or not CODE.fullmatch(entry.quote) or entry.quote == BASE:
        raise _unusable(entry, f"{_quoted(entry.quote)} is not the code of another currency")
    day = _day(entry.day)
    if day is None:
        raise _unusable(entry, f"{_quoted(entry.day)} is not a day like 2026-01-31")
    if entry.rate is None or (isinstance(entry.rate, str) and entry.rate.lower() in {"", "nan"}):
        return None
    if not isinstance(entry.rate, str) or not _NUMBER.fullmatch(entry.rate):
        raise _unusable(entry, f"the rate {_quoted(entry.rate)} is not a number")
    rate = Decimal(entry.rate)
    if rate <= 0:
        raise _unusable(entry, f"the rate {_quoted(entry.rate)} is not more than 0")
    return Rate(entry.quote, day, rate)


def _day(value: Any) -> date | None:
    # date.fromisoformat alone would accept weeks, and days without hyphens.
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _unusable(entry: _Entry, reason: str) -> RatesFormatError:
    return RatesFormatError(
        f"The exchange rate in {entry.place} cannot be used: {reason}. Check what the provider was asked for, and "
        "compare it with what the European Central Bank publishes."
    )


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}…"


def _what_it_is_instead(text: str) -> str:
    kinds = {"": "is empty", "<": "is HTML or XML", "{": "is a JSON object"}
    kind = kinds.get(text.strip()[:1], f"has no columns {', '.join(_CSV_COLUMNS)}")
    return (
        f"The body with exchange rates {kind}: it is neither the CSV of the European Central Bank nor the JSON array "
        "of Frankfurter. Check where it comes from."
    )
