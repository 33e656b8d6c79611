"""Answers as charts, for those who have the extra `dashboard`: Altair declares them, vl-convert draws them."""

import textwrap
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from totes_dagster.errors import ChartError
from totes_dagster.metrics.asking import Answer, ColumnType
from totes_dagster.metrics.metric import Unit

if TYPE_CHECKING:
    import altair

_MOST_DIMENSIONS = 2
_FORMATS = (".svg", ".png")
_LONGEST_NAME = 240  # pixels
_LINE = 100  # characters


def write_chart(answer: Answer, file: Path) -> None:
    """Draw an answer into a file.

    Args:
        answer: an answer that is split by one or two dimensions.
        file: its name ends in .svg or .png.

    Raises:
        ChartError: the answer cannot be drawn, the file's name has another end, or the extra `dashboard` is not
            installed.
    """
    if file.suffix not in _FORMATS:
        raise ChartError(f"A chart cannot be written to {file}: use a name that ends in {' or '.join(_FORMATS)}.")
    try:
        import vl_convert  # noqa: F401, PLC0415 - belongs to an extra

        chart = chart_of(answer)
    except ImportError as error:
        raise ChartError(
            "Charts need Altair and vl-convert, which are not installed. Install the extra: "
            "pip install 'totes-dagster[dashboard]'."
        ) from error
    chart.save(file, scale_factor=2 if file.suffix == ".png" else 1)


def chart_of(answer: Answer) -> "altair.Chart":
    """An answer as a chart: lines over time, or else horizontal bars; a second dimension is told apart by colour.

    Raises:
        ChartError: the answer is not split by one or two dimensions.
        ImportError: Altair is not installed.
    """
    if not 0 < len(answer.by) <= _MOST_DIMENSIONS:
        raise ChartError(
            f"A chart of {answer.metric.name} needs one or two dimensions, but it is split by "
            f"{len(answer.by) or 'none'}. It may be split by {', '.join(answer.metric.splits)}."
        )
    import altair  # noqa: PLC0415 - belongs to an extra

    types = {column.name: column.type for column in answer.columns}
    # Time runs along the chart, whichever of two dimensions was named first.
    along, *others = sorted(answer.by, key=lambda name: types[name] is not ColumnType.DATE)
    name, is_share = answer.metric.name, answer.metric.unit is Unit.SHARE
    heading = name if is_share else f"{name} ({answer.unit})"
    scale = altair.Axis(format=".0%") if is_share else altair.Axis()
    values = _values(answer)
    data = altair.InlineData(values=values)
    subtitle = textwrap.wrap(answer.metric.meaning, _LINE)
    if answer.unconverted:
        subtitle.append(f"{answer.unconverted:,} of them are left out: there is no exchange rate for their day.")
    title = altair.TitleParams(name, subtitle=subtitle, anchor="start")
    chart = altair.Chart(data, title=title, width=640)
    if types[along] is ColumnType.DATE:
        # Vega-Lite would name a month without its year.
        axis = altair.Axis(format="%b %Y", labelOverlap=True) if along == "month" else altair.Axis()
        encoded = chart.mark_line(point=True, tooltip=True).encode(
            x=altair.X(along, type="temporal", scale=altair.Scale(type="utc"), axis=axis),
            y=altair.Y(name, type="quantitative", title=heading, axis=scale),
        )
    else:
        members = list(dict.fromkeys(str(row[along]) for row in values))
        # Names are long, and easier to read along the bars.
        encoded = chart.mark_bar(tooltip=True).encode(
            x=altair.X(name, type="quantitative", title=heading, axis=scale),
            y=altair.Y(along, type="nominal", sort=members, axis=altair.Axis(labelLimit=_LONGEST_NAME)),
        )
    return encoded.encode(color=altair.Color(others[0], type="nominal")) if others else encoded


def _values(answer: Answer) -> list[dict[str, str | float | None]]:
    """The rows of an answer; members that have the name of another are told apart by their key."""
    values = [
        {
            column.name: _value(value, is_member=column.dimension is not None)
            for column, value in zip(answer.columns, row, strict=True)
        }
        for row in answer.rows
    ]
    keys = {column.dimension: column.name for column in answer.columns if column.name != column.dimension}
    for name in answer.by:
        key = keys.get(name)
        if key is None:
            continue
        times = Counter(member for member, _ in {(row[name], row[key]) for row in values})
        for row in values:
            if times[row[name]] > 1:
                row[name] = f"{row[name]} ({row[key]})"
    return values


def _value(value: Any, *, is_member: bool) -> str | float | None:
    if isinstance(value, Decimal):
        return float(value)
    if value is None:
        return "none" if is_member else None
    return value if isinstance(value, int) and not is_member else str(value)
