"""A graph of assets to run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from totes_dagster_tests.assets.graph import Graph, new_graph

EVENTS = ("sales_order", "purchase_order", "payment")


@pytest.fixture
def graph(database: Callable[..., str], tmp_path: Path) -> Graph:
    """A graph for a company at which something happened a moment ago."""
    graph = new_graph(database, tmp_path)
    now = "now() at time zone 'UTC'"
    graph.change(*(f"update {name} set last_updated = {now} where {name}_id = 1" for name in EVENTS))
    return graph
