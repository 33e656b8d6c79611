"""What charts have in common: their data, their axes and legends, and the labels of their bars."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import altair as alt

from totes_dagster.dashboard.question import Row

BIG = alt.Axis(format="~s", labelExpr="replace(datum.label, 'G', 'bn')", tickCount=5)
BIG_AND_WHOLE = alt.Axis(format="~s", labelExpr="replace(datum.label, 'G', 'bn')", tickCount=5, tickMinStep=1)

ROOM_FOR_LABELS = {"right": 90, "left": 4, "top": 4, "bottom": 4}
ROOM_AT_ENDS = {"right": 24, "left": 4, "top": 4, "bottom": 4}


def plain(value: Any) -> Any:
    """A value as JSON has it: an exact number becomes the nearest float, a day or a moment becomes text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value.isoformat()}T00:00:00Z" if isinstance(value, date) else value


def data_of(rows: Sequence[Row]) -> alt.InlineData:
    """Rows as the data of a chart."""
    return alt.InlineData(values=[{name: plain(value) for name, value in row.items()} for row in rows])


def titled(title: str, unit: str, *, money: bool = True) -> str:
    """An axis' title, with the currency if it has amounts."""
    return f"{title}, {unit}" if money else title


def legend_of(parts: Sequence[str]) -> alt.Legend | None:
    """A legend if there are several parts."""
    return alt.Legend(title=None) if len(parts) > 1 else None


def with_labels(
    bars: alt.Chart, base: alt.Chart, categories: int, *, height: float, inside: bool = False
) -> alt.TopLevelMixin:
    """Horizontal bars with their labels at their ends, or at their beginnings, on the bars."""
    at: dict[str, Any] = {"x": {"value": 0}} if inside else {}
    labels = base.mark_text(align="left", dx=4, clip=False).encode(text="label:N", **at)
    return alt.layer(bars, labels).properties(
        width="container",
        height=height,
        padding=ROOM_AT_ENDS if inside else ROOM_FOR_LABELS,
        usermeta={"categories": categories},
    )


def distinct(names: Sequence[str]) -> list[str]:
    """Names in their order, each once: one that comes again is numbered, for a chart draws one bar for each name."""
    seen: dict[str, int] = {}
    told = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told
