"""Charts of columns, lines and cells, declared with Altair: which marks show which columns of a result.

What they look like (colours, fonts, light and dark) is decided in the browser, by `static/dashboard.js`. Labels are
text that is written here, so that no chart needs an expression of its own for them.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import altair as alt

from totes_dagster.dashboard.chart_parts import BIG, BIG_AND_WHOLE, ROOM_FOR_LABELS, data_of, legend_of, titled
from totes_dagster.dashboard.formats import day, moment, short, short_money
from totes_dagster.dashboard.question import Drawing, Row

_HEIGHT = 260
_FEW = 6
_NARROW = 48
_CLOSE = 0.06
"""Labels overlap if they are closer than this share of the axis."""

OTHERS = "All others"
"""The name of what is left after the largest parts; it comes last."""


def months(time: str, value: str, group: str, title: str) -> Drawing:
    """Stacked columns by month.

    Args:
        time: column of the month.
        value: column of the height.
        group: column that a month is divided by.
        title: title of the height's axis.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        text = titled(title, unit)
        shown = [{"month": _month(row[time]), "part": row[group], "value": row[value]} for row in rows]
        return _columns(shown, "month", text)

    return draw


def signed(time: str, value: str, title: str, *, group: str, month: bool = False) -> Drawing:
    """Columns above and below zero, by day or by month.

    Args:
        time: column of the day or month.
        value: column of the height.
        title: title of the vertical axis.
        group: column that a time is divided by.
        month: whether times are months.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        text = titled(title, unit)
        write = _month if month else _day
        shown = [{"day": write(row[time]), "part": row[group], "value": row[value]} for row in rows]
        return _columns(shown, "day", text)

    return draw


def stacked(
    category: str, series: Mapping[str, str], title: str, *, limit: int = 60, skip_first: bool = False
) -> Drawing:
    """Columns that are stacked of several columns of the result.

    Args:
        category: column of the horizontal position: a number, or a day.
        series: names of the parts by their columns.
        title: title of the vertical axis.
        limit: how many rows are drawn: the last ones.
        skip_first: whether the first row is left out, if it is not the only one.
    """

    def draw(rows: Sequence[Row], _: str) -> alt.TopLevelMixin | None:
        last = rows[1:] if skip_first and len(rows) > 1 else rows
        shown = [
            {category: _position(row[category]), "part": name, "value": row[column]}
            for row in last[-limit:]
            for column, name in series.items()
        ]
        return _columns(shown, category, title, list(series.values()))

    return draw


def _columns(rows: list[dict[str, Any]], x: str, title: str, parts: Sequence[str] = ()) -> alt.TopLevelMixin | None:
    """Stacked columns in the order of the rows; their parts in the order given, or else in that of their names."""
    shown = [row for row in rows if row["value"] is not None]
    if not shown:
        return None
    parts = parts or sorted({str(item["part"]) for item in shown}, key=lambda part: (part == OTHERS, part))
    places = {part: place for place, part in enumerate(parts)}
    placed = [{**item, "place": places[str(item["part"])]} for item in shown]
    few = len({item[x] for item in shown}) <= _FEW
    return (
        alt.Chart(data_of(placed))
        .mark_bar(width=_NARROW if few else alt.RelativeBandSize(band=0.9))
        .encode(
            x=alt.X(f"{x}:O", title=x if isinstance(shown[0][x], int) else None, sort=None).axis(
                labelOverlap="greedy", labelAngle=0
            ),
            y=alt.Y("sum(value):Q", title=title, axis=BIG_AND_WHOLE),
            color=alt.Color("part:N", title=None, scale=alt.Scale(domain=list(parts)), legend=legend_of(parts)),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip(f"{x}:O"),
                alt.Tooltip("part:N", title=" "),
                alt.Tooltip("sum(value):Q", title=title, format=",.0f"),
            ],
        )
        .properties(width="container", height=_HEIGHT)
    )


def _month(value: date) -> str:
    return f"{value:%b %y}"


def _day(value: date) -> str:
    return f"{value.day} {value:%b}"


def _position(value: Any) -> Any:
    return _day(value) if isinstance(value, date) else value


def lines(time: str, series: Mapping[str, str], title: str, *, step: bool = False, money: bool = True) -> Drawing:
    """Lines over time, each with its last value at its end.

    Args:
        time: column of the time: a day or a moment.
        series: names of the lines by their columns.
        title: title of the vertical axis.
        step: whether a value holds until the next one.
        money: whether the values are amounts.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        names, text = list(series.values()), titled(title, unit, money=money)
        shown = [
            {
                "time": row[time],
                "when": moment(row[time]) if isinstance(row[time], datetime) else day(row[time]),
                "line": name,
                "value": value,
                "label": short_money(value, unit) if money else short(value),
            }
            for row in rows
            for column, name in series.items()
            if row[time] is not None and (value := row[column]) is not None
        ]
        if not shown:
            return None
        base = alt.Chart(data_of(shown)).encode(
            x=alt.X("time:T", title=None, scale=alt.Scale(type="utc")).axis(
                labelOverlap="greedy", tickCount=5, format=_time_format([item["time"] for item in shown])
            ),
            y=alt.Y("value:Q", title=text, scale=alt.Scale(zero=False, nice=True), axis=BIG),
            color=alt.Color("line:N", title=None, sort=names, legend=legend_of(names)),
        )
        marks = base.mark_line(interpolate="step-after" if step else "linear", point=alt.OverlayMarkDef(size=24))
        marks = marks.encode(
            strokeDash=alt.StrokeDash("line:N", sort=names, legend=None),
            tooltip=[
                alt.Tooltip("when:N", title="time"),
                alt.Tooltip("line:N", title=" "),
                alt.Tooltip("value:Q", title=text, format=",.2f"),
            ],
        )
        ends = base.mark_text(align="left", dx=6, clip=False).encode(text="label:N")
        ends = ends.properties(data=data_of(_apart(shown)))
        return alt.layer(marks, ends).properties(width="container", height=_HEIGHT, padding=ROOM_FOR_LABELS)

    return draw


def _time_format(times: Sequence[date]) -> str:
    """How an axis writes times, by how far they are apart."""
    first, last = min(times), max(times)
    if not isinstance(first, datetime):
        return "%b %Y"
    seconds: float = (last - first).total_seconds()
    if seconds > 2 * 86400:
        return "%-d %b"
    return "%H:%M" if seconds > 600 else "%H:%M:%S"  # noqa: PLR2004 - ten minutes


def _apart(shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last point of each line, without those that are so close to another that their labels would overlap."""
    values = [item["value"] for item in shown]
    least = float(max(values) - min(values)) * _CLOSE
    kept: list[dict[str, Any]] = []
    for item in {item["line"]: item for item in shown}.values():
        if all(abs(item["value"] - other["value"]) > least for other in kept) or not kept:
            kept.append(item)
    return kept


def heatmap(x: str, y: str, value: str, title: str, order: Sequence[str]) -> Drawing:
    """A grid whose cells are the darker the more there is.

    Args:
        x: column of the horizontal position, a number.
        y: column of the vertical position.
        value: column of the darkness.
        title: what that is.
        order: the vertical positions from top to bottom.
    """

    def draw(rows: Sequence[Row], _: str) -> alt.TopLevelMixin | None:
        return (
            alt.Chart(data_of(rows))
            .mark_rect()
            .encode(
                x=alt.X(f"{x}:O", title=f"{x} (UTC)").axis(labelAngle=0, labelOverlap="greedy"),
                y=alt.Y(f"{y}:N", title=None, sort=list(order)),
                color=alt.Color(f"{value}:Q", title=title, legend=alt.Legend(format="~s")),
                tooltip=[
                    alt.Tooltip(f"{y}:N"),
                    alt.Tooltip(f"{x}:O"),
                    alt.Tooltip(f"{value}:Q", title=title, format=",.0f"),
                ],
            )
            .properties(width="container", height=7 * 26)
        )

    return draw
