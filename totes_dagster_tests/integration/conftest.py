"""An S3 server, and a graph of assets to run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from totes_dagster_tests.integration.graph import Graph, new_graph
from totes_dagster_tests.object_store import bucket, object_store

__all__ = ["bucket", "object_store"]

EVENTS = ("sales_order", "purchase_order", "payment")


@pytest.fixture
def enforced() -> bool:
    """Whether the source enforces all references; `of_the_older_source` says that it does not."""
    return True


@pytest.fixture
def graph(database: Callable[..., str], tmp_path: Path, enforced: bool) -> Graph:
    """A graph for a company at which something happened a moment ago."""
    graph = new_graph(database, tmp_path, enforced=enforced)
    now = "now() at time zone 'UTC'"
    graph.change(*(f"update {name} set last_updated = {now} where {name}_id = 1" for name in EVENTS))
    return graph
