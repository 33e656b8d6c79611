"""SQL that answers a question: one row per slice, with the slice's members, the number, and what is not in it."""

from collections.abc import Iterator, Mapping

from psycopg import sql
from psycopg.sql import SQL, Identifier, Literal

from totes_dagster.metrics.dimensions import Dimension
from totes_dagster.metrics.members import Value
from totes_dagster.metrics.metric import Metric
from totes_dagster.metrics.question import Question

UNCONVERTED = "unconverted"
"""The column with the number of a slice's rows that are not in its number, because there is no rate for their day."""


def statement_of(question: Question, schema: str) -> sql.Composed:
    """The statement that answers a question.

    Its columns are those of the dimensions, in their order, the metric's, and `UNCONVERTED` if the metric has it.

    Args:
        question: the question.
        schema: the warehouse's schema.
    """
    metric = question.metric
    split = {name: value for dimension in question.by for name, value in _columns(dimension, metric).items()}
    numbers = {metric.name: metric.value, **({UNCONVERTED: metric.unconverted} if metric.unconverted else {})}
    statement = SQL("select {} from {} as {}{}{}").format(
        SQL(", ").join(SQL("{} as {}").format(value, Identifier(name)) for name, value in (split | numbers).items()),
        Identifier(schema, metric.rows.relation.view),
        Identifier(metric.rows.relation.view),
        SQL("").join(_joins(question, schema)),
        _conditions(question),
    )
    if not split:
        return statement
    return SQL("{} group by {} order by {}").format(
        statement,
        SQL(", ").join(split.values()),
        SQL(", ").join(order for dimension in question.by for order in _order(dimension, metric)),
    )


def _columns(dimension: Dimension, metric: Metric) -> Mapping[str, sql.Composable]:
    own = metric.rows.relation.own.get(dimension.name)
    if own is not None:
        return {dimension.name: own}
    return {name: _of(value, metric) for name, value in dimension.columns.items()}


def _order(dimension: Dimension, metric: Metric) -> Iterator[sql.Composable]:
    *key, value = _columns(dimension, metric).values()
    yield value if dimension.order is None else _of(dimension.order, metric)
    yield from key


def _joins(question: Question, schema: str) -> Iterator[sql.Composed]:
    """Joins that add columns and never remove or repeat a row, so that slices add up to the whole."""
    relation = question.metric.rows.relation
    used = (*question.by, *(dimension for dimension, _ in question.where))
    tables = [each.join for each in used if each.join is not None and each.name not in relation.own]
    for table in dict.fromkeys(tables):
        yield SQL(" left join {} as {} on {}").format(
            Identifier(schema, table), Identifier(table), relation.joins[table]
        )


def _conditions(question: Question) -> sql.Composable:
    metric = question.metric
    conditions: list[sql.Composable] = [metric.condition] if metric.condition is not None else []
    if question.since is not None:
        conditions.append(SQL("{} >= {}").format(metric.rows.day, Literal(question.since)))
    if question.until is not None:
        conditions.append(SQL("{} <= {}").format(metric.rows.day, Literal(question.until)))
    for dimension, values in question.where:
        conditions.append(_is_one_of(_columns(dimension, metric), values))
    if not conditions:
        return SQL("")
    return SQL(" where {}").format(SQL(" and ").join(conditions))


def _is_one_of(columns: Mapping[str, sql.Composable], values: tuple[Value, ...]) -> sql.Composed:
    """Whether a row belongs to one of these members: numbers are compared with the key, if there is one."""
    *key, value = columns.values()
    alternatives = []
    for given in values:
        column = key[0] if key and isinstance(given, int) else value
        alternatives.append(SQL("{} is not distinct from {}").format(column, Literal(given)))
    return SQL("({})").format(SQL(" or ").join(alternatives))


def _of(expression: sql.SQL, metric: Metric) -> sql.Composed:
    time = metric.rows.relation.time or SQL("null")
    return expression.format(view=Identifier(metric.rows.relation.view), day=metric.rows.day, time=time)
