"""An S3 server, and a graph of assets to run."""

import pytest

from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of
from totes_dagster_tests.object_store import bucket, object_store

__all__ = ["bucket", "object_store"]

EVENTS = ("sales_order", "purchase_order", "payment")


@pytest.fixture
def enforced() -> bool:
    """Whether the source enforces all references; `of_the_older_source` says that it does not."""
    return True


@pytest.fixture
def graph(companies: Companies, enforced: bool) -> Graph:
    """A graph for a company at which something happened a moment ago."""
    graph = graph_of(companies.unseen(company_of_a_graph(enforced=enforced)))
    now = "now() at time zone 'UTC'"
    graph.change(*(f"update {name} set last_updated = {now} where {name}_id = 1" for name in EVENTS))
    return graph
