"""The calendar dimension: which days a batch names, and what is to be known about a day."""

from datetime import date

import pandas as pd
import pyarrow as pa

from totes_dagster.model.facts import date_from_text

_DATES = pd.ArrowDtype(pa.date32())
_INTEGERS = pd.ArrowDtype(pa.int32())


def named_days(rows: pd.DataFrame, key: str) -> pd.Series:
    """The distinct days (date32) that rows of an event table name: in stamps (timestamps) and in text dates.

    Args:
        rows: the columns that name days, and the key.
        key: column that tells in a message which row it is.

    Raises:
        InvalidRowsError: a text is not a date.
    """
    columns = (
        rows[column].dt.date if column in {"created_at", "last_updated"} else date_from_text(rows, column, key=key)
        for column in rows.columns.drop(key)
    )
    return pd.concat([column.drop_duplicates() for column in columns], ignore_index=True).dropna().drop_duplicates()


def dim_date(days: pd.Series) -> pd.DataFrame:
    """One row per day of every calendar year from the earliest to the latest of some days.

    Args:
        days: dates (date32), at least one.

    Returns:
        date_id (date32), year, month, day, day_of_week (ISO: Monday 1 to Sunday 7) and quarter (int32), day_name and
        month_name (English).
    """
    first, last = days.min(), days.max()
    calendar = pd.Series(pd.array(_every_day(first.year, last.year), dtype=_DATES))
    moments = calendar.astype(pd.ArrowDtype(pa.timestamp("s")))
    return pd.DataFrame(
        {
            "date_id": calendar,
            "year": moments.dt.year.astype(_INTEGERS),
            "month": moments.dt.month.astype(_INTEGERS),
            "day": moments.dt.day.astype(_INTEGERS),
            "day_of_week": (moments.dt.day_of_week + 1).astype(_INTEGERS),
            "day_name": moments.dt.day_name(locale="C"),
            "month_name": moments.dt.month_name(locale="C"),
            "quarter": moments.dt.quarter.astype(_INTEGERS),
        }
    )


def _every_day(first_year: int, last_year: int) -> pa.Array:
    epoch = date(1970, 1, 1).toordinal()
    first, last = (date(first_year, 1, 1).toordinal() - epoch, date(last_year, 12, 31).toordinal() - epoch)
    return pa.array(range(first, last + 1), pa.int32()).cast(pa.date32())
