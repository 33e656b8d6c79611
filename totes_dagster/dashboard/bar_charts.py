"""Charts of horizontal bars: one for each of the first few rows, with its label."""

from collections.abc import Callable, Mapping, Sequence

import altair as alt

from totes_dagster.dashboard.chart_parts import BIG, ROOM_FOR_LABELS, data_of, distinct, titled, with_labels
from totes_dagster.dashboard.formats import short, short_money
from totes_dagster.dashboard.question import Drawing, Row

_BAR = 22
"""Height of a horizontal bar with its gap, in pixels."""
_THIN_BAR = 17
_MOST_RANGES = 14

Label = Callable[[Row, str], str]
"""Writes the label of a mark from its row and the currency."""


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
        text = titled(title, unit, money=money)
        known = [row for row in rows if row[value] is not None]
        top = sorted(known, key=lambda row: row[value], reverse=True)[:limit]
        names = distinct([str(row[category]) for row in top])
        shown = [
            {"name": name, "value": row[value], "label": label(row, unit)} for name, row in zip(names, top, strict=True)
        ]
        if not shown:
            return None
        base = alt.Chart(data_of(shown)).encode(
            x=alt.X("value:Q", title=text, axis=BIG),
            y=alt.Y("name:N", title=None, sort=None),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", title=text, format=",.2f")],
        )
        return with_labels(base.mark_bar(), base, len(shown), height=len(shown) * _BAR)

    return draw


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
        groups = distinct([str(row[category]) for row in rows[:limit]])
        for group, row in zip(groups, rows[:limit], strict=True):
            for column, name in series.items():
                value = row[column]
                if value is None:
                    continue
                label = short_money(value, unit) if money else short(value)
                long.append({"name": group, "part": name, "value": value, "label": label})
        if not long:
            return None
        names = list(series.values())
        base = alt.Chart(data_of(long)).encode(
            x=alt.X("value:Q", title=titled(title, unit, money=money), axis=BIG),
            y=alt.Y("name:N", title=None, sort=None),
            yOffset=alt.YOffset("part:N", sort=names),
            tooltip=[
                alt.Tooltip("name:N"),
                alt.Tooltip("part:N"),
                alt.Tooltip("value:Q", title=titled(title, unit, money=money), format=",.2f"),
            ],
        )
        bars = base.mark_bar().encode(color=alt.Color("part:N", title=None, sort=names))
        categories = len({item["name"] for item in long})
        return with_labels(bars, base, categories, height=len(long) * _THIN_BAR)

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
        base = alt.Chart(data_of(shown)).encode(
            x=alt.X("value:Q", title=titled(title, unit), axis=BIG),
            y=alt.Y("group:N", title=None, sort=None),
            yOffset=alt.YOffset("place:O"),
            tooltip=[
                alt.Tooltip("group:N"),
                alt.Tooltip("name:N"),
                alt.Tooltip("value:Q", title=titled(title, unit), format=",.2f"),
            ],
        )
        bars = base.mark_bar().encode(color=alt.Color("place:O", legend=None))
        return with_labels(bars, base, len(first), height=len(shown) * _BAR, inside=True)

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
        known = [row for row in rows if all(row[name] is not None for name in at)][:_MOST_RANGES]
        shown = [
            {
                "name": range_name,
                **dict(zip(("low", "middle", "high"), (row[name] for name in at), strict=True)),
                "label": " · ".join(f"{row[name]:,.3g}" for name in at),
            }
            for range_name, row in zip(distinct([str(row[category]) for row in known]), known, strict=True)
        ]
        if not shown:
            return None
        base = alt.Chart(data_of(shown)).encode(
            y=alt.Y("name:N", title=None, sort=None), tooltip=alt.Tooltip("label:N")
        )
        axis = alt.X("low:Q", title=titled(title, unit, money=money))
        rules = base.mark_rule(strokeWidth=5, opacity=0.45, strokeCap="round").encode(x=axis, x2="high:Q")
        points = base.mark_point(filled=True, size=70, opacity=1).encode(x="middle:Q")
        labels = base.mark_text(align="left", dx=8, clip=False).encode(x="high:Q", text="label:N")
        return alt.layer(rules, points, labels).properties(
            width="container",
            height=len(shown) * _BAR,
            padding=ROOM_FOR_LABELS,
        )

    return draw
