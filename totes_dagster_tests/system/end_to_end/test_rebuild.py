"""The warehouse is rebuilt from the lake in place: its history, and nothing of what others have put on it is lost."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Table

from totes_dagster.errors import DatabaseError, ForeignLakeError, ManifestMissingError
from totes_dagster.pipeline import rebuild
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.warehouse import bulk_load
from totes_dagster.warehouse.indexes import missing_newest_indexes
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster_tests import oracle
from totes_dagster_tests.predefined import PREDEFINED, ROWS
from totes_dagster_tests.system.platforms import lake_in, prepare, warehouse_at
from totes_dagster_tests.world import NEW_DEAL, World

TOTAL = "select count(*), sum(units_sold) from finance.sold"
CONSTRAINTS = "select conname::text, pg_get_constraintdef(oid) from pg_constraint where conrelid <> 0 order by 1, 2"


@pytest.fixture
def lived(company: World) -> World:
    """A company whose warehouse has seen rows change, go, and be set aside in four batches."""
    company.change("update sales_order set units_sold = units_sold + 1 where sales_order_id < 20", *NEW_DEAL)
    company.refresh()
    company.change(
        "delete from payment where payment_id = 3",
        "update payment set payment_date = 'soon' where payment_id = 5",
        "update staff set first_name = first_name || '!'",
    )
    company.refresh()
    company.change("update sales_order set units_sold = units_sold + 1 where sales_order_id < 9")
    company.refresh()
    return company


def operate(world: World, *statements: str) -> None:
    with psycopg.connect(world.warehouse_url) as connection:
        for statement in statements:
            connection.execute(statement)


DAMAGE = (
    "update fact_sales_order set units_sold = -1 where batch = 1",
    "delete from fact_payment where batch = 3",
    "delete from dim_currency where currency_id not in (select currency_id from fact_payment "
    "union select currency_id from fact_sales_order union select currency_id from fact_purchase_order)",
    "update dim_staff set first_name = ''",
    "delete from quarantine",
)


@pytest.mark.parametrize("bulk", [False, True], ids=["few rows", "many rows"])
def test_what_was_damaged_is_right_again_history_included(
    lived: World, bulk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_load, "MANY_ROWS", 1 if bulk else 10**9)
    history, dimensions = oracle.history(lived.warehouse_url), oracle.dimension_rows(lived.warehouse_url)
    quarantined, foreign_keys = lived.quarantined(), lived.ask(CONSTRAINTS)
    operate(lived, *DAMAGE)
    assert [batch.batch for batch in rebuild(lived.platform)] == [1, 2, 3, 4]
    assert oracle.history(lived.warehouse_url) == history
    assert oracle.dimension_rows(lived.warehouse_url) == dimensions
    assert lived.quarantined() == quarantined == [("payment", 5)]
    assert lived.ask(CONSTRAINTS) == foreign_keys
    assert lived.refresh().loaded == []
    lived.change("update sales_order set units_sold = 1 where sales_order_id = 7")
    assert [batch.batch for batch in lived.refresh().loaded] == [5]


def test_in_an_empty_warehouse_too_the_newest_versions_are_found_by_an_index(
    lived: World, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_load, "MANY_ROWS", 1)
    history = oracle.history(lived.warehouse_url)
    platform = replace(lived.platform, warehouse=warehouse_at(database("warehouse")))
    lacking: list[list[str]] = []
    append_versions = LoadTransaction.append_versions

    def watched(transaction: LoadTransaction, fact: Table, batch: int) -> tuple[int, int]:
        lacking.append([index.name for index in missing_newest_indexes(transaction)])
        return append_versions(transaction, fact, batch)

    monkeypatch.setattr(LoadTransaction, "append_versions", watched)
    assert len(rebuild(platform)) == 4
    assert lacking and all(missing == [] for missing in lacking)
    assert oracle.history(platform.warehouse.database.url) == history
    with psycopg.connect(platform.warehouse.database.url) as connection:
        analyzed = "select count(*) from pg_class where relname like 'fact\\_%' and relkind = 'r' and reltuples > 0"
        assert connection.execute(analyzed).fetchone() == (3,)


def test_parts_of_many_batches_that_were_lost_are_made_again_at_once(
    lived: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, quarantined, zone = oracle.history(lived.warehouse_url), lived.quarantined(), lived.platform.lake.processed
    contents = {path: zone.read(path) for path in zone.paths("")}
    # All but the newest batch's, where a refresh stops looking for gaps; and all that is in quarantine.
    newest = f"batch={lived.head():010}"
    lost = [path for path in contents if newest not in path or path.startswith("quarantine/")]
    assert len({path.split("/")[-2] for path in lost}) > 2
    for path in lost:
        (Path(zone.url.removeprefix("file://")) / path).unlink()
    begun: list[LoadTransaction] = []
    clear = LoadTransaction.clear

    def counted(transaction: LoadTransaction) -> None:
        begun.append(transaction)
        clear(transaction)

    monkeypatch.setattr(LoadTransaction, "clear", counted)
    rebuild(lived.platform)
    assert len(begun) <= 2
    assert (oracle.history(lived.warehouse_url), lived.quarantined()) == (history, quarantined)
    assert {path: zone.read(path) for path in zone.paths("")} == contents


def test_views_rights_and_comments_of_others_are_still_there_and_right(lived: World) -> None:
    operate(
        lived,
        "create schema finance",
        "create view finance.sold as select units_sold from current_sales_order",
        "grant select on fact_payment to public",
        "comment on view current_payment is 'As of now'",
    )
    before = lived.ask(TOTAL)
    operate(lived, *DAMAGE)
    assert lived.ask(TOTAL) != before
    rebuild(lived.platform)
    assert lived.ask(TOTAL) == before
    assert lived.ask_one("select has_table_privilege('public', 'fact_payment', 'select')")
    assert lived.ask_one("select obj_description('current_payment'::regclass)") == "As of now"


def test_readers_see_the_old_state_until_all_of_the_new_one_is_there(lived: World) -> None:
    operate(lived, "update fact_sales_order set units_sold = 0")
    loading, go_on = threading.Event(), threading.Event()

    def progress(stage: str, star: str, _rows: int) -> None:
        if (stage, star) == ("load", "fact_sales_order"):
            loading.set()
            assert go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        rebuilding = pool.submit(lambda: rebuild(lived.platform, progress=progress))
        assert loading.wait(60)
        assert lived.ask("select count(*), sum(units_sold) from current_sales_order") == [(61, 0)]
        assert lived.ask_one("select max(batch) from load_history") == 4
        go_on.set()
        assert len(rebuilding.result(timeout=120)) == 4
    assert lived.ask_one("select min(units_sold) from current_sales_order") > 0


def test_a_rebuild_that_breaks_off_leaves_the_warehouse_as_it_was(lived: World) -> None:
    history = oracle.history(lived.warehouse_url)
    operate(lived, "alter table fact_payment add constraint refuse check (batch <> 3) not valid")
    with pytest.raises(DatabaseError, match="refuse"):
        rebuild(lived.platform)
    assert oracle.history(lived.warehouse_url) == history
    assert lived.ask_one("select max(batch) from load_history") == 4


def test_adopted_rows_stay(unseen_company: World) -> None:
    prepare(unseen_company.platform, PREDEFINED, ROWS)
    unseen_company.refresh()
    history = oracle.history(unseen_company.warehouse_url)
    rebuild(unseen_company.platform)
    assert oracle.history(unseen_company.warehouse_url) == history
    assert unseen_company.versions("fact_sales_order", 900000) == ["live", "deleted"]


def test_a_warehouse_that_is_not_there_yet_is_built(lived: World) -> None:
    elsewhere = World(replace(lived.platform, warehouse=warehouse_at(lived.warehouse_url, "second")))
    rebuild(elsewhere.platform)
    assert oracle.history(lived.warehouse_url, "second") == oracle.history(lived.warehouse_url)


def test_another_lake_needs_a_word(lived: World, tmp_path: Path) -> None:
    other = World(replace(lived.platform, lake=lake_in(tmp_path / "other")))
    with pytest.raises(ManifestMissingError, match="There is no batch in"):
        rebuild(other.platform)
    elsewhere = World(replace(other.platform, warehouse=warehouse_at(other.warehouse_url, "second")))
    elsewhere.refresh()
    history = oracle.history(lived.warehouse_url)
    with pytest.raises(ForeignLakeError, match=r"batch 4 of another lake, .* run totes rebuild --from-another-lake"):
        rebuild(other.platform)
    assert oracle.history(lived.warehouse_url) == history
    rebuild(other.platform, from_another_lake=True)
    assert oracle.history(lived.warehouse_url) == oracle.history(lived.warehouse_url, "second")
    assert other.refresh().loaded == []


@pytest.mark.parametrize("enforced", [True], ids=["newer source"])
def test_a_small_first_load_leaves_statistics_of_all_that_it_fills(unseen_company: World) -> None:
    unseen_company.refresh()
    filled = "select relname from pg_class where relkind = 'r' and relname ~ '^(dim|fact)_' and {} 0"
    analyzed = [name for (name,) in unseen_company.ask(filled.format("reltuples >"))]
    assert sorted(analyzed) == sorted(STAR_TABLES)
