"""A company whose changes are measured."""

import pytest

from totes_dagster.config.platform import Platform
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of


@pytest.fixture
def graph(companies: Companies) -> Graph:
    """A company that the warehouse shows."""
    return graph_of(companies.seen(company_of_a_graph()))


@pytest.fixture
def platform(graph: Graph) -> Platform:
    return graph.platform
