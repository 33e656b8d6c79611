"""Real runs of the real graph that fail and recover, and what arrives of them at the topic."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from dagster import Definitions

from totes_dagster.definitions import build_defs
from totes_dagster.orchestration.alerts import sensor
from totes_dagster.orchestration.resources.databases import TotesysResource
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.companies import Companies
from totes_dagster_tests.integration.graph import Graph, company_of_a_graph, graph_of
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.tcp_postgres import TcpPostgres
from totes_dagster_tests.watcher import UI, Watcher

pytestmark = pytest.mark.slow

WRONG = "not-the-pässword"


@pytest.fixture
def graph(companies: Companies) -> Graph:
    return graph_of(companies.unseen(company_of_a_graph()))


@pytest.fixture
def watcher(graph: Graph, mailbox: Mailbox) -> Watcher:
    watcher = Watcher(graph.instance, mailbox.topic)
    watcher.tick()
    return watcher


def with_a_wrong_password(graph: Graph, server: TcpPostgres) -> Definitions:
    url = f"postgresql://reader:{WRONG}@127.0.0.1:{server.port}/postgres"
    return build_defs({**graph.resources, "totesys": TotesysResource(url=url)})


def test_a_wrong_password_is_told_of_and_that_it_was_put_right(
    graph: Graph, watcher: Watcher, mailbox: Mailbox, server: TcpPostgres
) -> None:
    failing = replace(graph, definitions=with_a_wrong_password(graph, server))
    failed = failing.run(raise_on_error=False).run_id
    failing.run(raise_on_error=False)
    watcher.tick()
    (opened,) = mailbox.arrived()
    assert opened.subject.startswith("totes: refresh failed: LoginRefusedError: Cannot connect to totesys: ")
    for words in (
        "What:  the job refresh, at its step ingest\n",
        'password authentication failed for user "reader"',
        "Check the user, the password and the database in TOTESYS_URL or in its secret.\n",
        f"See:   {UI}/runs/{failed}\n",
    ):
        assert words in opened.text
    assert WRONG not in str(opened)
    assert WRONG not in str(watcher.cursor)
    mended = graph.run().run_id
    watcher.tick()
    (recovered,) = mailbox.arrived()
    assert recovered.subject.startswith("totes: refresh works again after ")
    assert "; 2 runs failed\n" in recovered.text
    assert f"{UI}/runs/{mended}, which succeeded\n" in recovered.text
    assert watcher.tick() == "No open incidents."


def test_a_materialization_by_hand_that_fails_is_left_to_the_user_who_started_it(
    graph: Graph, watcher: Watcher, mailbox: Mailbox
) -> None:
    ingested = [f"ingestion/{table}" for table in SOURCE_TABLES]
    graph.change("alter table staff rename column first_name to forename")
    assert not graph.materialise(*ingested, raise_on_error=False).success
    assert watcher.tick() == "No open incidents."
    failed = graph.run(raise_on_error=False).run_id
    watcher.tick()
    (opened,) = mailbox.arrived()
    assert f"{UI}/runs/{failed}\n" in opened.text
    graph.change("alter table staff rename column forename to first_name")
    assert graph.materialise(*ingested).success
    assert watcher.tick().startswith("1 incident open since ")
    assert mailbox.arrived() == []


def test_a_refresh_makes_the_warehouse_fresh(
    graph: Graph, watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(watcher.watch.missing) == len(STAR_TABLES)
    with monkeypatch.context() as later:
        later.setattr(sensor, "FRESH_FOR", timedelta(0))
        watcher.tick()
    (stale,) = mailbox.arrived()
    assert stale.attributes["kind"] == "freshness"
    graph.run()
    assert watcher.tick().startswith("Published: the warehouse is fresh again after ")
    assert watcher.watch.missing == {}


def test_history_that_no_reconciliation_repairs_is_told_of_until_somebody_brings_it_back(
    graph: Graph, watcher: Watcher, mailbox: Mailbox
) -> None:
    graph.run()
    graph.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 7")
    graph.run()
    with psycopg.connect(graph.platform.warehouse.database.url) as connection:
        first = "from analytics.fact_sales_order where sales_order_id = 7 and batch = 1"
        connection.execute(f"create table analytics.aside as select * {first}")
        assert connection.execute(f"delete {first}").rowcount == 1
    run_id = graph.run("reconcile").run_id
    watcher.tick()
    (broken,) = mailbox.arrived()
    assert broken.subject.startswith("totes: the check matches_source failed: fact_sales_order: ")
    assert "History cannot be repaired from the source" in broken.text
    assert f"{UI}/runs/{run_id}\n" in broken.text
    # A reconciliation that does not get as far as the comparison says nothing of it.
    graph.change("alter table staff rename column first_name to forename")
    graph.run("reconcile", raise_on_error=False)
    graph.change("alter table staff rename column forename to first_name")
    watcher.tick()
    (failed,) = mailbox.arrived()
    assert failed.subject.startswith("totes: reconcile failed: SourceSchemaError")
    graph.ask("insert into analytics.fact_sales_order overriding system value table analytics.aside returning 1")
    graph.run("reconcile")
    watcher.tick()
    works_again, recovered = mailbox.arrived()
    assert works_again.subject.startswith("totes: reconcile works again after ")
    assert recovered.subject.startswith("totes: the check matches_source passes again after ")
