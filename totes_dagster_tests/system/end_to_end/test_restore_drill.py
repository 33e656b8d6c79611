"""A copy of the warehouse, as a backup restores it, is brought up to date and rebuilt from the lake, and compared."""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from totes_dagster.config.platform import Warehouse, cluster_at
from totes_dagster.errors import SettingsError
from totes_dagster.pipeline import load
from totes_dagster.restore_drill import copy_on, drill
from totes_dagster.warehouse.fingerprints import Fingerprint, fingerprints
from totes_dagster_tests import oracle
from totes_dagster_tests.system.platforms import warehouse_at
from totes_dagster_tests.world import NEW_DEAL, World


@pytest.fixture
def copied(company: World, database: Callable[..., str]) -> World:
    """A copy of a company's warehouse that lacks the two newest of three batches."""
    copy = World(replace(company.platform, warehouse=warehouse_at(database("warehouse"))))
    load(copy.platform.warehouse, copy.platform.lake)
    company.change("update sales_order set units_sold = units_sold + 1 where sales_order_id < 20", *NEW_DEAL)
    company.refresh()
    company.change("delete from payment where payment_id = 3", "update staff set first_name = first_name || '!'")
    company.refresh()
    return copy


def test_a_copy_is_brought_up_to_date_and_is_the_same_when_rebuilt(company: World, copied: World) -> None:
    company.change("update sales_order set units_sold = 1 where sales_order_id = 7")  # which the drill leaves alone
    drilled = drill(copied.platform)
    assert (drilled.restored, drilled.newest, drilled.differing) == (1, 3, [])
    assert drilled.rows["fact_payment"] == copied.ask_one("select count(*) from fact_payment")
    assert oracle.history(copied.warehouse_url) == oracle.history(company.warehouse_url)
    assert oracle.dimension_rows(copied.warehouse_url) == oracle.dimension_rows(company.warehouse_url)
    assert min(drilled.catch_up_seconds, drilled.rebuild_seconds) > 0


@pytest.mark.parametrize(
    ("damage", "table"),
    [
        ("update fact_sales_order set units_sold = -1 where batch = 1 and sales_order_id = 30", "fact_sales_order"),
        ("delete from fact_payment where payment_id = 9", "fact_payment"),
        ("update dim_design set design_name = ''", "dim_design"),
    ],
)
def test_a_copy_that_holds_other_rows_than_the_lake_is_found_out(copied: World, damage: str, table: str) -> None:
    with psycopg.connect(copied.warehouse_url) as connection:
        connection.execute(damage)
    assert drill(copied.platform).differing == [table]


def test_a_batch_that_is_committed_meanwhile_makes_no_difference(
    company: World, copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(warehouse: Warehouse) -> dict[str, Fingerprint]:
        found = fingerprints(warehouse)
        company.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 7")
        company.refresh()
        return found

    monkeypatch.setattr("totes_dagster.restore_drill.fingerprints", meanwhile)
    drilled = drill(copied.platform)
    assert (drilled.newest, drilled.differing) == (3, [])
    assert [batch.batch for batch in copied.refresh().loaded] == [4, 5]


def test_the_warehouse_itself_is_no_copy(company: World) -> None:
    warehouse = warehouse_at("postgresql://loader:s3cret@warehouse.example:5432/w")
    there = replace(company.platform, warehouse=warehouse, cluster=cluster_at("tls://scheduler:8786", "/credentials"))
    with pytest.raises(SettingsError, match="is the server of the warehouse itself"):
        copy_on(there, "warehouse.example")
    there = copy_on(there, "copy.example")
    assert there.cluster is None  # whose workers would stage rows at the warehouse itself
    url = there.warehouse.database.url
    assert {"host=copy.example", "password=s3cret", "user=loader", "port=5432"} <= set(url.split())
