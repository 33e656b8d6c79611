"""The declarations of metrics: complete, in one language, and without what would make a number wrong."""

import re

import pytest

from totes_dagster.metrics.dimensions import COUNTRIES, DIMENSIONS, Dimension
from totes_dagster.metrics.metric import Metric, Unit
from totes_dagster.metrics.registry import METRICS
from totes_dagster.schema.views import VIEWS

ALL = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
RATIOS = {Unit.GBP_A_BAG, Unit.OWN_CURRENCY_A_BAG, Unit.DAYS, Unit.SHARE, Unit.CUSTOMERS}
"""What of two groups cannot be added up."""


@ALL
def test_a_metric_says_what_it_is_in_one_sentence(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", metric.meaning), metric.meaning
    assert re.fullmatch(r"[a-z][a-z0-9_]+", metric.name)
    assert metric.name not in DIMENSIONS or metric.name == "unconverted"


@ALL
def test_every_split_can_be_joined_without_repeating_a_row(metric: Metric) -> None:
    assert len(set(metric.splits)) == len(metric.splits)
    for split in metric.splits:
        dimension = DIMENSIONS[split]
        own = metric.rows.relation.own.get(split)
        if own is None and dimension.join is not None:
            # By the key of the table, so that at most one of its rows is found.
            key = dimension.join.removeprefix("dim_") + "_id"
            assert f"{dimension.join}.{key} = " in metric.rows.relation.joins[dimension.join].as_string(None)
        if split == "hour":
            assert metric.rows.relation.time is not None


@ALL
def test_the_views_of_metrics_are_declared(metric: Metric) -> None:
    view = VIEWS[metric.rows.relation.view]
    statement = " ".join(
        part.as_string(None) for part in (metric.value, metric.rows.day, metric.condition, metric.unconverted) if part
    )
    named = re.findall(rf"\b{view.name}\.(\w+)", statement)
    assert named
    assert set(named) <= set(view.columns)


@ALL
def test_ratios_and_percentiles_are_not_additive(metric: Metric) -> None:
    assert metric.additive is (metric.unit not in RATIOS)


@ALL
def test_what_depends_on_rates_counts_what_has_none(metric: Metric) -> None:
    statement = metric.value.as_string(None)
    depends = bool(re.search(r"\w+_gbp", statement)) and metric.name != "sales_target"
    assert (metric.unconverted is not None) == depends


@ALL
def test_amounts_in_own_currency_have_a_counterpart_in_pounds(metric: Metric) -> None:
    assert metric.unit.is_own_currency == metric.name.endswith("_in_own_currency")
    if metric.unit.is_own_currency:
        counterpart = METRICS[metric.name.removesuffix("_in_own_currency")]
        assert counterpart.unit == metric.unit.replace(Unit.OWN_CURRENCY, Unit.GBP)
        assert counterpart.splits == metric.splits
        assert "currency" in metric.splits


@pytest.mark.parametrize("dimension", DIMENSIONS.values(), ids=DIMENSIONS)
def test_every_dimension_is_used_and_named_after_what_it_is(dimension: Dimension) -> None:
    assert any(dimension.name in metric.splits for metric in METRICS.values())
    assert "country" not in dimension.name
    assert ("country" in dimension.meaning) == (dimension.name in COUNTRIES)
