"""Pages as HTML: what was read, with its charts, tables, SQL and downloads."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from totes_dagster.dashboard.filters import Filters, in_words
from totes_dagster.dashboard.formats import NUMERIC, figure, moment, written
from totes_dagster.dashboard.markup import Html, element, joined
from totes_dagster.dashboard.question import Column, Kind, Question, shown_metric
from totes_dagster.dashboard.reading import PageData, State, Table

_FORMULA = re.compile(r"[=+\-@\t\r]")
_ROWS_SHOWN = 500


class Addresses(Protocol):
    """Where things are, as a page refers to them."""

    def page(self, name: str) -> str:
        """Another page, with the same filters."""

    def page_without_filters(self, name: str) -> str:
        """A page without filters."""

    def download(self, page: str, question: str) -> str:
        """The answer to a question as CSV."""

    def asset(self, name: str) -> str:
        """A style sheet or script."""


@dataclass(frozen=True)
class Rendered:
    """A page's data, and the HTML of everything that does not depend on when it is looked at.

    Attributes:
        data: what was read.
        body: the figures and questions.
    """

    data: PageData
    body: Html

    @property
    def state(self) -> State:
        """What the warehouse held."""
        return self.data.state

    @property
    def seconds(self) -> float:
        """How long reading took."""
        return self.data.seconds

    @cached_property
    def is_empty(self) -> bool:
        """Whether no question has an answer."""
        return not any(self.data.tables[question.name].rows for question in self.data.page.questions)


def rendered(data: PageData, addresses: Addresses) -> Rendered:
    """A page's data with its HTML."""
    page, filters = data.page, data.filters
    headline = page.headline
    parts = [_figures(headline, data.tables[headline.name], filters)]
    meanings = _meanings(headline, headline.unit(filters))
    if meanings:
        parts.append(element("div", _details("What these figures mean", meanings), class_="meanings"))
    parts += [_section(question, data, addresses) for question in page.questions]
    return Rendered(data, joined(parts))


def as_csv(question: Question, table: Table, filters: Filters) -> str:
    """The answer to a question as CSV, with a header.

    Text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    columns, unit = question.columns, question.unit(filters)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [f"{column.name}_{unit.lower()}" if column.kind is Kind.MONEY else column.name for column in columns]
    )
    writer.writerows([[_cell(row[column.name], column) for column in columns] for row in table.rows])
    return text.getvalue()


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if column.kind is Kind.TEXT and _FORMULA.match(text) else text


def embedded_json(value: Any, id_: str) -> Html:
    """An element with data for scripts. No text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return element("script", Html(text), type="application/json", id=id_)


def _figures(question: Question, table: Table, filters: Filters) -> Html:
    unit = question.unit(filters)
    (row,) = table.rows
    shown = []
    for column in question.columns:
        if column.name == "unconverted":
            continue
        value = element("dd", figure(row[column.name], column.kind, unit))
        shown.append(element("div", element("dt", column.label), value))
    return element("dl", shown, class_="figures", aria_label=f"{question.title} in figures")


def _meanings(question: Question, unit: str) -> Html | None:
    """What the columns of a question are, by their labels, and how to ask for them elsewhere; None if that is clear."""
    said = []
    for column in question.columns:
        meaning = column.meaning(unit)
        if not meaning:
            continue
        command = ["In the terminal: ", element("code", _command(column.metric, unit))] if column.metric else []
        said.append(element("div", element("dt", column.label), element("dd", f"{meaning} ", command)))
    return element("dl", said) if said else None


def _command(metric: str, unit: str) -> str:
    """The command that asks for a metric, of one currency at a time if it has to be."""
    shown = shown_metric(metric, unit)
    if not shown.unit.is_own_currency:
        return f"totes metric {shown.name}"
    return f"totes metric {shown.name} {'--by currency' if unit == 'GBP' else f'--where currency={unit}'}"


def _section(question: Question, data: PageData, addresses: Addresses) -> Html:
    table, unit = data.tables[question.name], question.unit(data.filters)
    heading = element("h2", question.title, id=f"{question.name}-title")
    note = [element("p", question.note, class_="note") if question.note else None, *_caveats(question, data, table)]
    statement = _details("SQL", element("pre", element("code", table.statement), tabindex="0"))
    if not table.rows:
        content: list[Html | None] = [
            element("p", question.empty, class_="empty"),
            element("div", statement, class_="more"),
        ]
    else:
        count = len(table.rows)
        shown = _table(question, table, unit)
        label = f"Table ({count:,} {'row' if count == 1 else 'rows'})"
        download = element(
            "a",
            "Download CSV",
            element("span", f" of: {question.title}", class_="only-read"),
            href=addresses.download(data.page.name, question.name),
            download=f"totes-{data.page.name}-{question.name}.csv",
            class_="download",
        )
        meanings = _meanings(question, unit)
        about = _details("Meanings", meanings) if meanings else None
        table_shown = _details(label, shown, is_open=question.draw is None)
        content = [
            _chart(question, table, unit),
            element("div", table_shown, statement, about, download, class_="more"),
        ]
    return element(
        "section", heading, note, content, class_="question", id=question.name, aria_labelledby=f"{question.name}-title"
    )


def _caveats(question: Question, data: PageData, table: Table) -> list[Html]:
    """What a reader of this answer has to know, beyond what holds for the whole page."""
    said = []
    if question.conditions is not None:
        ignored = [name for name in data.filters.given() if name in data.page.conditions.keys() - question.conditions]
        if ignored:
            said.append(element("p", f"This answer is not filtered by {in_words(ignored)}.", class_="notice note"))
    if question.without_rate and (lost := sum(row["unconverted"] or 0 for row in table.rows)):
        said.append(element("p", f"{question.without_rate}: {lost:,}.", class_="notice look"))
    return said


def _chart(question: Question, table: Table, unit: str) -> Html | None:
    if question.draw is None:
        return None
    chart = question.draw(table.rows, unit)
    if chart is None:
        return element("p", f"There is nothing to draw: no row has an amount in {unit}.", class_="empty")
    spec = chart.to_dict()
    id_ = f"chart-{question.name}"
    place = element(
        "div", class_="chart", id=id_, role="img", aria_label=f"Chart: {question.title} The table below has its values."
    )
    return joined([place, embedded_json(spec, f"{id_}-spec")])


def _details(summary: str, content: Html, *, is_open: bool = False) -> Html:
    return element("details", element("summary", summary), content, open=is_open)


def _table(question: Question, table: Table, unit: str) -> Html:
    columns = question.columns
    head = [element("th", _heading(column, unit), scope="col", class_=_class(column)) for column in columns]
    rows: Sequence[Any] = table.rows[:_ROWS_SHOWN]
    body = [
        element(
            "tr", [element("td", written(row[column.name], column.kind), class_=_class(column)) for column in columns]
        )
        for row in rows
    ]
    more = len(table.rows) - len(rows)
    rest = element("p", f"{more:,} more rows are in the download.", class_="note") if more else None
    whole = element(
        "table",
        element("caption", question.title, class_="only-read"),
        element("thead", element("tr", head)),
        element("tbody", body),
    )
    return joined(
        [
            element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {question.title}"),
            rest,
        ]
    )


def _heading(column: Column, unit: str) -> str:
    return f"{column.label}, {unit}" if column.kind is Kind.MONEY else column.label


def _class(column: Column) -> str | None:
    return "number" if column.kind in NUMERIC else None


def moment_element(value: datetime) -> Html:
    """A moment, which the browser completes with its age."""
    return element("time", moment(value), datetime=value.isoformat())
