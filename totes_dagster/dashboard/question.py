"""How a page of the dashboard is declared: its questions, each with its SQL, its table and its chart."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from textwrap import dedent, indent
from typing import Any

import altair as alt
from psycopg import sql

from totes_dagster.dashboard.filters import Filters
from totes_dagster.metrics.metric import Metric
from totes_dagster.metrics.registry import METRICS

_AMOUNT, _AMOUNT_GBP = sql.SQL("amount"), sql.SQL("amount_gbp")
_WITH = "with "

Row = Mapping[str, Any]
"""A row of a result by its columns' names."""

Drawing = Callable[[Sequence[Row], str], alt.TopLevelMixin | None]
"""Draws rows, of which there is at least one; None if none of them has a value. The second argument is the currency
that amounts are in."""


class Kind(StrEnum):
    """What the values of a column are, which decides how they are written."""

    TEXT = "text"
    NUMBER = "number"
    """A whole number of things."""
    DAYS = "days"
    """A number of days, to a tenth."""
    DECIMAL = "decimal"
    """A number with two decimal places, such as an amount in its own currency."""
    MONEY = "money"
    """An amount in the currency of the page, which its heading names."""
    RATE = "rate"
    """An exact number, with all its digits."""
    PERCENT = "percent"
    """A share from 0 to 100, with one decimal place."""
    IDENTIFIER = "identifier"
    """A number that names something, written without thousands separators."""
    DAY = "day"
    MONTH = "month"
    TIME = "time"
    """A moment, UTC."""
    SECONDS = "seconds"


@dataclass(frozen=True)
class Column:
    """A column of a question's result.

    Attributes:
        name: its name in the result.
        label: its heading.
        kind: what its values are.
        metric: name of the declared metric that its value is; None if it is none. The question's statement takes its
            SQL from the declaration. A column of percentages has a hundred times the metric, which is a share.
        about: what it is, in a sentence, where that is more than its label says and there is no metric.
    """

    name: str
    label: str
    kind: Kind = Kind.TEXT
    metric: str | None = None
    about: str = ""

    def meaning(self, unit: str) -> str:
        """What it is, in a sentence, on a page whose amounts are in a currency; empty if its label says it."""
        return shown_metric(self.metric, unit).meaning if self.metric else self.about


@dataclass(frozen=True)
class Question:
    """A question, and the query that answers it.

    Attributes:
        name: its name in addresses.
        title: the question.
        statement: a query that returns `columns`, in which `{where}` stands for the filters and `{money}` for the
            amount of a row in the page's currency. It may use the page's `base`. The name of a metric in braces stands
            for its SQL, `{orders}` for that of the number of orders, `{orders.rows}` for which rows it counts, and
            `{net_sales.unconverted}` for the number of rows that have no amount. It refers to these rows by the name of
            the metric's view, so the base is to be given that name: `from orders as sale`.
        columns: its result's columns, in their order.
        draw: draws its result; None if only the table is shown.
        note: how the answer is to be understood, in a sentence or two.
        empty: what is said if there are no rows.
        always_gbp: whether its amounts are in pounds also if the page is filtered by currency.
        conditions: the condition of each filter that it has, if these are not the page's; see `Page`.
        without_rate: which rows are in no amount of it because a rate is missing, as a heading for their number. They
            are counted in its column `unconverted`.
    """

    name: str
    title: str
    statement: sql.SQL
    columns: tuple[Column, ...]
    draw: Drawing | None = None
    note: str = ""
    empty: str = "No rows match."
    always_gbp: bool = False
    conditions: Mapping[str, sql.SQL] | None = None
    without_rate: str = ""

    def unit(self, filters: Filters) -> str:
        """The currency that its amounts are in."""
        return "GBP" if self.always_gbp else filters.unit


def shown_metric(name: str, unit: str) -> Metric:
    """The metric that a page shows under a name: where its amounts are not in pounds, that in its own currency.

    Args:
        name: the metric's name in pounds.
        unit: the currency of the page's amounts.
    """
    own = METRICS.get(f"{name}_in_own_currency")
    return own if own is not None and unit != "GBP" else METRICS[name]


def _metrics(unit: str) -> dict[str, sql.Composable]:
    """What the names of metrics stand for in statements."""
    meant: dict[str, sql.Composable] = {}
    for name in METRICS:
        metric = shown_metric(name, unit)
        meant[name] = metric.value
        meant[f"{name}.rows"] = metric.condition or sql.SQL("true")
        meant[f"{name}.unconverted"] = metric.unconverted or sql.SQL("0")
    return meant


@dataclass(frozen=True)
class Base:
    """The rows that the questions of a page are asked about: a query that is run once for all of them.

    Attributes:
        name: its name in the questions' statements.
        statement: the query, in which `{where}` stands for the page's filters.
    """

    name: str
    statement: sql.SQL


@dataclass(frozen=True)
class Page:
    """A page of questions that share filters.

    Attributes:
        name: its name in addresses.
        title: its name in the navigation.
        lead: what it is about, in a sentence.
        headline: a question with one row, whose columns are shown as figures above the others. A column `unconverted`
            is the number of rows without an amount in the page's currency, which is said in words.
        questions: the questions, in the order in which they are shown.
        base: the rows that most of its questions are about; None if they have none in common.
        conditions: the condition of each filter that the page has, in which `{value}` stands for the filter's value.
        labels: what a filter means on this page, where that is not the same on all of them.
        own_money: the amount of a row of the base in its own currency.
        gbp_money: the same in pounds.
    """

    name: str
    title: str
    lead: str
    headline: Question
    questions: tuple[Question, ...]
    base: Base | None = None
    conditions: Mapping[str, sql.SQL] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    own_money: sql.SQL = field(default_factory=lambda: _AMOUNT)
    gbp_money: sql.SQL = field(default_factory=lambda: _AMOUNT_GBP)

    def statement(self, filters: Filters) -> sql.Composed:
        """A query for the answers to all its questions: their names, and their rows as an array in JSON."""
        answers = [
            sql.SQL("select {}, coalesce(json_agg(answer), '[]')::text from ({}) as answer").format(
                sql.Literal(question.name), self._body(question, filters)
            )
            for question in (self.headline, *self.questions)
        ]
        together = sql.SQL("\nunion all\n").join(answers)
        if self.base is None:
            return together
        return sql.SQL("with {} as materialized ({})\n{}").format(
            sql.Identifier(self.base.name), self._rows(self.base, filters), together
        )

    def shown_statement(self, question: Question, filters: Filters) -> str:
        """The query of one question, as it can be run alone. Its result is that of `statement`."""
        body = dedent(self._body(question, filters).as_string()).strip()
        if self.base is None or not re.search(rf"\b(from|join) {self.base.name}\b", body):
            return body
        rows = indent(dedent(self._rows(self.base, filters).as_string()).strip(), "    ")
        beginning = f"with {self.base.name} as (\n{rows})"
        return f"{beginning},\n{body.removeprefix(_WITH)}" if body.startswith(_WITH) else f"{beginning}\n{body}"

    def _body(self, question: Question, filters: Filters) -> sql.Composed:
        unit = question.unit(filters)
        money = self.own_money if unit == filters.currency else self.gbp_money
        where = _where(self.conditions if question.conditions is None else question.conditions, filters)
        return question.statement.format(where=where, money=money, **_metrics(unit))

    def _rows(self, base: Base, filters: Filters) -> sql.Composed:
        return base.statement.format(where=_where(self.conditions, filters))


def _where(conditions: Mapping[str, sql.SQL], filters: Filters) -> sql.Composable:
    met = [
        condition.format(value=sql.Literal(value))
        for name, condition in conditions.items()
        if (value := getattr(filters, name)) is not None
    ]
    return sql.SQL(" and ").join(met) if met else sql.SQL("true")
