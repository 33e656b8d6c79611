"""The star tables computed row by row in plain Python, as `specification.py` says: slow, and easy to check.

Also which source rows cannot become rows of a star table, whatever they hold.
"""

import re
from collections import Counter
from datetime import date, datetime, time, timedelta
from typing import Any

from babel import Locale

from totes_dagster_tests.specification import CALENDAR, STAR_TABLES, Column, StarTable

Rows = list[dict[str, Any]]

REMODELLED = [name for name, star in STAR_TABLES.items() if star is not CALENDAR]
"""The star tables that are made of source rows."""

_CURRENCIES = Locale("en").currencies
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)

_DAY = 86_400_000_000  # microseconds


def computed(star: str, driving: Rows, looked_up: Rows | None = None) -> Rows:
    """The rows of a star table, one for each row of its driving table."""
    table = STAR_TABLES[star]
    rows = {row[f"{table.looked_up_in}_id"]: row for row in looked_up or []}
    return [
        {column.name: _value(column, row, rows.get(row.get(table.looked_up_by), {})) for column in table.columns}
        for row in driving
    ]


def _value(column: Column, row: dict[str, Any], looked_up: dict[str, Any]) -> Any:
    if column.table:
        value = looked_up.get(column.source)
        return "Unknown" if value is None and column.mark != "?" else value
    value = row[column.source]
    match column.function:
        case "day":
            return day_and_time(value)[0]
        case "time":
            return day_and_time(value)[1]
        case "date":
            return _date(value)
        case "currency_name":
            return _CURRENCIES.get((value or "").strip().upper(), value)
        case _:
            return value


def day_and_time(moment: datetime | int | None) -> tuple[date | None, time | None]:
    """Of a moment that may be far from all that Python knows, and is then given in microseconds since 1970."""
    if moment is None:
        return None, None
    if isinstance(moment, datetime):
        return moment.date(), moment.time()
    days, rest = divmod(moment, _DAY)
    number = days + date(1970, 1, 1).toordinal()
    day = date.fromordinal(number) if 1 <= number <= date.max.toordinal() else None
    return day, (datetime(1970, 1, 1) + timedelta(microseconds=rest)).time()  # noqa: DTZ001 - as the source has it


def _date(text: str | None) -> date | None:
    if text is None or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def dim_date(days: list[date]) -> Rows:
    """The calendar of the whole years from the earliest to the latest of some days."""
    day, last = date(min(days).year, 1, 1), date(max(days).year, 12, 31)
    result = []
    while True:
        result.append(
            {
                "date_id": day,
                "year": day.year,
                "month": day.month,
                "day": day.day,
                "day_of_week": day.isoweekday(),
                "day_name": _DAYS[day.weekday()],
                "month_name": _MONTHS[day.month - 1],
                "quarter": (day.month + 2) // 3,
            }
        )
        if day == last:  # there may be no day after the last
            return result
        day += timedelta(days=1)


def judged(star: str, inputs: dict[str, Rows]) -> tuple[Rows, list[int]]:
    """The rows of a star table that its source rows make, and the places of the source rows that cannot become any.

    Args:
        star: any star table but the calendar.
        inputs: rows by source table, the driving table first; each may say in `unfit` which of its values are unfit.
    """
    table = STAR_TABLES[star]
    (_, driving), *lookups = inputs.items()
    usable: list[Rows] = []
    unusable: set[int] = set()
    for name, rows in lookups:
        keys = Counter(row[f"{name}_id"] for row in rows)
        unusable |= {
            row[f"{name}_id"] for row in rows if _is_unfit(table, name, row) or keys[row[f"{name}_id"]] > 1
        } - {None}
        usable.append([row for row in rows if row[f"{name}_id"] not in unusable | {None}])
    made = computed(star, driving, *usable)
    copies = Counter(row[table.key] for row in made)
    quarantined = [
        place
        for place, row in enumerate(made)
        if _is_unfit(table, table.source, driving[place])
        or driving[place].get(table.looked_up_by) in unusable
        or copies[row[table.key]] > 1
        or not _is_sound(table, row)
    ]
    return [row for place, row in enumerate(made) if place not in quarantined], quarantined


def _is_unfit(table: StarTable, source: str, row: dict[str, Any]) -> bool:
    return bool(row.get("unfit", {}).keys() & table.uses(source))


def _is_sound(table: StarTable, row: dict[str, Any]) -> bool:
    missing = {name for name, value in row.items() if value is None}
    return missing <= table.nullable and not any("\x00" in str(value) for value in row.values())
