"""A graph of assets to run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from totes_dagster_tests.assets.graph import Graph, new_graph


@pytest.fixture
def graph(database: Callable[..., str], tmp_path: Path) -> Graph:
    return new_graph(database, tmp_path)
