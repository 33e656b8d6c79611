"""An S3 server, and a graph of assets to run."""

from collections.abc import Callable, Iterator

import pytest

from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster_tests.companies import Companies, Originals, databases
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of
from totes_dagster_tests.object_store import bucket, object_store

__all__ = ["bucket", "object_store"]


@pytest.fixture
def enforced() -> bool:
    """Whether the source enforces all references; `of_the_older_source` says that it does not."""
    return True


@pytest.fixture
def graph(companies: Companies, enforced: bool) -> Graph:
    """A graph for a company at which something happened a moment ago; nothing was refreshed yet."""
    return graph_of(companies.unseen(company_of_a_graph(enforced=enforced, at_work=True)))


@pytest.fixture
def refreshed_graph(companies: Companies, enforced: bool) -> Graph:
    """The same after a first refresh, which Dagster knows nothing of."""
    return graph_of(companies.seen(company_of_a_graph(enforced=enforced, at_work=True)))


@pytest.fixture(scope="module")
def shared_graph(
    postgres: EmbeddedPostgres,
    originals: Callable[[EmbeddedPostgres], Originals],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Graph]:
    """A graph as above, on which a module does once what its tests then look at; nothing was refreshed yet."""
    with databases(postgres) as database:
        companies = Companies(originals(postgres), database, tmp_path_factory.mktemp("shared_graph"))
        yield graph_of(companies.unseen(company_of_a_graph(at_work=True)))
