"""All metrics, by name."""

from collections.abc import Mapping

from totes_dagster.metrics.deliveries import DELIVERIES
from totes_dagster.metrics.metric import Metric
from totes_dagster.metrics.payments import PAYMENTS
from totes_dagster.metrics.purchases import PURCHASES
from totes_dagster.metrics.sales import SALES

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (*SALES, *DELIVERIES, *PURCHASES, *PAYMENTS)}
"""The metrics by name."""
