"""Members of dimensions, as questions name them."""

from datetime import date, timedelta

from totes_dagster.errors import DimensionValueError
from totes_dagster.metrics.dimensions import Dimension

Value = str | int | date | None
"""A member of a dimension. A number is its key, where it has one; None stands for rows that have no member."""

_MONTHS_OF_A_QUARTER = 3


def member_of(dimension: Dimension, value: Value) -> Value:
    """A value as the dimension has it: of its type, and for a date the first day of the period that the date is in.

    Raises:
        DimensionValueError: it cannot be a member of the dimension.
    """
    is_key = dimension.key is not None and isinstance(value, int)
    if value is None or is_key:
        return value
    try:
        if dimension.type is int:
            return int(str(value))
        if dimension.type is date:
            return _first_day(dimension.name, value if isinstance(value, date) else _day(str(value)))
    except ValueError:
        what = "a number" if dimension.type is int else "a date: write 2026-01-31, or 2026-01 for a month"
        raise DimensionValueError(f"{dimension.name} cannot be {value}: that is not {what}.") from None
    text = str(value)
    if dimension.members and text not in dimension.members:
        raise DimensionValueError(f"{dimension.name} cannot be {text}. It is {', '.join(dimension.members)}.")
    if "\0" in text:
        raise DimensionValueError(f"{dimension.name} cannot have a null character in it.")
    return text


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return date.fromisoformat(f"{text}-01")


def _first_day(period: str, day: date) -> date:
    match period:
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % _MONTHS_OF_A_QUARTER, day=1)
        case "month":
            return day.replace(day=1)
        case "week":
            return day - timedelta(days=day.weekday())
        case _:
            return day
