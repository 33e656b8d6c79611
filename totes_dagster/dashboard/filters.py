"""The filters of a page, as they stand in its address."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlencode

from totes_dagster.errors import FilterError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Filters:
    """Which rows a page is about; all of them where an attribute is None.

    Attributes:
        since: first day.
        until: last day.
        currency: ISO 4217 code. Amounts are then in this currency, and otherwise in pounds sterling.
        country: a country's English name.
        department: a department's name, as in dim_staff.
    """

    since: date | None = None
    until: date | None = None
    currency: str | None = None
    country: str | None = None
    department: str | None = None

    @classmethod
    def parse(cls, given: Iterable[tuple[str, str]]) -> "Filters":
        """The filters of an address; a field that is empty is no filter.

        Args:
            given: the names and values of its query, decoded.

        Raises:
            FilterError: a name is unknown or repeated, or a value cannot be one of such a filter.
        """
        values: dict[str, Any] = {}
        for name, value in given:
            if name not in NAMES:
                raise FilterError(f"There is no filter {_shown(name)}. The filters are {', '.join(NAMES)}.")
            if name in values:
                raise FilterError(f"The filter {name} is given more than once.")
            values[name] = _PARSE[name](name, value) if value else None
        filters = cls(**values)
        if filters.since and filters.until and filters.since > filters.until:
            raise FilterError(f"The period ends on {filters.until}, before it begins on {filters.since}.")
        return filters

    @classmethod
    def from_query(cls, query: str) -> "Filters":
        """The filters of an address's query, with or without its question mark.

        Raises:
            FilterError: see `parse`.
        """
        return cls.parse(parse_qsl(query.removeprefix("?"), keep_blank_values=True))

    @property
    def unit(self) -> str:
        """The currency that amounts are in."""
        return self.currency or "GBP"

    def given(self) -> dict[str, str]:
        """The filters that are set, by name, as text."""
        values = {name: getattr(self, name) for name in NAMES}
        return {name: str(value) for name, value in values.items() if value is not None}

    def query(self) -> str:
        """The filters as the query of an address, with its question mark; empty without filters."""
        return f"?{urlencode(self.given())}" if self.given() else ""


def in_words(names: Iterable[str]) -> str:
    """Filters as a sentence names them."""
    return " and ".join(dict.fromkeys("period" if name in {"since", "until"} else name for name in names))


def _day(name: str, value: str) -> date:
    if _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise FilterError(f"The filter {name} is {_shown(value)}, which is not a day. Give one like 2026-11-30.")


def _code(name: str, value: str) -> str:
    if _CURRENCY.fullmatch(value):
        return value
    raise FilterError(f"The filter {name} is {_shown(value)}, which is not a currency's code. Give one like GBP.")


def _name(name: str, value: str) -> str:
    if len(value) <= _LONGEST_NAME and value.isprintable():
        return value
    raise FilterError(f"The filter {name} is {_shown(value)}, which is not a name.")


def _shown(value: str, longest: int = 40) -> str:
    return repr(value if len(value) <= longest else f"{value[:longest]}…")


_PARSE = {"since": _day, "until": _day, "currency": _code, "country": _name, "department": _name}

NAMES = tuple(field.name for field in fields(Filters))
"""The names of all filters, in the order in which they stand in an address."""
