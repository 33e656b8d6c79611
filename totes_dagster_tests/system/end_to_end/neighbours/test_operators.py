"""What operators and neighbours do to the warehouse: publish it, move it, extend it, fill its history."""

from pathlib import Path

import psycopg
import pytest

from totes_dagster.errors import PartDamagedError, ReplicaIdentityError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import ingest, load, migrate
from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse import bulk_load
from totes_dagster_tests.world import NEW_DEAL, World

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = 7"
SPOIL = "update sales_order set agreed_payment_date = 'soon' where sales_order_id = 7"
MEND = "update sales_order set agreed_payment_date = '2024-02-29' where sales_order_id = 7"


def operate(world: World, *statements: str) -> None:
    with psycopg.connect(world.warehouse_url) as connection:
        for statement in statements:
            connection.execute(statement)


# Published


def test_a_warehouse_that_is_published_whole_is_refreshed_as_before(company: World) -> None:
    operate(company, "create publication everything for all tables")
    company.change(SPOIL, *NEW_DEAL, "delete from payment where payment_id = 3")
    company.change("update staff set first_name = first_name || '!'")
    company.refresh()
    assert company.quarantined() == [("sales_order", 7)]
    company.change(MEND)
    company.refresh()
    assert company.quarantined() == []
    assert company.wrongs() == []


@pytest.mark.parametrize("identity", ["nothing", "using index nameless"])
def test_a_published_table_whose_rows_have_no_identity_is_named(company: World, identity: str) -> None:
    operate(
        company,
        "create publication everything for all tables",
        "create unique index nameless on dim_staff (staff_id)",
        f"alter table dim_staff replica identity {identity}",
        "drop index nameless",
    )
    company.change("update staff set first_name = first_name || '!'")
    with pytest.raises(ReplicaIdentityError, match=r"cannot be changed in dim_staff, which a publication includes"):
        company.refresh()
    operate(company, "alter table dim_staff replica identity default")
    company.refresh()
    assert company.wrongs() == []


# Moved


def test_a_warehouse_that_was_moved_without_its_sequences_shows_new_versions(company: World) -> None:
    operate(
        company,
        "alter sequence fact_sales_order_sales_record_id_seq restart",
        "alter sequence fact_payment_payment_record_id_seq restart",
    )
    company.change(EDIT, *NEW_DEAL)
    company.refresh()
    assert company.wrongs() == []
    assert company.versions("fact_sales_order", 7) == ["live", "live"]
    company.change(EDIT, "delete from payment where payment_id = 1000")
    company.refresh()
    assert company.wrongs() == []


# Extended


def test_what_the_owner_added_is_there_after_a_bulk_load(
    unseen_company: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_load, "MANY_ROWS", 1)
    company = unseen_company
    company.refresh()
    operate(
        company,
        "create table region (region_id integer primary key)",
        "alter table fact_sales_order add region_id integer references region",
        "create table complaint (about bigint references fact_sales_order, by integer references dim_counterparty)",
        "alter table fact_payment alter constraint fact_payment_currency_id_fkey deferrable initially deferred",
        "comment on constraint fact_payment_payment_type_id_fkey on fact_payment is 'Agreed'",
    )
    constraints_of_all = (
        "select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), convalidated, "
        "obj_description(oid, 'pg_constraint') from pg_constraint where conrelid <> 0 order by 1, 2"
    )
    before = company.ask(constraints_of_all)
    company.change("update sales_order set units_sold = units_sold + 1", "update payment set paid = not paid")
    company.refresh()
    assert company.ask(constraints_of_all) == before
    assert company.ask_one("select count(*) from fact_payment where batch = 2") > 0


def test_what_a_bulk_load_set_aside_before_it_failed_comes_back_with_the_next(
    unseen_company: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_load, "MANY_ROWS", 1)
    platform = unseen_company.platform
    migrate(platform.warehouse)
    keys_and_indexes = (
        "select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) from pg_constraint "
        "where conrelid <> 0 union all select tablename, indexname, indexdef from pg_indexes "
        "where schemaname = current_schema() order by 1, 2, 3"
    )
    before = unseen_company.ask(keys_and_indexes)
    ingest(platform.source, platform.lake.ingestion)
    (part,) = BatchLog(platform.lake.ingestion).manifest(1).tables["payment"].parts
    file = Path(platform.lake.ingestion.url.removeprefix("file://"), part.path)
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(PartDamagedError):
        load(platform.warehouse, platform.lake)
    left = unseen_company.ask(keys_and_indexes)
    assert {name for _, name, _ in before} - {name for _, name, _ in left} >= {
        f"{fact}{suffix}" for fact in FACTS for suffix in ("_pkey", "_newest_idx", "_created_date_fkey")
    }
    file.write_bytes(content)
    unseen_company.refresh()
    assert unseen_company.ask(keys_and_indexes) == before
    assert unseen_company.wrongs() == []


# Grown old


def test_a_refresh_reads_no_more_of_a_long_history_than_of_a_short_one(company: World) -> None:
    operate(
        company,
        "insert into load_history select -n, now() - n * interval '1 day', now(), '', '{}' "
        "from generate_series(1, 10000) as n",
        "analyze load_history",
    )
    read = "select seq_scan, seq_tup_read, idx_tup_fetch from pg_stat_user_tables where relname = 'load_history'"

    def reads() -> list[int]:
        """Numbers that sessions hand over when they end, at the latest."""
        ((scans, rows, fetched),) = company.ask(read)
        return [scans, rows, fetched]

    before = reads()
    company.change(EDIT)
    company.refresh()
    company.refresh()
    scans, rows, fetched = (now - then for now, then in zip(reads(), before, strict=True))
    assert (scans, rows) == (0, 0)
    assert 0 < fetched < 20
    assert company.wrongs() == []
