"""Answers as charts, for those who have the extra `dashboard`: Altair declares them, vl-convert draws them."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from totes_dagster.errors import ChartError
from totes_dagster.metrics.asking import Answer, ColumnType

if TYPE_CHECKING:
    import altair

_MOST_DIMENSIONS = 2
_FORMATS = (".svg", ".png")


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
    """An answer as a chart: lines over time, or else bars; a second dimension is told apart by colour.

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
    number = altair.Y(answer.metric.name, type="quantitative", title=f"{answer.metric.name} ({answer.unit})")
    values = [_values(answer, row) for row in answer.rows]
    data = altair.InlineData(values=values)
    subtitle = [answer.metric.meaning]
    if answer.unconverted:
        subtitle.append(f"{answer.unconverted:,} of them are left out: there is no exchange rate for their day.")
    title = altair.TitleParams(answer.metric.name, subtitle=subtitle, anchor="start")
    chart = altair.Chart(data, title=title, width=640)
    if types[along] is ColumnType.DATE:
        place = altair.X(along, type="temporal", scale=altair.Scale(type="utc"))
        encoded = chart.mark_line(point=True).encode(x=place, y=number)
    else:
        members = list(dict.fromkeys(str(row[along]) for row in values))
        encoded = chart.mark_bar().encode(x=altair.X(along, type="nominal", sort=members), y=number)
    return encoded.encode(color=altair.Color(others[0], type="nominal")) if others else encoded


def _values(answer: Answer, row: tuple[Any, ...]) -> Mapping[str, str | float | None]:
    return {
        column.name: _value(value, is_member=column.dimension is not None)
        for column, value in zip(answer.columns, row, strict=True)
    }


def _value(value: Any, *, is_member: bool) -> str | float | None:
    if isinstance(value, Decimal):
        return float(value)
    if value is None:
        return "none" if is_member else None
    return value if isinstance(value, int) and not is_member else str(value)
