"""Charts, declared with Altair: which marks show which columns of a result.

What they look like (colours, fonts, light and dark) is decided in the browser, by `static/dashboard.js`. Labels are
text that is written here, so that no chart needs an expression of its own for them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import altair as alt

from totes_dagster.dashboard.formats import day, moment, short, short_money
from totes_dagster.dashboard.question import Drawing, Row

_BAR = 22
"""Height of a horizontal bar with its gap, in pixels."""
_THIN_BAR = 17
_HEIGHT = 260
_FEW = 6
_NARROW = 48
_MOST_RANGES = 14
_CLOSE = 0.06
"""Labels overlap if they are closer than this share of the axis."""

OTHERS = "All others"
"""The name of what is left after the largest parts; it comes last."""

Label = Callable[[Row, str], str]
"""Writes the label of a mark from its row and the currency."""

_BIG = alt.Axis(format="~s", labelExpr="replace(datum.label, 'G', 'bn')", tickCount=5)
_BIG_AND_WHOLE = alt.Axis(format="~s", labelExpr="replace(datum.label, 'G', 'bn')", tickCount=5, tickMinStep=1)


def plain(value: Any) -> Any:
    """A value as JSON has it: an exact number becomes the nearest float, a day or a moment becomes text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value.isoformat()}T00:00:00Z" if isinstance(value, date) else value


def _data(rows: Sequence[Row]) -> alt.InlineData:
    return alt.InlineData(values=[{name: plain(value) for name, value in row.items()} for row in rows])


def months(time: str, value: str, group: str, title: str) -> Drawing:
    """Stacked columns by month.

    Args:
        time: column of the month.
        value: column of the height.
        group: column that a month is divided by.
        title: title of the height's axis.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        text = _titled(title, unit)
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
        text = _titled(title, unit)
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
        alt.Chart(_data(placed))
        .mark_bar(width=_NARROW if few else alt.RelativeBandSize(band=0.9))
        .encode(
            x=alt.X(f"{x}:O", title=x if isinstance(shown[0][x], int) else None, sort=None).axis(
                labelOverlap="greedy", labelAngle=0
            ),
            y=alt.Y("sum(value):Q", title=title, axis=_BIG_AND_WHOLE),
            color=alt.Color("part:N", title=None, scale=alt.Scale(domain=list(parts)), legend=_legend(parts)),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip(f"{x}:O"),
                alt.Tooltip("part:N", title=" "),
                alt.Tooltip("sum(value):Q", title=title, format=",.0f"),
            ],
        )
        .properties(width="container", height=_HEIGHT)
    )


def _titled(title: str, unit: str, *, money: bool = True) -> str:
    """An axis' title, with the currency if it has amounts."""
    return f"{title}, {unit}" if money else title


def _legend(parts: Sequence[str]) -> alt.Legend | None:
    return alt.Legend(title=None) if len(parts) > 1 else None


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
        names, text = list(series.values()), _titled(title, unit, money=money)
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
        base = alt.Chart(_data(shown)).encode(
            x=alt.X("time:T", title=None, scale=alt.Scale(type="utc")).axis(
                labelOverlap="greedy", tickCount=5, format=_time_format([item["time"] for item in shown])
            ),
            y=alt.Y("value:Q", title=text, scale=alt.Scale(zero=False, nice=True), axis=_BIG),
            color=alt.Color("line:N", title=None, sort=names, legend=_legend(names)),
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
        ends = ends.properties(data=_data(_apart(shown)))
        return alt.layer(marks, ends).properties(width="container", height=_HEIGHT, padding=_ROOM_FOR_LABELS)

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


_ROOM_FOR_LABELS = {"right": 90, "left": 4, "top": 4, "bottom": 4}
_ROOM_AT_ENDS = {"right": 24, "left": 4, "top": 4, "bottom": 4}


def ranked(category: str, value: str, title: str, *, label: Label, limit: int = 12, money: bool = True) -> Drawing:
    """Horizontal bars, longest first, each with a label at its end; the first few rows only.

    Args:
        category: column of the bars' names.
        value: column of the length.
        title: title of the length's axis.
        label: writes what stands at the end of a bar.
        limit: how many bars are drawn.
        money: whether the lengths are amounts.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        text = _titled(title, unit, money=money)
        known = [row for row in rows if row[value] is not None]
        top = sorted(known, key=lambda row: row[value], reverse=True)[:limit]
        shown = [{"name": str(row[category]), "value": row[value], "label": label(row, unit)} for row in top]
        if not shown:
            return None
        base = alt.Chart(_data(shown)).encode(
            x=alt.X("value:Q", title=text, axis=_BIG),
            y=alt.Y("name:N", title=None, sort=None),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", title=text, format=",.2f")],
        )
        return _with_labels(base.mark_bar(), base, len(shown), height=len(shown) * _BAR)

    return draw


def _with_labels(
    bars: alt.Chart, base: alt.Chart, categories: int, *, height: float, inside: bool = False
) -> alt.TopLevelMixin:
    """Horizontal bars with their labels at their ends, or at their beginnings, on the bars."""
    at: dict[str, Any] = {"x": {"value": 0}} if inside else {}
    labels = base.mark_text(align="left", dx=4, clip=False).encode(text="label:N", **at)
    return alt.layer(bars, labels).properties(
        width="container",
        height=height,
        padding=_ROOM_AT_ENDS if inside else _ROOM_FOR_LABELS,
        usermeta={"categories": categories},
    )


def grouped(category: str, series: Mapping[str, str], title: str, *, money: bool = True, limit: int = 10) -> Drawing:
    """Horizontal bars in groups, one bar for each of several columns.

    Args:
        category: column of the groups' names.
        series: names of the bars of a group by their columns.
        title: title of the length's axis.
        money: whether the lengths are amounts.
        limit: how many groups are drawn.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        long = []
        for row in rows[:limit]:
            for column, name in series.items():
                value = row[column]
                if value is None:
                    continue
                label = short_money(value, unit) if money else short(value)
                long.append({"name": str(row[category]), "part": name, "value": value, "label": label})
        if not long:
            return None
        names = list(series.values())
        base = alt.Chart(_data(long)).encode(
            x=alt.X("value:Q", title=_titled(title, unit, money=money), axis=_BIG),
            y=alt.Y("name:N", title=None, sort=None),
            yOffset=alt.YOffset("part:N", sort=names),
            tooltip=[
                alt.Tooltip("name:N"),
                alt.Tooltip("part:N"),
                alt.Tooltip("value:Q", title=_titled(title, unit, money=money), format=",.2f"),
            ],
        )
        bars = base.mark_bar().encode(color=alt.Color("part:N", title=None, sort=names))
        categories = len({item["name"] for item in long})
        return _with_labels(bars, base, categories, height=len(long) * _THIN_BAR)

    return draw


def podium(category: str, place: str, name: str, value: str, title: str, *, limit: int = 8) -> Drawing:
    """For each category, its best few as bars below one another, each with its name.

    Args:
        category: column of the categories' names.
        place: column of the place in the category, from 1.
        name: column of what is ranked.
        value: column of the length.
        title: title of the length's axis.
        limit: how many categories are drawn.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        known = [row for row in rows if row[value] is not None]
        first = list(dict.fromkeys(row[category] for row in known))[:limit]
        shown = [
            {
                "group": str(row[category]),
                "place": str(row[place]),
                "value": row[value],
                "name": str(row[name]),
                "label": f"{row[name]}  {short_money(row[value], unit)}",
            }
            for row in known
            if row[category] in first
        ]
        if not shown:
            return None
        base = alt.Chart(_data(shown)).encode(
            x=alt.X("value:Q", title=_titled(title, unit), axis=_BIG),
            y=alt.Y("group:N", title=None, sort=None),
            yOffset=alt.YOffset("place:O"),
            tooltip=[
                alt.Tooltip("group:N"),
                alt.Tooltip("name:N"),
                alt.Tooltip("value:Q", title=_titled(title, unit), format=",.2f"),
            ],
        )
        bars = base.mark_bar().encode(color=alt.Color("place:O", legend=None))
        return _with_labels(bars, base, len(first), height=len(shown) * _BAR, inside=True)

    return draw


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
            alt.Chart(_data(rows))
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


def ranges(category: str, low: str, middle: str, high: str, title: str, *, money: bool = False) -> Drawing:
    """For each category, a line from its low to its high value, with a point at the middle; the first few rows only.

    Args:
        category: column of the categories' names.
        low: column of where the line begins.
        middle: column of the point.
        high: column of where it ends.
        title: title of the horizontal axis.
        money: whether the values are amounts.
    """

    def draw(rows: Sequence[Row], unit: str) -> alt.TopLevelMixin | None:
        at = (low, middle, high)
        shown = [
            {
                "name": str(row[category]),
                **dict(zip(("low", "middle", "high"), (row[name] for name in at), strict=True)),
                "label": " · ".join(f"{row[name]:,.3g}" for name in at),
            }
            for row in [row for row in rows if all(row[name] is not None for name in at)][:_MOST_RANGES]
        ]
        if not shown:
            return None
        base = alt.Chart(_data(shown)).encode(y=alt.Y("name:N", title=None, sort=None), tooltip=alt.Tooltip("label:N"))
        axis = alt.X("low:Q", title=_titled(title, unit, money=money))
        rules = base.mark_rule(strokeWidth=5, opacity=0.45, strokeCap="round").encode(x=axis, x2="high:Q")
        points = base.mark_point(filled=True, size=70, opacity=1).encode(x="middle:Q")
        labels = base.mark_text(align="left", dx=8, clip=False).encode(x="high:Q", text="label:N")
        return alt.layer(rules, points, labels).properties(
            width="container",
            height=len(shown) * _BAR,
            padding=_ROOM_FOR_LABELS,
        )

    return draw
