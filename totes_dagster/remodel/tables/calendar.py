"""Days: converting the source's texts and timestamps to dates, and computing the calendar dimension."""

from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_DATES = pd.ArrowDtype(pa.date32())
_INTEGERS = pd.ArrowDtype(pa.int32())
_FIRST_DATE = pa.scalar(date.min, pa.date32())
_LAST_DATE = pa.scalar(date.max, pa.date32())


def date_from_text(text: pd.Series) -> pd.Series:
    """Dates (date32) from `YYYY-MM-DD` texts; null where a text is not a date in the years 1 to 9999."""
    texts = pa.array(text, from_pandas=True)
    try:
        dates = texts.cast(pa.date32())
    except pa.ArrowInvalid:
        # strptime turns 2023-02-30 into 2 March and ignores surrounding text, so a text is only accepted if the date
        # formats back to it.
        parsed = pc.strptime(texts, format="%Y-%m-%d", unit="s", error_is_null=True).cast(pa.date32())
        same = pc.equal(parsed.cast(pa.string()), texts)
        dates = pc.if_else(same, parsed, pa.scalar(None, pa.date32()))
    return pd.Series(pd.array(_in_calendar_range(dates), dtype=_DATES), index=text.index)


def day_of(moments: pd.Series) -> pd.Series:
    """The days (date32) of timestamps; null where the day is not in the years 1 to 9999."""
    days = pa.array(moments.dt.date, from_pandas=True)
    return pd.Series(pd.array(_in_calendar_range(days), dtype=_DATES), index=moments.index)


def dim_date(days: pd.Series) -> pd.DataFrame:
    """One row per day of every calendar year from the earliest to the latest of the given days.

    Args:
        days: dates (date32); if there are none, the result has no rows.

    Returns:
        date_id (date32), year, month, day, day_of_week (ISO: Monday 1 to Sunday 7) and quarter (int32), day_name and
        month_name (English).
    """
    calendar = pd.Series(pd.array(_whole_years(days), dtype=_DATES))
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


def _in_calendar_range(dates: pa.Array) -> pa.Array:
    inside = pc.and_(pc.greater_equal(dates, _FIRST_DATE), pc.less_equal(dates, _LAST_DATE))
    return pc.if_else(inside, dates, pa.scalar(None, pa.date32()))


def _whole_years(days: pd.Series) -> pa.Array:
    if days.empty:
        return pa.array([], pa.date32())
    epoch = date(1970, 1, 1).toordinal()
    first, last = (date(days.min().year, 1, 1).toordinal() - epoch, date(days.max().year, 12, 31).toordinal() - epoch)
    return pa.array(range(first, last + 1), pa.int32()).cast(pa.date32())
