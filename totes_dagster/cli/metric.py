"""`totes metric`: the numbers of a metric, printed or drawn, and the list of metrics."""

import csv
import io
import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from totes_dagster.cli.sql import Form
from totes_dagster.config.platform import Warehouse
from totes_dagster.metrics.asking import Answer, ColumnType, ask
from totes_dagster.metrics.chart import write_chart
from totes_dagster.metrics.dimensions import DIMENSIONS
from totes_dagster.metrics.members import Value
from totes_dagster.metrics.registry import METRICS
from totes_dagster.runtime.terminal import console, show_table


def list_metrics(form: Form) -> None:
    """Print every metric with its meaning, its unit, and the dimensions that it may be split by."""
    columns = ["metric", "unit", "meaning", "may be split by"]
    rows = [[each.name, str(each.unit), each.meaning, ", ".join(each.splits)] for each in METRICS.values()]
    match form:
        case Form.JSON:
            listed = [
                {"metric": each.name, "unit": each.unit, "meaning": each.meaning, "splits": each.splits}
                for each in METRICS.values()
            ]
            click.echo(json.dumps(listed, indent=2))
        case Form.CSV:
            _print_csv(columns, rows)
        case Form.TABLE:
            show_table("", columns[:3], [row[:3] for row in rows])


def print_metric(  # noqa: PLR0913 - what to ask, and how to print it
    warehouse: Warehouse,
    metric: str,
    *,
    by: Iterable[str],
    since: date | None,
    until: date | None,
    where: Iterable[str],
    form: Form | None,
    chart: Path | None,
) -> None:
    """Ask for a metric, and print or draw the answer. How many rows have no rate is printed beside it.

    Args:
        warehouse: the warehouse.
        metric: name of the metric.
        by: names of the dimensions to split it by.
        since: the first day that counts.
        until: the last day that counts.
        where: members whose rows count, each as `dimension=member`.
        form: how to print the answer; None for a table, unless a chart is drawn.
        chart: file to draw the answer into.

    Raises:
        MetricError: see `ask` and `write_chart`.
        DatabaseError: the warehouse cannot be reached, or refuses.
    """
    members = members_by_dimension(where)
    with warehouse.database.connect() as connection:
        answer = ask(connection, warehouse.schema, metric, by=by, since=since, until=until, where=members)
    if chart is not None:
        write_chart(answer, chart)
        if form is None:
            console.print(f"Drew {metric} into {chart}.", soft_wrap=True)
    match form or (Form.TABLE if chart is None else None):
        case Form.JSON:
            click.echo(_json(answer))
        case Form.CSV:
            _print_csv([column.name for column in answer.columns], [map(_text, row) for row in answer.rows])
        case Form.TABLE:
            _show(answer)
    if answer.unconverted:
        click.secho(
            f"Orders or payments that {metric} leaves out, because there is no exchange rate for their day: "
            f"{answer.unconverted:,}. `totes metric unconverted --by currency --by month` says where they are.",
            fg="yellow",
            err=True,
        )


def members_by_dimension(restrictions: Iterable[str]) -> dict[str, list[Value]]:
    """Members by dimension. Digits are a key, where the dimension has one.

    Args:
        restrictions: each as `dimension=member`; those of one dimension are alternatives.
    """
    members: dict[str, list[Value]] = {}
    for restriction in restrictions:
        name, _, text = restriction.partition("=")
        value: Value = text
        if name in DIMENSIONS and DIMENSIONS[name].key is not None:
            with suppress(ValueError):
                value = int(text)
        members.setdefault(name, []).append(value)
    return members


def _show(answer: Answer) -> None:
    rows = [
        [
            _text(value) if column.dimension else _with_separators(value)
            for column, value in zip(answer.columns, row, strict=True)
        ]
        for row in answer.rows
    ]
    numeric = [column.type in {ColumnType.INTEGER, ColumnType.NUMBER} for column in answer.columns]
    show_table("", [column.name for column in answer.columns], rows, numeric=numeric)
    moment = "" if answer.as_of is None else f" As of {answer.as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    console.print(f"Unit: {answer.unit}.{moment}", soft_wrap=True)


def _print_csv(columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    click.echo(written.getvalue(), nl=False)


def _json(answer: Answer) -> str:
    facts = {
        "metric": answer.metric.name,
        "meaning": answer.metric.meaning,
        "unit": answer.unit,
        "unconverted": answer.unconverted,
        "as_of": None if answer.as_of is None else answer.as_of.astimezone(UTC).isoformat(),
        "batch": answer.batch,
    }
    head = "".join(f"  {json.dumps(name)}: {json.dumps(value)},\n" for name, value in facts.items())
    names = [json.dumps(column.name) for column in answer.columns]
    rows = ",\n".join(
        "    {" + ", ".join(f"{name}: {_json_value(value)}" for name, value in zip(names, row, strict=True)) + "}"
        for row in answer.rows
    )
    return f'{{\n{head}  "rows": [\n{rows}\n  ]\n}}'


def _json_value(value: Any) -> str:
    """A value as JSON, with every digit of a number."""
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, default=date.isoformat)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _with_separators(value: Any) -> str:
    return "" if value is None else f"{value:,}"
