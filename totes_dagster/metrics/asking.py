"""Answers: the numbers of a metric, with all that is needed to judge them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import pq, sql
from psycopg.postgres import types
from psycopg.rows import tuple_row

from totes_dagster.errors import TableMissingError, WarehouseBehindError
from totes_dagster.metrics.members import Value
from totes_dagster.metrics.metric import Metric, Unit
from totes_dagster.metrics.question import Question, Where, question
from totes_dagster.metrics.statement import statement_of
from totes_dagster.postgres.named_errors import named_error
from totes_dagster.postgres.transactions import REPEATABLE_READ, transaction


class ColumnType(StrEnum):
    """Type of the values of an answer's column, and what it is in Python."""

    TEXT = "text"
    """str"""
    INTEGER = "integer"
    """int"""
    NUMBER = "number"
    """decimal.Decimal"""
    DATE = "date"
    """datetime.date"""


@dataclass(frozen=True)
class AnswerColumn:
    """A column of an answer.

    Attributes:
        name: its name.
        type: type of its values, any of which may be None.
        dimension: the dimension that it belongs to; None for the metric and for the number of unconverted rows.
    """

    name: str
    type: ColumnType
    dimension: str | None = None


@dataclass(frozen=True)
class Answer:
    """The numbers of a metric.

    Attributes:
        metric: the metric.
        by: names of the dimensions that it is split by.
        columns: the columns: those of the dimensions in the order asked for, the metric's, and `unconverted` if the
            metric depends on exchange rates.
        rows: one per slice, in the order of the dimensions; exactly one if the metric is not split. A number is None if
            no row of the slice has one: none is ever taken for 0.
        unit: what the numbers count: `GBP`, `days`, or the code of the one currency that was asked for.
        unconverted: how many orders or payments are not in the numbers because there is no rate for their day; None
            if the metric does not depend on rates.
        sql: the statement that was run.
        as_of: when the snapshot of the newest batch was taken; None before the first.
        batch: number of the newest batch; None before the first.
    """

    metric: Metric
    by: tuple[str, ...]
    columns: tuple[AnswerColumn, ...]
    rows: list[tuple[Any, ...]]
    unit: str
    unconverted: int | None
    sql: str
    as_of: datetime | None
    batch: int | None


def ask(  # noqa: PLR0913 - all but two are the question
    connection: psycopg.Connection[Any],
    schema: str,
    metric: str,
    *,
    by: Iterable[str] = (),
    since: date | None = None,
    until: date | None = None,
    where: Where | None = None,
) -> Answer:
    """Ask the warehouse for a metric.

    The numbers and the moment they are of agree: on an idle connection in autocommit mode both are read in one
    snapshot. In a transaction of the caller's, let that be one of isolation level repeatable read.

    Args:
        connection: to the warehouse.
        schema: the warehouse's schema.
        metric: name of the metric.
        by: names of the dimensions to split it by.
        since: the first day that counts, of the days that the metric declares; None for no limit.
        until: the last day that counts; None for no limit.
        where: the members whose rows count, by dimension: one, or several. Dates and numbers may be texts. A number
            stands for the key of a dimension that has one: `{"customer": 17}`, `{"currency": ["USD", "EUR"]}`.

    Raises:
        MetricUnknownError: there is no such metric.
        DimensionRefusedError: the metric may not be split by a dimension, or restricted to members of it.
        DimensionValueError: a value cannot be a member of its dimension, or `until` is before `since`.
        CurrenciesMixedError: amounts in several currencies would be added up.
        WarehouseBehindError: the schema does not have the views that metrics are computed from.
        DatabaseError: the warehouse cannot be reached, or refuses.
    """
    asked = question(metric, by, since, until, where)
    is_idle = connection.info.transaction_status is pq.TransactionStatus.IDLE
    try:
        if connection.autocommit and is_idle:
            with transaction(connection, isolation=REPEATABLE_READ, read_only=True):
                return _answer(connection, schema, asked)
        return _answer(connection, schema, asked)
    except (TableMissingError, psycopg.errors.UndefinedTable) as error:
        raise WarehouseBehindError(
            f"The warehouse has no views for metrics in its schema {schema}. Run totes migrate, which creates them; if "
            "that has been done, check WAREHOUSE_SCHEMA and the URL of the warehouse."
        ) from error
    except psycopg.Error as error:
        raise named_error("warehouse", f"the metric {metric}", error) from error


def _answer(connection: psycopg.Connection[Any], schema: str, asked: Question) -> Answer:
    metric = asked.metric
    statement: sql.Composed = statement_of(asked, schema)
    with connection.cursor(row_factory=tuple_row) as cursor:
        ((as_of, batch),) = cursor.execute(
            sql.SQL("select moment, batch from {}").format(sql.Identifier(schema, "as_of"))
        ).fetchall()
        rows = cursor.execute(statement).fetchall()
        described = cursor.description or []
    belong_to = {name: dimension.name for dimension in asked.by for name in dimension.columns}
    columns = tuple(
        AnswerColumn(column.name, _type_of(column.type_code), belong_to.get(column.name)) for column in described
    )
    return Answer(
        metric,
        tuple(dimension.name for dimension in asked.by),
        columns,
        rows,
        _unit(asked),
        None if metric.unconverted is None else sum(row[-1] for row in rows),
        statement.as_string(connection),
        as_of,
        batch,
    )


def _unit(asked: Question) -> str:
    """The unit of the metric; where it is the currency of each row, and they are restricted to one, that one."""
    unit = str(asked.metric.unit)
    if asked.metric.unit.is_own_currency:
        currencies: set[Value] = {
            value for dimension, values in asked.where if dimension.name == "currency" for value in values
        }
        if len(currencies) == 1:
            return unit.replace(Unit.OWN_CURRENCY, str(currencies.pop()))
    return unit


_TYPES = {
    types["date"].oid: ColumnType.DATE,
    types["int4"].oid: ColumnType.INTEGER,
    types["int8"].oid: ColumnType.INTEGER,
    types["numeric"].oid: ColumnType.NUMBER,
}


def _type_of(oid: int) -> ColumnType:
    return _TYPES.get(oid, ColumnType.TEXT)
