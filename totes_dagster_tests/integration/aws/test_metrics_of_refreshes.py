"""What real refreshes print, compared with what they did and with what they say of it."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from totes_dagster.aws import metrics
from totes_dagster.aws.metrics import Metric
from totes_dagster.config.settings import METRICS_NAMESPACE
from totes_dagster.errors import LakeUnavailableError
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.embedded_format import Point, points_of
from totes_dagster_tests.integration.graph import Graph, metadata_of
from totes_dagster_tests.printed import NAMESPACE, Printed, printed_to, values

BAD = "update payment set payment_date = '2023-02-30' where payment_id = 3"
GOOD = "update payment set payment_date = '2023-02-28' where payment_id = 3"


def rows_of_warehouse(graph: Graph) -> int:
    return sum(graph.ask(f"select count(*) from analytics.{name}")[0][0] for name in STAR_TABLES)


def rows_said(said: Mapping[str, Mapping[str, Any]], group: str, *counts: str) -> int:
    """What a run's materialisations of a group add up to."""
    return sum(about[count] for key, about in said.items() if key.startswith(group) for count in counts)


@dataclass(frozen=True)
class Refresh:
    """A refresh, and what it printed.

    Attributes:
        graph: where it was.
        said: what its materialisations say.
        text: what it printed.
        began: when it began, in seconds.
        ended: when it had ended.
    """

    graph: Graph
    said: Mapping[str, Mapping[str, Any]]
    text: str
    began: float
    ended: float

    @property
    def points(self) -> list[Point]:
        return [point for line in self.text.splitlines() for point in points_of(line)]


@pytest.fixture(scope="module")
def first(shared_graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Refresh:
    """The first refresh of a company with personal names and a row that belongs into quarantine."""
    shared_graph.change(
        "update staff set first_name = 'Zebedee', email_address = 'zebedee@example.com' where staff_id = 1", BAD
    )
    with printed_to(tmp_path_factory.mktemp("printed") / "stdout", asked=True) as printed:
        began = time.time()
        said = metadata_of(shared_graph.run())
        return Refresh(shared_graph, said, printed.text(), began, time.time())


def test_every_stage_prints_the_rows_that_its_materialisations_say(first: Refresh) -> None:
    points, said = first.points, first.said
    assert values(points, "Rows", "ingest") == [rows_said(said, "ingestion/", "rows")]
    assert len(values(points, "Rows", "remodel")) == len(STAR_TABLES)
    assert sum(values(points, "Rows", "remodel")) == rows_said(said, "processed/", "rows")
    assert values(points, "Rows", "load") == [rows_of_warehouse(first.graph)]
    assert min(rows_said(said, group, "rows") for group in ("ingestion/", "processed/")) > 0


def test_every_stage_prints_the_seconds_that_it_took(first: Refresh) -> None:
    points, said = first.points, first.said
    assert values(points, "Seconds", "ingest") == [said["ingestion/staff"]["seconds"]]
    for stage, count in (("ingest", 1), ("remodel", len(STAR_TABLES)), ("load", 1)):
        assert len(values(points, "Seconds", stage)) == count
        assert 0 < sum(values(points, "Seconds", stage)) < first.ended - first.began
    assert sum(values(points, "Seconds", "load")) >= rows_said(said, "warehouse/", "seconds") - 0.011  # rounded


def test_a_change_is_printed_in_each_stage_as_what_it_brought(refreshed_graph: Graph, printed: Printed) -> None:
    before = rows_of_warehouse(refreshed_graph)
    refreshed_graph.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 7")
    refreshed_graph.change("delete from payment where payment_id = 3")
    said = metadata_of(refreshed_graph.run())
    points = printed.points()
    assert values(points, "Rows", "ingest") == [rows_said(said, "ingestion/", "rows")]
    assert sum(values(points, "Rows", "remodel")) == rows_said(said, "processed/", "rows")
    # Each a version of a fact: what the row is now, and that the row is gone.
    assert values(points, "Rows", "load") == [2] == [rows_of_warehouse(refreshed_graph) - before]


def test_a_refresh_with_nothing_to_do_counts_all_the_same_and_does_not_lag(
    refreshed_graph: Graph, printed: Printed
) -> None:
    assert refreshed_graph.run().success
    points = printed.points()
    assert values(points, "Refreshes") == [1]
    assert values(points, "FreshnessLag") == []
    for stage in ("ingest", "remodel", "load"):
        assert set(values(points, "Rows", stage)) == {0}


def test_what_is_printed_is_what_is_declared(first: Refresh) -> None:
    declared = {(metric.value, metric.unit, metric.dimensions) for metric in Metric}
    found = {(point.name, point.unit, tuple(name for name, _ in point.dimensions)) for point in first.points}
    of_others = {("FailedRuns", "Count", ()), ("OpenIncidents", "Count", ()), ("KeptLog", "Bytes", ())}
    assert found == declared - of_others
    assert {point.namespace for point in first.points} == {NAMESPACE}


def test_rows_in_quarantine_are_counted_with_every_load_until_they_are_corrected(
    refreshed_graph: Graph, printed: Printed
) -> None:
    counted = []
    for change in (BAD, "update design set design_name = 'Peony' where design_id = 1", GOOD):
        refreshed_graph.change(change)
        refreshed_graph.run()
        counted += values(printed.points(), "QuarantinedRows")
        assert refreshed_graph.ask("select count(*) from analytics.quarantine") == [(counted[-1],)]
    assert counted == [1, 1, 0]


def test_the_lag_leads_back_to_the_source_snapshot_that_was_loaded(first: Refresh) -> None:
    (lag,) = values(first.points, "FreshnessLag")
    snapshot_at = shown_as_of(first.graph).timestamp()
    assert first.began - snapshot_at < lag < first.ended - snapshot_at


def shown_as_of(graph: Graph) -> datetime:
    ((snapshot_at,),) = graph.ask("select max(snapshot_at) from analytics.load_history")
    assert isinstance(snapshot_at, datetime)
    return snapshot_at


def test_a_load_that_fails_is_no_refresh(refreshed_graph: Graph, printed: Printed) -> None:
    refreshed_graph.ask("update analytics.load_history set manifest_sha256 = 'of another lake' returning batch")
    assert not refreshed_graph.run(raise_on_error=False).success
    points = printed.points()
    assert len(values(points, "Rows", "remodel")) == len(STAR_TABLES)
    assert {point.name for point in points} == {"Rows", "Seconds"}
    assert values(points, "Rows", "load") == []


def test_a_part_that_could_not_be_written_at_first_counts_once(
    graph: Graph, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Zone.create_part
    failed: list[str] = []

    def fails_once(zone: Zone, path: str, *others: Any) -> Any:
        if path.startswith("dim_staff/") and not failed:
            failed.append(path)
            raise LakeUnavailableError("The lake is away for a moment.")
        return really(zone, path, *others)

    monkeypatch.setattr(Zone, "create_part", fails_once)
    said = metadata_of(graph.run())
    assert len(failed) == 1
    assert sum(values(printed.points(), "Rows", "remodel")) == rows_said(said, "processed/", "rows")


def test_a_refresh_prints_nothing_unless_asked_to(
    refreshed_graph: Graph, stdout: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(METRICS_NAMESPACE, raising=False)
    refreshed_graph.change(BAD)
    assert refreshed_graph.run().success
    assert stdout.text() == ""


def test_a_refresh_whose_standard_output_is_closed_does_its_work_and_says_so_once(
    graph: Graph, printed: Printed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "STDOUT", None)
    assert graph.run().success
    assert rows_of_warehouse(graph) > 0
    warned = [record for record in caplog.records if record.name == "totes_dagster.aws.metrics"]
    assert [record.levelno for record in warned] == [logging.WARNING]


def test_no_value_of_a_row_is_printed(first: Refresh) -> None:
    assert values(first.points, "QuarantinedRows") == [1]
    for personal in ("Zebedee", "zebedee", "2023-02-30", first.graph.platform.warehouse.database.url):
        assert personal not in first.text
