"""What a person sees and does in Dagster's UI, from the graph of assets to the end of a failure."""

import re

import pytest
from playwright.sync_api import expect

from totes_dagster.feeds.declared import FEEDS
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.system.ui.dagster_ui import DagsterUI
from totes_dagster_tests.system.ui.development import Development

pytestmark = pytest.mark.ui

# What the platform calls things in the UI.

GROUPS = {
    "totesys": len(SOURCE_TABLES),
    "ingestion": len(SOURCE_TABLES),
    "processed": len(STAR_TABLES),
    "warehouse": len(STAR_TABLES),
}
"""How many assets each group has."""

AUTOMATION = [
    "totesys_changes",
    "alerts",
    *(f"{feed}_files" for feed in FEEDS),
    "refresh_every_15_minutes",
    "reconcile_nightly",
    "prune_hourly",
]
SENSOR = "totesys_changes"

FACT = "warehouse/fact_sales_order"
DESCRIPTION = "One row per version of a sales order that the platform has seen."
METADATA = ["batch", "new", "changed", "deleted", "quarantined", "seconds", "lag_seconds", "preview"]
COLUMNS = {
    "sales_order_id": ["integer", "Number of the sales order."],
    "unit_price": ["numeric(10,2)", "Price of one bag, in the order's currency. From sales_order.unit_price."],
    "currency_id": ["references dim_currency", "Currency of the order."],
}
UPSTREAM = "processed / fact_sales_order"
LINEAGE = ("unit_price", "processed/fact_sales_order/unit_price")
CHECKS = ["healthy"]
TABLE = "public.fact_sales_order"

BREAK = "alter table currency rename column currency_code to code"
MEND = "alter table currency rename column code to currency_code"
BROKEN = "SourceSchemaError: The source is not as declared: currency.currency_code: expected"
WHAT_TO_DO = "adapt totes_dagster/schema/totesys.py to it"
PAUSED = "The last refresh failed at"

NEW_ORDER = (
    "create temporary table new_order on commit drop as select * from sales_order order by sales_order_id desc limit 1",
    "update new_order set sales_order_id = sales_order_id + 1",
    "insert into sales_order select * from new_order",
)


def versions(dev: Development) -> int:
    """How many rows the warehouse has of the fact that these tests look at."""
    ((rows,),) = dev.ask("select count(*) from fact_sales_order")
    return int(rows)


def test_the_graph_shows_every_stage_and_materialises_all_of_it_by_a_click(ui: DagsterUI) -> None:
    ui.open_lineage()
    for group in GROUPS:
        expect(ui.group(group)).to_be_visible()
    ui.open_job("totes_dagster", "refresh")
    ui.open_run(ui.materialize_all(), "Success")
    ui.says(f"{sum(GROUPS.values()) - GROUPS['totesys']} assets")


def test_a_warehouse_table_says_what_it_is(ui: DagsterUI, dev: Development) -> None:
    ui.open_asset(FACT)
    ui.says(DESCRIPTION)
    ui.row_count(versions(dev))
    for name, texts in COLUMNS.items():
        for text in texts:
            expect(ui.column(name)).to_contain_text(text)
    ui.says(TABLE)
    expect(ui.link(UPSTREAM)).to_be_visible()
    assert ui.column_lineage(FACT, LINEAGE[0]) == [LINEAGE[1]]


def test_every_check_of_a_warehouse_table_has_passed(ui: DagsterUI) -> None:
    ui.open_asset(FACT, "checks")
    for check in CHECKS:
        expect(ui.check(check, "Succeeded")).to_be_visible()


@pytest.mark.slow
def test_an_asset_of_somebody_else_reads_a_table_of_the_platform(ui: DagsterUI, dev: Development) -> None:
    ui.open_asset("largest_payment")
    ui.says("The largest amount that was ever paid.")
    expect(ui.link("warehouse / fact_payment")).to_be_visible()
    ui.open_run(ui.materialize_asset(), "Success")


def test_a_change_of_the_source_shows_by_itself(ui: DagsterUI, dev: Development) -> None:
    before = versions(dev)
    ui.open_asset(FACT)
    ui.row_count(before)
    dev.change(*NEW_ORDER)
    ui.row_count(before + 1)
    assert versions(dev) == before + 1
    for name in METADATA:
        expect(ui.metadata(name)).to_contain_text(re.compile(r"\d$"))


def test_the_sensor_and_the_schedules_are_on(ui: DagsterUI) -> None:
    ui.open("/automation")
    for name in AUTOMATION:
        expect(ui.automation(name)).to_be_visible()
    expect(ui.running()).to_have_count(len(AUTOMATION))


@pytest.mark.slow
def test_a_broken_contract_is_said_clearly_and_mending_it_is_enough(ui: DagsterUI, dev: Development) -> None:
    before = versions(dev)
    dev.change(BREAK, *NEW_ORDER)
    ui.open_run(ui.newest_run("Failure"), "Failure")
    ui.says(BROKEN)
    ui.says(WHAT_TO_DO)
    ui.skips(SENSOR, PAUSED)
    assert versions(dev) == before
    dev.change(MEND)
    ui.wait_for(lambda: versions(dev) > before)
    ui.open_asset(FACT)
    ui.row_count(before + 1)
    ui.open_run(ui.newest_run("Success"), "Success")
