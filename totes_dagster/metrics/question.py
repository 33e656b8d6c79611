"""Questions: a metric, how it is split, and which rows count. What cannot be answered is refused here."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from totes_dagster.errors import (
    CurrenciesMixedError,
    DimensionRefusedError,
    DimensionValueError,
    MetricUnknownError,
)
from totes_dagster.metrics.dimensions import COUNTRIES, DIMENSIONS, Dimension
from totes_dagster.metrics.members import Value, member_of
from totes_dagster.metrics.metric import Metric
from totes_dagster.metrics.registry import METRICS

Where = Mapping[str, Value | Collection[Value]]
"""For dimensions by name, the member, or the members, whose rows count."""


@dataclass(frozen=True)
class Question:
    """A question that has an answer.

    Attributes:
        metric: what is asked for.
        by: what it is split by.
        since: the first day that counts; None for no limit.
        until: the last day that counts; None for no limit.
        where: for each dimension, the members whose rows count, as values of its type or of its key's.
    """

    metric: Metric
    by: tuple[Dimension, ...]
    since: date | None
    until: date | None
    where: tuple[tuple[Dimension, tuple[Value, ...]], ...]


def question(
    metric: str,
    by: Iterable[str] = (),
    since: date | None = None,
    until: date | None = None,
    where: Where | None = None,
) -> Question:
    """Check a question.

    Raises:
        MetricUnknownError: there is no such metric.
        DimensionRefusedError: the metric may not be split by a dimension, or restricted to members of it.
        DimensionValueError: a value cannot be a member of its dimension, or the last day is before the first.
        CurrenciesMixedError: amounts in several currencies would be added up.
    """
    if metric not in METRICS:
        raise MetricUnknownError(f"There is no metric {metric}. The metrics are {', '.join(METRICS)}.", metric=metric)
    asked = METRICS[metric]
    split = tuple(_dimension(asked, name) for name in dict.fromkeys(by))
    restricted = [(_dimension(asked, name), given) for name, given in (where or {}).items()]
    members = tuple((dimension, _members(dimension, given)) for dimension, given in restricted)
    if since and until and since > until:
        raise DimensionValueError(f"The first day, {since}, is after the last day, {until}. Exchange them.")
    one_at_a_time = [*split, *(dimension for dimension, values in members if len(set(values)) == 1)]
    if asked.unit.is_own_currency and DIMENSIONS["currency"] not in one_at_a_time:
        converted = asked.name.removesuffix("_in_own_currency")
        raise CurrenciesMixedError(
            f"{asked.name} has amounts in several currencies, which cannot be added up. Split it by currency, restrict "
            f"it to one currency, or ask for {converted}, which is in pounds sterling.",
            metric=metric,
        )
    return Question(asked, split, since, until, members)


def _dimension(metric: Metric, name: str) -> Dimension:
    if name in metric.splits:
        return DIMENSIONS[name]
    allowed = ", ".join(metric.splits)
    countries = [country for country in COUNTRIES if country in metric.splits]
    if name == "country" and countries:
        meanings = " or ".join(f"{country} ({DIMENSIONS[country].meaning})" for country in countries)
        reason = f"A country can be that of several things. Say which: {meanings}."
    elif name in DIMENSIONS:
        reason = f"{metric.name} may not be split by {name} or restricted by it."
    else:
        reason = f"There is no dimension {name}."
    raise DimensionRefusedError(
        f"{reason} {metric.name} may be split by {allowed}.", metric=metric.name, dimension=name
    )


def _members(dimension: Dimension, given: Value | Collection[Value]) -> tuple[Value, ...]:
    values = [given] if isinstance(given, str) or not isinstance(given, Collection) else given
    if not values:
        raise DimensionValueError(f"Give at least one member of {dimension.name}, or leave it out.")
    return tuple(member_of(dimension, value) for value in values)
