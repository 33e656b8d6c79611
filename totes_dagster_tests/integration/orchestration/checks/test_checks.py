"""What the asset checks say: when all is well, when something is to be looked at, and when something is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity, ExecuteInProcessResult, TableMetadataValue

from totes_dagster.pipeline import ingest, refresh, remodel_all
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.integration.graph import Graph, metadata_of
from totes_dagster_tests.world import of_the_older_source


def checks_of(result: ExecuteInProcessResult) -> dict[str, AssetCheckEvaluation]:
    """What a run's checks said, by asset and check: `warehouse/dim_staff as_declared`."""
    return {
        f"{check.asset_key.to_user_string()} {check.check_name}": check
        for check in result.get_asset_check_evaluations()
    }


def failed(checks: dict[str, AssetCheckEvaluation]) -> dict[str, AssetCheckSeverity]:
    return {name: check.severity for name, check in checks.items() if not check.passed}


def metadata(check: AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in check.metadata.items()}


def rows_of(check: AssetCheckEvaluation, name: str) -> list[dict[str, Any]]:
    """A table in a check's metadata."""
    table = check.metadata[name]
    assert isinstance(table, TableMetadataValue)
    return [dict(record.data) for record in table.records]


def sample(check: AssetCheckEvaluation) -> list[dict[str, Any]]:
    return rows_of(check, "sample")


def test_when_all_is_well_every_check_of_a_refresh_passes(graph: Graph) -> None:
    checks = checks_of(graph.run())
    assert failed(checks) == {}
    assert set(checks) == {
        "ingestion/sales_order as_declared",
        *(f"processed/{name} unique_and_not_null" for name in STAR_TABLES),
        *(f"warehouse/{name} healthy" for name in STAR_TABLES if name != "dim_date"),
    }
    assert checks["warehouse/fact_payment healthy"].description == "fact_payment is healthy."
    assert metadata(checks["warehouse/fact_payment healthy"]).keys() == {"quarantined", "newest_stamp"}
    assert metadata(checks["warehouse/dim_staff healthy"]) == {"quarantined": 0, "placeholders": 0}


@pytest.mark.slow
def test_a_new_column_and_a_new_table_are_warned_of_by_name(graph: Graph) -> None:
    graph.change("alter table staff add column nickname text", "create table voucher (code text)")
    checks = checks_of(graph.run())
    name = "ingestion/sales_order as_declared"
    assert failed(checks) == {name: AssetCheckSeverity.WARN}
    assert "staff.nickname: expected no such column, found text" in str(checks[name].description)
    assert "voucher" in str(checks[name].description)
    assert {row["table"] for row in rows_of(checks[name], "deviations")} == {"staff", "voucher"}


@pytest.mark.slow
def test_a_row_in_quarantine_is_warned_of_with_its_reason_until_it_is_corrected(graph: Graph) -> None:
    graph.change("update payment set payment_date = '2023-02-30' where payment_id = 3")
    name = "warehouse/fact_payment healthy"
    checks = checks_of(graph.run())
    assert failed(checks) == {name: AssetCheckSeverity.WARN}
    assert checks[name].description == "1 rows of payment are in quarantine. Correct them in the source to load them."
    ((row,),) = [sample(checks[name])]
    assert row["key"] == "3"
    assert "payment.payment_date is '2023-02-30'" in row["reason"]
    # It stays for as long as the row does, whatever later batches bring.
    graph.change("update design set design_name = 'Peony' where design_id = 1")
    assert set(failed(checks_of(graph.run()))) == {name}
    graph.change("update payment set payment_date = '2023-02-28' where payment_id = 3")
    assert failed(checks_of(graph.run())) == {}
    assert graph.ask("select payment_date::text from analytics.current_payment where payment_id = 3") == [
        ("2023-02-28",)
    ]


def test_a_reconciliation_of_equals_changes_nothing(refreshed_graph: Graph) -> None:
    checks = checks_of(refreshed_graph.run("reconcile"))
    assert failed(checks) == {}
    assert {f"warehouse/{name} matches_source" for name in STAR_TABLES} <= set(checks)
    assert refreshed_graph.ask("select count(*) from analytics.load_history") == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["before", "between"])
def test_a_reconciliation_warns_of_what_differed_and_repairs_it(refreshed_graph: Graph, damage: str) -> None:
    refreshed_graph.ask("update analytics.fact_sales_order set units_sold = -1 where sales_order_id = 7 returning 1")
    name = "warehouse/fact_sales_order matches_source"
    if damage == "between":
        # A change that comes with the same run is no difference.
        refreshed_graph.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 8")
    checks = checks_of(refreshed_graph.run("reconcile"))
    assert failed(checks) == {name: AssetCheckSeverity.WARN}
    batch = 3 if damage == "between" else 2
    assert checks[name].description == (f"1 of 20 rows differed from the source, and were repaired by batch {batch}.")
    found = metadata(checks[name])
    assert (found["different"], found["missing"], found["extra"], found["still_differing"]) == (1, 0, 0, 0)
    ((row,),) = [sample(checks[name])]
    assert row["difference"].startswith("sales_order_id 7: units_sold is -1 in the warehouse")
    assert failed(checks_of(refreshed_graph.run("reconcile"))) == {}


def test_a_sample_of_differences_does_not_show_what_is_personal(refreshed_graph: Graph) -> None:
    refreshed_graph.ask(
        "update analytics.dim_staff set last_name = 'Somebody', location = 'Nowhere' where staff_id = 1 returning 1"
    )
    checks = checks_of(refreshed_graph.run("reconcile"))
    ((row,),) = [sample(checks["warehouse/dim_staff matches_source"])]
    assert "last_name differs from the source" in row["difference"]
    assert "location is 'Nowhere' in the warehouse" in row["difference"]
    assert "Somebody" not in row["difference"]


def test_history_that_somebody_removed_is_an_error_that_no_reconciliation_repairs(refreshed_graph: Graph) -> None:
    refreshed_graph.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 7")
    refresh(refreshed_graph.platform)
    refreshed_graph.ask("delete from analytics.fact_sales_order where sales_order_id = 7 and batch = 1 returning 1")
    checks = checks_of(refreshed_graph.run("reconcile"))
    name = "warehouse/fact_sales_order matches_source"
    assert failed(checks) == {name: AssetCheckSeverity.ERROR}
    assert "batch 1 brought 20 versions of fact_sales_order, but 19 are there" in str(checks[name].description)


@of_the_older_source
def test_a_reference_that_points_nowhere_is_warned_of_until_it_points_somewhere(graph: Graph) -> None:
    graph.change("update sales_order set design_id = 7777 where sales_order_id = 7")
    name = "warehouse/dim_design healthy"
    checks = checks_of(graph.run())
    assert failed(checks) == {name: AssetCheckSeverity.WARN}
    assert checks[name].description == "Facts refer to 1 rows that design lacks; each is Unknown until it arrives."
    assert metadata(checks[name]) == {"quarantined": 0, "placeholders": 1}
    graph.change(
        "insert into design (design_id, design_name, file_location, file_name, last_updated) "
        "values (7777, 'Peony', '/usr', 'peony.json', now())"
    )
    assert failed(checks_of(graph.run())) == {}


@pytest.mark.parametrize(
    ("age", "said"),
    [
        ("4 days", "Nothing in payment is stamped later than "),
        ("-1 hour", "The newest stamp of payment is "),
    ],
)
def test_events_whose_newest_stamp_cannot_be_right_are_warned_of(graph: Graph, age: str, said: str) -> None:
    graph.change(f"update payment set last_updated = now() at time zone 'UTC' - interval '{age}'")
    name = "warehouse/fact_payment healthy"
    checks = checks_of(graph.run())
    assert failed(checks) == {name: AssetCheckSeverity.WARN}
    assert str(checks[name].description).startswith(said)


def replace_part(graph: Graph, star: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Put other rows in the place of a star table's newest part, as no remodel would."""
    *_, path = sorted(graph.platform.lake.processed.paths(star))
    rows = change(graph.platform.lake.processed.read_part(path))
    file = Path(graph.platform.lake.processed.url.removeprefix("file://")) / path
    file.unlink()
    assert graph.platform.lake.processed.create_part(path, rows)


def ingest_and_remodel(graph: Graph) -> None:
    """Load nothing yet."""
    ingest(graph.platform.source, graph.platform.lake.ingestion)
    remodel_all(graph.platform.lake)


def without_value(rows: pa.Table) -> pa.Table:
    column = rows.schema.get_field_index("last_name")
    values = pa.array([None, *rows.column("last_name").to_pylist()[1:]], pa.string())
    return rows.set_column(column, pa.field("last_name", pa.string()), values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "2 rows share their key with another, such as 1."),
        (without_value, "last_name has no value in 1 rows."),
    ],
)
def test_nothing_is_loaded_of_what_is_not_sound_in_this_run_or_in_any_other(
    graph: Graph, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    name = "processed/dim_staff unique_and_not_null"
    ingest_and_remodel(graph)
    replace_part(graph, "dim_staff", change)
    for _ in range(2):
        result = graph.run(raise_on_error=False)
        assert not result.success
        checks = checks_of(result)
        assert failed(checks) == {name: AssetCheckSeverity.ERROR}
        assert checks[name].description == said
        assert "warehouse/dim_staff" not in metadata_of(result)
    with pytest.raises(psycopg.errors.UndefinedTable):
        graph.ask("select from analytics.load_history")


def test_nothing_is_loaded_of_what_is_not_sound_in_a_run_that_did_not_select_it(graph: Graph) -> None:
    ingest_and_remodel(graph)
    replace_part(graph, "fact_payment", lambda rows: pa.concat_tables([rows.slice(1), rows.slice(1, 1)]))
    result = graph.materialise("warehouse/dim_staff", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "RowsRepeatedError: Batch 1 has several rows of fact_payment" in str(failure.event_specific_data)
    assert graph.ask("select count(*) from analytics.load_history") == [(0,)]


def test_what_is_loaded_is_not_looked_at_again(refreshed_graph: Graph) -> None:
    replace_part(refreshed_graph, "dim_staff", without_value)
    checks = checks_of(refreshed_graph.run())
    assert failed(checks) == {}
    assert checks["processed/dim_staff unique_and_not_null"].description == "Nothing waits to be loaded."
