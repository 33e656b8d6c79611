"""How values are written in tables, as figures, and beside the marks of a chart."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from totes_dagster.dashboard.question import Kind

_SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$"}
MINUS = "\N{MINUS SIGN}"
_SCALES: tuple[tuple[int, str], ...] = ((10**9, "bn"), (10**6, "M"), (10**3, "k"))

NUMERIC = {Kind.NUMBER, Kind.DAYS, Kind.DECIMAL, Kind.MONEY, Kind.RATE, Kind.PERCENT, Kind.IDENTIFIER, Kind.SECONDS}
"""The kinds that are aligned to the right."""


def written(value: Any, kind: Kind) -> str:
    """A value as a table shows it; a dash for null."""
    return "—" if value is None else _WRITTEN[kind](value)


def figure(value: Any, kind: Kind, unit: str) -> str:
    """A value as a figure above the charts: an amount is rounded to whole units of its currency."""
    if value is not None and kind is Kind.MONEY:
        return money(value, unit) if abs(value) >= 1000 else f"{symbol(unit)}{value:,.2f}"  # noqa: PLR2004
    return written(value, kind)


def symbol(unit: str) -> str:
    """What stands before an amount in a currency."""
    return _SYMBOLS.get(unit, f"{unit} ")


def money(value: Decimal | float, unit: str) -> str:
    """An amount in whole units of its currency."""
    return f"{MINUS if value < 0 else ''}{symbol(unit)}{abs(value):,.0f}"


def short_money(value: Decimal | float, unit: str) -> str:
    """An amount with about three digits, for a label in a chart."""
    return f"{MINUS if value < 0 else ''}{symbol(unit)}{short(abs(float(value)))}"


def short(value: Decimal | float) -> str:
    """A number with about three digits."""
    value = float(f"{value:.3g}")
    for scale, letter in _SCALES:
        if abs(value) >= scale:
            return f"{value / scale:,.10g}{letter}"
    return f"{value:,.10g}"


def percent(value: Decimal | float | None, digits: int = 0) -> str:
    """A percentage, for a label in a chart; a dash for that of nothing."""
    return "—" if value is None else f"{value:.{digits}f} %"


def month(value: date) -> str:
    """A month by its first day."""
    return f"{value:%b %Y}"


def day(value: date) -> str:
    """A day."""
    return f"{value.day} {value:%b %Y}"


def moment(value: datetime) -> str:
    """A moment, UTC, to the second."""
    return f"{value.day} {value:%b %Y, %H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size:,.0f} {name}s"
    return f"{seconds:,.1f} s"


_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: str,
    Kind.NUMBER: lambda value: f"{value:,.0f}",
    Kind.DAYS: lambda value: f"{value:,.1f}",
    Kind.DECIMAL: lambda value: f"{value:,.2f}",
    Kind.MONEY: lambda value: f"{value:,.2f}",
    Kind.RATE: str,
    Kind.PERCENT: lambda value: f"{value:,.1f} %",
    Kind.IDENTIFIER: str,
    Kind.DAY: day,
    Kind.MONTH: month,
    Kind.TIME: moment,
    Kind.SECONDS: lambda value: duration(float(value)),
}
