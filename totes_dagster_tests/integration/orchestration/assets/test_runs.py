"""The real assets, run in process on real databases: what they do, and what they say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, ExecuteInProcessResult

from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import ingest
from totes_dagster.schema import totesys
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import remodelled_columns
from totes_dagster_tests.integration.graph import Graph, metadata_of

EVERY_ASSET = len(totesys.SOURCE_TABLES) + 2 * len(STAR_TABLES)
"""Those that are materialised: ingested, remodelled and loaded."""

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"


def source_rows(graph: Graph) -> Mapping[str, int]:
    with psycopg.connect(graph.platform.source.url) as connection:
        return {
            name: connection.execute(f"select count(*) from {name}").fetchall()[0][0] for name in totesys.SOURCE_TABLES
        }


def warehouse_rows(graph: Graph) -> Mapping[str, int]:
    return {name: graph.ask(f"select count(*) from analytics.{name}")[0][0] for name in STAR_TABLES}


def lineage(metadata: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """A table's column lineage: column, table upstream, its column."""
    return {
        (column, dep.asset_key.to_user_string(), dep.column_name)
        for column, deps in metadata["dagster/column_lineage"].deps_by_column.items()
        for dep in deps
    }


@dataclass(frozen=True)
class Refresh:
    """A refresh, and where it was."""

    graph: Graph
    result: ExecuteInProcessResult

    @property
    def said(self) -> Mapping[str, Mapping[str, Any]]:
        return metadata_of(self.result)


@pytest.fixture(scope="module")
def first(shared_graph: Graph) -> Refresh:
    """The first refresh of a company."""
    return Refresh(shared_graph, shared_graph.run())


@pytest.fixture(scope="module")
def second(first: Refresh) -> Refresh:
    """Another one, with nothing to do."""
    return Refresh(first.graph, first.graph.run())


def test_a_refresh_materialises_every_asset_and_counts_what_it_did(first: Refresh) -> None:
    said = first.said
    assert len(said) == EVERY_ASSET
    in_source, in_warehouse = source_rows(first.graph), warehouse_rows(first.graph)
    for name, rows in in_source.items():
        ingested = said[f"ingestion/{name}"]
        assert (ingested["dagster/row_count"], ingested["rows"], ingested["batch"]) == (rows, rows, 1)
        assert ingested["bytes"] > 0
    for name, rows in in_warehouse.items():
        remodelled, loaded = said[f"processed/{name}"], said[f"warehouse/{name}"]
        assert (remodelled["batches"], remodelled["batch"], remodelled["parts"]) == ("1", 1, 1)
        assert (loaded["dagster/row_count"], loaded["new"], loaded["staged"]) == (rows, rows, rows)
        assert (loaded["batch"], loaded["batches_loaded"]) == (1, 1)
        assert loaded["changed"] == loaded["unchanged"] == loaded["deleted"] == loaded["placeholders"] == 0
        if name != "dim_date":  # of which the zone holds the named days, and the warehouse whole years
            assert remodelled["rows"] == rows
    assert in_warehouse["fact_payment"] == in_source["payment"] > 0


@pytest.mark.filterwarnings("error::DeprecationWarning:totes_dagster")
def test_assets_use_nothing_that_is_deprecated(graph: Graph) -> None:
    assert graph.run().success


def test_a_second_refresh_says_that_there_was_nothing_to_do(second: Refresh) -> None:
    said = second.said
    assert len(said) == EVERY_ASSET
    assert BatchLog(second.graph.platform.lake.ingestion).head() == 1
    for name, rows in source_rows(second.graph).items():
        ingested = said[f"ingestion/{name}"]
        assert (ingested["dagster/row_count"], ingested["rows"], ingested["bytes"]) == (rows, 0, 0)
        assert ingested["content"] == "nothing new since batch 1"
    for name in STAR_TABLES:
        assert (said[f"processed/{name}"]["parts"], said[f"processed/{name}"]["rows"]) == (0, 0)
        assert (said[f"warehouse/{name}"]["batches_loaded"], said[f"warehouse/{name}"]["staged"]) == (0, 0)


@pytest.mark.slow
def test_a_change_is_counted_where_it_went_and_nowhere_else(refreshed_graph: Graph) -> None:
    before = warehouse_rows(refreshed_graph)
    refreshed_graph.change(EDIT, "delete from payment where payment_id = 3")
    said = metadata_of(refreshed_graph.run())
    changed = {name: said[f"warehouse/{name}"]["changed"] for name in STAR_TABLES}
    assert changed == {name: int(name == "fact_sales_order") for name in STAR_TABLES}
    deleted = {name: said[f"warehouse/{name}"]["deleted"] for name in STAR_TABLES}
    assert deleted == {name: int(name == "fact_payment") for name in STAR_TABLES}
    for name, rows in before.items():
        added = said[f"warehouse/{name}"]["dagster/row_count"] - rows
        assert added == (name in {"fact_sales_order", "fact_payment"})


def test_every_column_says_where_it_comes_from(graph: Graph) -> None:
    said = {spec.key.to_user_string(): spec.metadata for spec in graph.definitions.resolve_all_asset_specs()}
    for name, table in totesys.SOURCE_TABLES.items():
        assert lineage(said[f"ingestion/{name}"]) == {
            (column.name, f"totesys/{name}", column.name) for column in table.columns
        }
    for name, star in STAR_TABLES.items():
        columns = remodelled_columns(star)
        assert lineage(said[f"warehouse/{name}"]) == {
            (column.name, f"processed/{name}", column.name) for column in columns
        }
        assert lineage(said[f"processed/{name}"]) == {
            (column.name, f"ingestion/{source.split('.')[0]}", source.split(".")[1])
            for column in columns
            for source in column.info["sources"]
        }
    assert ("sales_staff_id", "ingestion/sales_order", "staff_id") in lineage(said["processed/fact_sales_order"])


def test_columns_with_personal_data_are_tagged(graph: Graph) -> None:
    tagged = {
        f"{spec.key.to_user_string()}.{column.name}"
        for spec in graph.definitions.resolve_all_asset_specs()
        for column in spec.metadata["dagster/column_schema"].columns
        if "personal" in column.tags
    }
    assert {
        "totesys/staff.email_address",
        "ingestion/staff.email_address",
        "processed/dim_staff.email_address",
        "warehouse/dim_staff.email_address",
        "warehouse/dim_counterparty.counterparty_legal_phone_number",
    } <= tagged
    assert not {name for name in tagged if name.startswith("warehouse/fact") or name.endswith("_id")}


@pytest.mark.slow
def test_a_table_can_be_captured_whole_again_alone(refreshed_graph: Graph) -> None:
    said = metadata_of(refreshed_graph.run(run_config={"ops": {"ingest": {"config": {"recapture": ["staff"]}}}}))
    content = {name: said[f"ingestion/{name}"]["content"] for name in totesys.SOURCE_TABLES}
    assert content.pop("staff") == "the whole table"
    assert set(content.values()) == {"nothing new since batch 1"}
    everything = metadata_of(refreshed_graph.run(run_config={"ops": {"ingest": {"config": {"recapture": ["all"]}}}}))
    assert {everything[f"ingestion/{name}"]["content"] for name in totesys.SOURCE_TABLES} == {"the whole table"}


def test_a_table_that_is_not_there_cannot_be_captured_again(graph: Graph) -> None:
    config = {"ops": {"ingest": {"config": {"recapture": ["stuff"]}}}}
    result = graph.run(run_config=config, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "SettingsError: totesys has no table 'stuff' to recapture. It has address, " in str(
        failure.event_specific_data
    )
    assert graph.platform.lake.ingestion.paths("batches") == []


def test_one_processed_table_can_be_materialised_alone(graph: Graph) -> None:
    ingest(graph.platform.source, graph.platform.lake.ingestion)
    said = metadata_of(graph.materialise("processed/dim_staff"))
    assert set(said) == {"processed/dim_staff"}
    assert said["processed/dim_staff"]["rows"] == source_rows(graph)["staff"]
    assert len(graph.platform.lake.processed.paths("dim_staff")) == 1
    assert graph.platform.lake.processed.paths("dim_design") == []


def test_a_part_that_was_lost_is_refilled_alone(refreshed_graph: Graph, tmp_path: Any) -> None:
    (path,) = refreshed_graph.platform.lake.processed.paths("dim_staff")
    before = refreshed_graph.platform.lake.processed.read_part(path)
    (tmp_path / "processed" / path).unlink()
    said = metadata_of(refreshed_graph.materialise("processed/dim_staff"))["processed/dim_staff"]
    assert (said["batches"], said["parts"], said["rows"]) == ("1", 1, before.num_rows)
    assert refreshed_graph.platform.lake.processed.read_part(path).equals(before)


def test_a_load_remodels_what_nobody_has_remodelled_yet(graph: Graph) -> None:
    ingest(graph.platform.source, graph.platform.lake.ingestion)
    everything = [f"warehouse/{name}" for name in STAR_TABLES]
    assert metadata_of(graph.materialise(*everything))["warehouse/dim_staff"]["batches_loaded"] == 1
    again = metadata_of(graph.materialise(*(f"processed/{name}" for name in STAR_TABLES)))
    assert {again[f"processed/{name}"]["parts"] for name in STAR_TABLES} == {0}


def test_a_run_that_fails_says_why_and_runs_nothing_downstream(graph: Graph) -> None:
    graph.change("alter table staff rename column first_name to forename")
    result = graph.run(raise_on_error=False)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "ingest"
    error = failure.step_failure_data.error
    assert error is not None
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    assert data.description.startswith(
        "SourceSchemaError: The source is not as declared: staff.first_name: expected text"
    )
    assert {name: value.value for name, value in data.metadata.items()} == {
        "error": "SourceSchemaError",
        "deviations": "staff.first_name: expected text, found no such column, but forename, which is not declared",
    }
    assert metadata_of(result) == {}
    assert graph.platform.lake.ingestion.paths("batches") == []


def test_dagsters_own_storage_can_be_lost(graph: Graph) -> None:
    graph.run()
    graph.change(EDIT)
    forgetful = replace(graph, instance=DagsterInstance.ephemeral())
    said = metadata_of(forgetful.run())
    assert said["warehouse/fact_sales_order"]["changed"] == 1
    assert graph.ask("select batch from analytics.load_history order by batch") == [(1,), (2,)]


def test_no_password_is_in_what_dagster_keeps(first: Refresh) -> None:
    graph = first.graph
    assert graph.instance.get_latest_materialization_event(AssetKey(["warehouse", "fact_payment"])) is not None
    for event in graph.instance.all_logs(first.result.run_id):
        assert graph.platform.source.url not in str(event)
        assert graph.platform.warehouse.database.url not in str(event)


def test_every_materialisation_says_as_of_when_how_late_how_long_it_took_and_how_it_looks(
    first: Refresh, second: Refresh
) -> None:
    said = first.said
    taken_at = BatchLog(first.graph.platform.lake.ingestion).manifest(1).snapshot.taken_at.timestamp()
    for stage, tables in (("ingestion", totesys.SOURCE_TABLES), ("warehouse", STAR_TABLES)):
        for name in tables:
            assert said[f"{stage}/{name}"]["snapshot_at"] == pytest.approx(taken_at, abs=1e-3)
            assert said[f"{stage}/{name}"]["lag_seconds"] > 0
    assert min(said[f"warehouse/{name}"]["lag_seconds"] for name in STAR_TABLES) > max(
        said[f"ingestion/{name}"]["lag_seconds"] for name in totesys.SOURCE_TABLES
    )
    for asset, metadata in said.items():
        assert metadata["seconds"] >= 0
        assert 0 < len(metadata["preview"].records) <= 3, asset
    # Once is enough: what has not changed is not shown again.
    assert not [asset for asset, metadata in second.said.items() if "preview" in metadata]


def previewed(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [record.data for record in metadata["preview"].records]


def test_a_preview_of_the_warehouse_shows_the_newest_rows(refreshed_graph: Graph) -> None:
    refreshed_graph.change(EDIT)
    ((units,),) = refreshed_graph.ask(
        "select max(units_sold) + 1 from analytics.current_sales_order where sales_order_id = 7"
    )
    first, *_ = previewed(metadata_of(refreshed_graph.run())["warehouse/fact_sales_order"])
    assert (first["sales_order_id"], first["units_sold"], first["batch"]) == ("7", str(units), "2")


def test_no_preview_shows_what_is_personal(first: Refresh, second: Refresh) -> None:
    personal = {
        "ingestion/staff": {"first_name", "last_name", "email_address"},
        "processed/dim_staff": {"first_name", "last_name", "email_address"},
        "warehouse/dim_staff": {"first_name", "last_name", "email_address"},
        "warehouse/dim_counterparty": {"counterparty_legal_phone_number"},
        "ingestion/counterparty": {"commercial_contact", "delivery_contact"},
        "ingestion/payment": {"company_ac_number", "counterparty_ac_number"},
    }
    said = first.said
    for asset, columns in personal.items():
        assert previewed(said[asset])
        assert not columns & {column for row in previewed(said[asset]) for column in row}
    with psycopg.connect(first.graph.platform.source.url) as connection:
        emails = [email for (email,) in connection.execute("select email_address from staff")]
    for refresh in (first, second):
        kept = [str(event) for event in refresh.graph.instance.all_logs(refresh.result.run_id)]
        assert not any(email in event for event in kept for email in emails)


def test_what_is_seen_of_the_source_is_noted_at_its_own_assets(refreshed_graph: Graph) -> None:
    refreshed_graph.change(EDIT)
    result = refreshed_graph.run()
    observed = {
        event.asset_observation_data.asset_observation.asset_key.to_user_string(): {
            name: value.value for name, value in event.asset_observation_data.asset_observation.metadata.items()
        }
        for event in result.all_events
        if event.event_type is DagsterEventType.ASSET_OBSERVATION
    }
    assert set(observed) == {"totesys/sales_order"}
    assert observed["totesys/sales_order"]["dagster/row_count"] == 20
