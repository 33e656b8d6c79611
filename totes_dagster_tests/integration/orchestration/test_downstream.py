"""Assets of a reader's own, downstream of each zone and of the warehouse."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from dagster import (
    AssetIn,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    AutomationCondition,
    Definitions,
    Failure,
    OutputContext,
    asset,
    build_output_context,
    evaluate_automation_conditions,
)

from totes_dagster import pipeline
from totes_dagster.config.platform import Warehouse
from totes_dagster.definitions import build_defs
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.orchestration import recorded
from totes_dagster.reading.lake import ingested_rows
from totes_dagster_tests.integration.graph import Graph
from totes_dagster_tests.integration.orchestration.automation import confirmed, edit
from totes_dagster_tests.settings import configure

pytestmark = pytest.mark.usefixtures("one_look")

EDIT = "update payment set payment_amount = payment_amount + 1 where payment_id = 3"
DELETE = "delete from payment where payment_id = 5"

ROOT = Path(__file__).parents[3]

Given = dict[str, Any]


def with_assets(graph: Graph, *assets: AssetsDefinition) -> Graph:
    """The graph, with assets of a reader's own in the same code location."""
    return replace(graph, definitions=Definitions.merge(build_defs(graph.resources), Definitions(assets=assets)))


def reader(key: list[str], annotation: Any, given: Given, **metadata: Any) -> AssetsDefinition:
    """An asset that takes a table as its input, and notes what it got."""

    def report(table: Any) -> None:
        given["table"] = table
        if isinstance(table, pa.RecordBatchReader):
            given["table"] = pa.Table.from_batches(table)

    report.__annotations__["table"] = annotation
    return asset(ins={"table": AssetIn(AssetKey(key), metadata=metadata)})(report)


def got(graph: Graph, key: list[str], annotation: Any, **metadata: Any) -> Any:
    given: Given = {}
    with_assets(graph, reader(key, annotation, given, **metadata)).materialise("report")
    return given["table"]


PAYMENTS = {
    "ingestion": ["ingestion", "payment"],
    "processed": ["processed", "fact_payment"],
    "warehouse": ["warehouse", "fact_payment"],
}


@pytest.fixture
def paid(refreshed: Graph) -> Graph:
    """A graph in whose second batch a payment changed, and in whose third another was deleted."""
    for statement in (EDIT, DELETE):
        refreshed.change(statement)
        pipeline.refresh(refreshed.platform)
    return refreshed


@pytest.mark.parametrize("annotation", [pa.Table, pd.DataFrame, pa.RecordBatchReader, Any], ids=str)
def test_an_input_is_what_its_annotation_asks_for(paid: Graph, annotation: Any) -> None:
    expected = dict(paid.ask("select payment_id, payment_amount from analytics.current_payment"))
    assert 5 not in expected
    for key in PAYMENTS.values():
        table = got(paid, key, annotation)
        if annotation is pd.DataFrame:
            assert all(isinstance(type_, pd.ArrowDtype) for type_ in table.dtypes)
            table = pa.Table.from_pandas(table, preserve_index=False)
        assert isinstance(table, pa.Table)
        ids, amounts = (table.column(name).to_pylist() for name in ("payment_id", "payment_amount"))
        assert dict(zip(ids, amounts, strict=True)) == expected


def test_an_input_may_be_what_a_batch_brought_or_the_state_as_of_one(paid: Graph) -> None:
    left = {key for (key,) in paid.ask("select payment_id from analytics.current_payment")}
    for key in PAYMENTS.values():
        assert got(paid, key, pa.Table, batch=2).column("payment_id").to_pylist() == [3]
        assert set(got(paid, key, pa.Table, as_of=2).column("payment_id").to_pylist()) == left | {5}
        assert set(got(paid, key, pa.Table).column("payment_id").to_pylist()) == left


def test_an_input_may_be_the_place_itself(refreshed: Graph) -> None:
    lake, warehouse = refreshed.platform.lake, refreshed.platform.warehouse
    zone = got(refreshed, PAYMENTS["ingestion"], Zone)
    assert zone.url == lake.ingestion.url
    assert ingested_rows("payment", zone).read_all().num_rows > 0
    assert got(refreshed, PAYMENTS["processed"], Lake).processed.url == lake.processed.url
    assert got(refreshed, PAYMENTS["warehouse"], Warehouse) == warehouse


def test_what_an_input_cannot_be_is_told(refreshed: Graph) -> None:
    def failure(key: list[str], annotation: Any, **metadata: Any) -> str:
        graph = with_assets(refreshed, reader(key, annotation, {}, **metadata))
        result = graph.materialise("report", raise_on_error=False)
        (event,) = [event for event in result.all_events if event.is_step_failure]
        return str(event.event_specific_data)

    assert "processed/fact_payment cannot be loaded as dict. Annotate the input" in failure(PAYMENTS["processed"], dict)
    assert "BatchUnknownError: There is no batch 9" in failure(PAYMENTS["ingestion"], pa.Table, as_of=9)
    assert "SelectionError: dim_staff is a dimension" in failure(["warehouse", "dim_staff"], pa.Table, batch=1)
    assert "SelectionError: 'x' is not the number of a batch" in failure(PAYMENTS["processed"], pa.Table, batch="x")


def test_another_code_location_loads_inputs_by_declaring_the_table(refreshed: Graph) -> None:
    given: Given = {}
    key = PAYMENTS["processed"]
    theirs = Definitions(
        assets=[AssetSpec(AssetKey(key)).with_io_manager_key("processed_zone"), reader(key, pa.Table, given)],
        resources={"processed_zone": refreshed.resources["processed_zone"]},
    )
    replace(refreshed, definitions=theirs).materialise("report")
    assert given["table"].num_rows == len(refreshed.ask("select from analytics.current_payment"))


EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "your-own-assets.md").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize("example", EXAMPLES, ids=["beside the platform", "in a location of its own"])
def test_the_examples_of_the_documentation_work(
    refreshed: Graph, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    configure(monkeypatch, refreshed.platform)
    module: Given = {}
    exec(compile(example, "definitions.py", "exec"), module)
    theirs = [name for name, value in module.items() if isinstance(value, AssetsDefinition)]
    result = replace(refreshed, definitions=module["defs"]).materialise(*theirs)
    computed = {name: result.output_for_node(name) for name in theirs}
    if "units_per_design" in theirs:
        ((units,),) = refreshed.ask("select sum(units_sold) from analytics.current_sales_order")
        assert computed["units_per_design"]["units_sold"].sum() == units
        ((staff, payments),) = refreshed.ask(
            "select (select count(*) from analytics.dim_staff), (select count(*) from analytics.current_payment)"
        )
        assert (len(computed["staff_directory"]), computed["payments_at_first"]) == (staff, payments)
    else:
        ((largest,),) = refreshed.ask("select max(payment_amount)::text from analytics.current_payment")
        assert computed == {"largest_payment": largest}


@pytest.mark.parametrize("where", ["ingestion_zone", "warehouse_tables"])
def test_nobody_else_writes_where_only_the_platform_does(graph: Graph, where: str) -> None:
    context: OutputContext = build_output_context(asset_key=AssetKey(["ingestion", "payment"]))
    with pytest.raises(Failure, match="Only the platform writes to the "):
        graph.resources[where].handle_output(context, pa.table({}))


@asset(
    deps=[["warehouse", "dim_staff"]],
    automation_condition=AutomationCondition.any_deps_match(AutomationCondition.data_version_changed()),
)
def phone_book() -> None:
    """An asset with automation of its own."""


STAFF = ("ingestion/staff", "processed/dim_staff", "warehouse/dim_staff")
"""The table on its way."""


@pytest.fixture
def staffed(refreshed: Graph) -> Graph:
    """A graph with an asset that follows `warehouse/dim_staff`."""
    return with_assets(refreshed, phone_book)


def evaluations(graph: Graph) -> Iterator[int]:
    """How many assets automation requests, evaluation by evaluation."""
    cursor = None
    while True:
        result = evaluate_automation_conditions(graph.definitions, graph.instance, cursor=cursor)
        cursor = result.cursor
        yield result.total_requested


def test_automation_fires_when_the_table_has_changed_and_only_then(
    staffed: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = evaluations(staffed)
    next(requests)  # the first one sees everything for the first time
    staffed.materialise(*STAFF)
    assert next(requests) == 0  # loaded again, unchanged
    staffed.change(EDIT)
    staffed.materialise(*STAFF, "ingestion/payment", "processed/fact_payment", "warehouse/fact_payment")
    assert next(requests) == 0  # another table changed
    monkeypatch.setattr(recorded, "CONFIRM_AFTER", timedelta(0))
    assert confirmed(staffed)
    assert next(requests) == 0  # confirmed without a run
    edit(staffed)
    staffed.materialise(*STAFF)
    assert next(requests) == 1
    assert next(requests) == 0
