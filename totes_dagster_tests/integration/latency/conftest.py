"""A company whose changes are measured."""

from collections.abc import Callable
from pathlib import Path

import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.pipeline import refresh
from totes_dagster_tests.integration.graph import Graph, new_graph


@pytest.fixture
def graph(database: Callable[..., str], tmp_path: Path) -> Graph:
    """A company that the warehouse shows."""
    graph = new_graph(database, tmp_path)
    refresh(graph.platform)
    return graph


@pytest.fixture
def platform(graph: Graph) -> Platform:
    return graph.platform
