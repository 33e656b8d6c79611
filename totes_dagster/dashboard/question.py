"""How a page of the dashboard is declared: its questions, each with its SQL, its table and its chart."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from textwrap import dedent, indent
from typing import Any

import altair as alt
from psycopg import sql

from totes_dagster.dashboard.filters import Filters

_NOTHING, _NEW_LINE = sql.SQL(""), sql.SQL("\n")
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
    """A whole number of things, or of days."""
    DECIMAL = "decimal"
    """A number with two decimal places, or an amount in the currency that the column's label names."""
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
        name: its name in the result. `{unit}` stands for the currency's code in lower case.
        label: its heading. `{unit}` stands for the currency's code.
        kind: what its values are.
        metric: name of the declared metric that its value is; None if it is none.
    """

    name: str
    label: str
    kind: Kind = Kind.TEXT
    metric: str | None = None


@dataclass(frozen=True)
class Question:
    """A question, and the query that answers it.

    Attributes:
        name: its name in addresses.
        title: the question.
        statement: a query that returns `columns`, in which `{where}` stands for the page's filters, `{money}` for the
            amount of a row, and `{unit}` for its currency's code in lower case. It may use the page's `base`.
        columns: its result's columns, in their order.
        draw: draws its result; None if only the table is shown.
        note: how the answer is to be understood, in a sentence or two.
        empty: what is said if there are no rows.
        always_gbp: whether its amounts are in pounds also if the page is filtered by currency.
    """

    name: str
    title: str
    statement: str
    columns: tuple[Column, ...]
    draw: Drawing | None = None
    note: str = ""
    empty: str = "No rows match."
    always_gbp: bool = False

    def unit(self, filters: Filters) -> str:
        """The currency that its amounts are in."""
        return "GBP" if self.always_gbp else filters.unit

    def columns_in(self, unit: str) -> list[Column]:
        """Its columns, with the currency's code in their names and labels."""
        return [
            replace(column, name=column.name.format(unit=unit.lower()), label=column.label.format(unit=unit))
            for column in self.columns
        ]


@dataclass(frozen=True)
class Base:
    """The rows that the questions of a page are asked about: a query that is run once for all of them.

    Attributes:
        name: its name in the questions' statements.
        statement: the query, in which `{where}` stands for the page's filters.
    """

    name: str
    statement: str


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
    conditions: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    own_money: str = "amount"
    gbp_money: str = "amount_gbp"

    def statement(self, filters: Filters) -> sql.Composed:
        """A query for the answers to all its questions: their names, and their rows as an array in JSON."""
        answers = [
            sql.SQL("select {}, coalesce(json_agg(answer), '[]')::text from ({}) as answer").format(
                sql.Literal(question.name), self._body(question, filters)
            )
            for question in (self.headline, *self.questions)
        ]
        together = sql.SQL("\nunion all\n").join(answers)
        return sql.SQL("{}{}").format(self._with(filters, sql.SQL("materialized ")), together)

    def shown_statement(self, question: Question, filters: Filters) -> sql.Composed:
        """The query of one question, as it can be run alone. Its result is that of `statement`."""
        if self.base is None or not re.search(rf"\b{self.base.name}\b", question.statement):
            return self._body(question, filters)
        own = dedent(question.statement).strip()
        if not own.startswith(_WITH):
            return sql.SQL("{}{}").format(self._with(filters), self._body(question, filters))
        rest = replace(question, statement=own.removeprefix(_WITH))
        return sql.SQL("{},\n{}").format(self._with(filters, end=_NOTHING), self._body(rest, filters))

    def _with(self, filters: Filters, materialized: sql.SQL = _NOTHING, end: sql.SQL = _NEW_LINE) -> sql.Composable:
        if self.base is None:
            return _NOTHING
        rows = sql.SQL(indent(dedent(self.base.statement).strip(), "    ")).format(where=self._where(filters))
        return sql.SQL("with {} as {}(\n{}){}").format(sql.SQL(self.base.name), materialized, rows, end)

    def _body(self, question: Question, filters: Filters) -> sql.Composed:
        unit = question.unit(filters)
        money = self.own_money if unit == filters.currency else self.gbp_money
        return sql.SQL(dedent(question.statement).strip()).format(
            where=self._where(filters), money=sql.SQL(money), unit=sql.SQL(unit.lower())
        )

    def _where(self, filters: Filters) -> sql.Composable:
        conditions = [
            sql.SQL(condition).format(value=sql.Literal(value))
            for name, condition in self.conditions.items()
            if (value := getattr(filters, name)) is not None
        ]
        return sql.SQL("\n  and ").join(conditions) if conditions else sql.SQL("true")
