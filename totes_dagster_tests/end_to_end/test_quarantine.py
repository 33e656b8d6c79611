"""Rows that cannot become rows of the warehouse: set aside with the reason, while all others flow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.database import Database
from totes_dagster.errors import RowsUnaccountedError
from totes_dagster.lake.store import Lake
from totes_dagster.local.postgres import EmbeddedPostgres
from totes_dagster.local.seeding import seed
from totes_dagster.migrations import migrate
from totes_dagster.platform import Platform
from totes_dagster.schema.totesys import TABLES
from totes_dagster.stages import ingest as ingest_stage
from totes_dagster.stages.load import load
from totes_dagster.stages.refresh import remodel
from totes_dagster.stages.remodel import REMODELS
from totes_dagster_tests.end_to_end.witness import Witness
from totes_dagster_tests.end_to_end.world import NEW_ORDER, World

SOON = "update sales_order set agreed_payment_date = 'soon' where sales_order_id = {}"
MENDED = "update sales_order set agreed_payment_date = '2024-02-29' where sales_order_id = {}"
EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"
KEYLESS = "alter table sales_order drop constraint sales_order_pkey cascade"
KEYED = "alter table sales_order add primary key (sales_order_id)"
TWIN = """
    insert into sales_order select sales_order_id, created_at, last_updated, design_id, staff_id, counterparty_id, 77,
           unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
    from sales_order where sales_order_id = 7"""
LIST = "select source_table, source_key, reason, batch, part from quarantine order by 1, 2"


@pytest.fixture
def witness(company: World) -> Witness:
    witness = Witness(company)
    witness.testify()
    return witness


def nullable(*columns: str) -> list[str]:
    return ["alter table {} alter {} drop not null".format(*column.split(".")) for column in columns]


NO_INT32 = "{}, which int32 cannot hold"
NO_MONEY = "{}, which decimal128(10, 2) cannot hold"
BAD_VALUES: list[tuple[str, int, str, str, str]] = [
    ("sales_order", 1, "agreed_payment_date", "'2023-02-30'", "'2023-02-30'"),
    ("sales_order", 2, "agreed_payment_date", "''", "''"),
    ("sales_order", 3, "agreed_delivery_date", "'soon'", "'soon'"),
    ("sales_order", 4, "agreed_delivery_date", "null", "null"),
    ("sales_order", 5, "units_sold", "3000000000", NO_INT32.format(3_000_000_000)),
    ("sales_order", 6, "design_id", "-3000000000", NO_INT32.format(-3_000_000_000)),
    ("sales_order", 7, "unit_price", "'NaN'", NO_MONEY.format("nan")),
    ("sales_order", 8, "unit_price", "100000000", NO_MONEY.format(100_000_000)),
    ("sales_order", 9, "unit_price", "1.005", NO_MONEY.format("1.005")),
    ("sales_order", 10, "unit_price", "null", "null"),
    ("sales_order", 11, "created_at", "'infinity'", "infinity"),
    ("sales_order", 12, "created_at", "'-infinity'", "-infinity"),
    ("sales_order", 13, "last_updated", "'12000-01-01'", "12000-01-01 00:00:00.000000"),
    ("sales_order", 14, "last_updated", "'0044-03-15 BC'", "-0043-03-15 00:00:00.000000"),
    ("sales_order", 15, "last_updated", "'294276-12-31'", "after the year 294246"),
    ("payment", 1, "paid", "null", "null"),
    ("payment", 2, "payment_date", "'0000-01-01'", "'0000-01-01'"),
    ("payment", 3, "payment_date", "' 2024-01-01'", "' 2024-01-01'"),
    ("purchase_order", 1, "item_code", "null", "null"),
    ("transaction", 1, "transaction_type", "null", "null"),
    ("transaction", 2, "sales_order_id", "3000000000", NO_INT32.format(3_000_000_000)),
    ("address", 1, "city", "null", "null"),
    ("counterparty", 1, "counterparty_legal_name", "null", "null"),
    ("currency", 1, "currency_code", "null", "null"),
    ("design", 1, "file_name", "null", "null"),
    ("payment_type", 1, "payment_type_name", "null", "null"),
    ("staff", 1, "email_address", "null", "null"),
]
"""Table, key, column, a bad value, and what the reason says that it is."""

WIDER = (
    "alter table sales_order alter units_sold type bigint, alter design_id type bigint, alter unit_price type numeric",
    "alter table transaction alter sales_order_id type bigint",
    *nullable(*(f"{table}.{column}" for table, _, column, value, _ in BAD_VALUES if value == "null")),
)


def test_bad_values_are_set_aside_each_with_its_reason_until_they_are_mended(witness: Witness) -> None:
    witness.change("create schema attic", *(f"create table attic.{table} as table {table}" for table in TABLES))
    witness.change(
        *WIDER,
        *(
            f"update {table} set {column} = {value} where {table}_id = {key}"
            for table, key, column, value, _ in BAD_VALUES
        ),
        EDIT.format(50),
    )
    witness.refresh()
    listed = witness.listed()
    assert {(table, key) for table, key, *_ in BAD_VALUES} == set(listed)
    for table, key, column, _, told in BAD_VALUES:
        assert listed[table, key].endswith(f"{table}.{column} is {told}"), listed[table, key]
    assert witness.world.versions("fact_sales_order", 50) == ["live", "live"]
    assert witness.world.versions("fact_sales_order", 7) == ["live"]

    witness.change(
        *(
            f"update {table} set {column} = kept.{column} from attic.{table} as kept "
            f"where {table}.{table}_id = {key} and kept.{table}_id = {key}"
            for table, key, column, *_ in BAD_VALUES
        )
    )
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 7) == ["live"]


def test_an_edited_row_that_is_set_aside_shows_its_previous_version_until_it_is_mended(witness: Witness) -> None:
    witness.change(SOON.format(7), EDIT.format(7))
    witness.refresh()
    witness.change(EDIT.format(7), EDIT.format(8))
    witness.refresh()
    assert witness.world.ask("select batch from quarantine") == [(3,)]
    assert witness.world.versions("fact_sales_order", 7) == ["live"]
    witness.change(MENDED.format(7))
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live"]
    assert witness.listed() == {}
    assert witness.world.has_arrived()


def test_in_the_very_first_batch_rows_are_set_aside_too_and_what_refers_to_them_gets_a_placeholder(
    unseen_company: World,
) -> None:
    witness = Witness(unseen_company)
    witness.change(
        *nullable("design.file_name"),
        "update design set file_name = null from sales_order as sold "
        "where design.design_id = sold.design_id and sales_order_id = 8",
        SOON.format(7),
    )
    witness.refresh()
    assert unseen_company.versions("fact_sales_order", 7) == []
    placeholder = "select design_name from dim_design join fact_sales_order using (design_id) where sales_order_id = 8"
    assert unseen_company.ask_one(placeholder) == "Unknown"
    witness.change("update design set file_name = 'found.svg' where file_name is null")
    witness.refresh()
    assert unseen_company.ask_one(placeholder) != "Unknown"


def test_a_reference_to_a_new_row_that_is_set_aside_gets_a_placeholder(witness: Witness) -> None:
    witness.change(
        *nullable("design.file_name"),
        "insert into design values (999999, now(), 'Late', '/late', null, now())",
        "update sales_order set design_id = 999999 where sales_order_id = 7",
    )
    (loaded,) = witness.refresh().loaded
    assert loaded.tables["dim_design"].placeholders == 1
    assert set(witness.listed()) == {("design", 999999)}


@pytest.mark.parametrize("deleted", ["alone", "with all"])
def test_a_row_that_is_set_aside_is_not_gone_until_it_is_deleted(witness: Witness, deleted: str) -> None:
    witness.change(SOON.format(7), "delete from sales_order where sales_order_id = 9")
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 9) == ["live", "deleted"]
    witness.refresh(recapture=["sales_order"])
    assert witness.world.versions("fact_sales_order", 7) == ["live"]
    witness.change(
        {
            "alone": "delete from sales_order where sales_order_id = 7",
            "with all": "truncate sales_order",
        }[deleted]
    )
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]
    assert witness.listed() == {}


def test_a_row_that_comes_and_goes_without_ever_being_sound_leaves_no_trace(witness: Witness) -> None:
    witness.change(NEW_ORDER, SOON.format(1000))
    witness.refresh()
    assert set(witness.listed()) == {("sales_order", 1000)}
    witness.change("delete from sales_order where sales_order_id = 1000")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 1000) == []


def test_capturing_every_table_anew_lists_the_same_rows(witness: Witness) -> None:
    witness.change(
        *nullable("staff.first_name"), "update staff set first_name = null where staff_id = 2", SOON.format(7)
    )
    witness.refresh()
    before = witness.listed()
    witness.refresh(recapture=TABLES)
    assert witness.listed() == before
    assert witness.world.ask_one("select min(batch) from quarantine") == 3


def test_the_calendar_does_not_grow_by_the_days_of_a_row_that_is_set_aside(witness: Witness) -> None:
    years = "select min(year), max(year) from dim_date"
    before = witness.world.ask(years)
    dates = "created_at = '1995-05-05', agreed_delivery_date = '2055-01-01'"
    witness.change(f"update sales_order set {dates}, agreed_payment_date = 'soon' where sales_order_id = 7")
    witness.refresh()
    assert witness.world.ask(years) == before
    witness.change(MENDED.format(7))
    witness.refresh()
    assert witness.world.ask(years) == [(1995, 2055)]


def test_columns_that_the_warehouse_does_not_show_may_hold_anything(witness: Witness) -> None:
    witness.change(
        *nullable("payment.counterparty_ac_number"),
        "alter table payment alter company_ac_number type bigint, add note text",
        "update payment set company_ac_number = 3000000000, counterparty_ac_number = null, paid = not paid",
        "update staff set created_at = 'infinity'",
    )
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_payment", 3) == ["live", "live"]


def test_what_looks_up_a_row_that_is_not_what_it_says_is_set_aside_with_it(witness: Witness) -> None:
    witness.change(
        "alter table department drop constraint department_pkey cascade",
        "insert into department select * from department where department_id = (select min(department_id) from staff)",
        "update department set department_name = 'Twins'",
    )
    witness.refresh()
    listed = witness.listed()
    assert listed
    assert {table for table, _ in listed} == {"staff"}
    assert all("that is the key of 2 rows of department" in reason for reason in listed.values())
    assert witness.world.ask_one("select count(*) from dim_staff where department_name = 'Twins'") == 8 - len(listed)
    witness.change(
        "delete from department where ctid in "
        "(select max(ctid) from department group by department_id having count(*) > 1)"
    )
    witness.refresh()
    assert witness.listed() == {}


# Text of other encodings


def recode(url: str, server: str, encoding: str) -> None:
    """Give a database another encoding; nothing may be in it."""
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {}").format(name))
        connection.execute(
            sql.SQL("create database {} template template0 locale_provider libc locale 'C' encoding {}").format(
                name, sql.Literal(encoding)
            )
        )


def test_a_source_of_any_bytes_is_followed_and_what_is_no_text_set_aside(
    platform: Platform, postgres: EmbeddedPostgres
) -> None:
    recode(platform.source.url, postgres.url(), "SQL_ASCII")
    seed(platform.source.url, orders=60)
    company = World(platform)
    with psycopg.connect(platform.source.url) as connection:
        connection.execute(b"update design set design_name = E'Zo\\xc3\\xab' where design_id = 1")
        connection.execute(b"update sales_order set agreed_payment_date = E'\\xff' where sales_order_id = 7")
    company.refresh()
    assert company.quarantined() == [("sales_order", 7)]
    assert company.ask_one("select design_name from dim_design where design_id = 1") == "Zoë"
    with psycopg.connect(platform.source.url) as connection:
        connection.execute(b"update design set design_name = E'Zo\\xeb' where design_id = 1")
        connection.execute(b"alter table payment add note text default E'\\xfe\\xff'")
    company.refresh()
    assert company.quarantined() == [("design", 1), ("sales_order", 7)]
    assert company.reason("design", 1) == r"design.design_name is 'Zo\xeb', which is no UTF-8"
    assert company.ask_one("select design_name from dim_design where design_id = 1") == "Zoë"
    company.change("update design set design_name = 'Zoe' where design_id = 1", MENDED.format(7))
    company.refresh()
    assert company.quarantined() == []
    assert company.versions("fact_sales_order", 7) == ["live"]
    assert company.ask_one("select count(*) from current_payment") == 86


def test_text_of_another_encoding_arrives_as_what_it_means(
    platform: Platform, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    recode(platform.source.url, postgres.url(), "LATIN1")
    seed(platform.source.url, orders=60)
    witness = Witness(World(platform))
    witness.change("update design set design_name = U&'Zo\\00eb' where design_id = 1")
    witness.refresh()
    assert witness.listed() == {}
    name = witness.world.ask_one(
        "select encode(convert_to(design_name, 'UTF8'), 'hex') from dim_design where design_id = 1"
    )
    assert bytes.fromhex(name) == "Zoë".encode()


# Keys


def test_rows_that_share_a_key_are_all_set_aside_until_one_is_left(witness: Witness) -> None:
    witness.change(KEYLESS, TWIN)
    witness.refresh()
    assert witness.world.ask("select source_key, reason from quarantine") == 2 * [
        (7, "sales_order.sales_order_id is the key of 2 rows")
    ]
    assert witness.world.versions("fact_sales_order", 7) == ["live"]
    witness.change("delete from sales_order where sales_order_id = 7 and units_sold <> 77")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live"]


def test_the_row_that_is_left_arrives_also_when_keys_are_made_unique_with_it(witness: Witness) -> None:
    witness.change(KEYLESS, TWIN)
    witness.refresh()
    witness.change("delete from sales_order where sales_order_id = 7 and units_sold <> 77", KEYED)
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.ask_one("select units_sold from current_sales_order where sales_order_id = 7") == 77
    witness.change(EDIT.format(8))
    assert witness.refresh().ingested.batch.tables["sales_order"].rows == 1


def test_twins_written_by_one_transaction_are_noticed_whatever_becomes_of_both(witness: Witness) -> None:
    witness.change(KEYLESS, TWIN, "update sales_order set unit_price = 1 where sales_order_id = 7")
    witness.refresh()
    witness.change("update sales_order set sales_order_id = 70007 where sales_order_id = 7")
    witness.refresh()
    assert set(witness.listed()) == {("sales_order", 70007)}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]


def test_twins_in_parts_of_their_own_are_told_apart_too(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_stage, "ROWS_PER_PART", 25)
    # Their keys are those of the last row of a part and of the first of the next one.
    witness.change(KEYLESS, TWIN.replace("= 7", "= 25"))
    manifest = witness.refresh().ingested.batch
    assert manifest is not None
    assert [part.rows for part in manifest.tables["sales_order"].parts] == [25, 25, 11]
    assert witness.world.ask_one("select count(distinct part) from quarantine") == 2


def test_a_row_without_a_key_is_set_aside_and_its_changes_are_noticed(witness: Witness) -> None:
    witness.change(KEYLESS, *nullable("sales_order.sales_order_id"), NEW_ORDER)
    witness.change("update sales_order set sales_order_id = null where sales_order_id in (7, 1000)")
    witness.refresh()
    assert witness.world.ask("select source_key from quarantine") == [(None,), (None,)]
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]
    witness.change("update sales_order set agreed_payment_date = 'soon' where sales_order_id is null")
    witness.refresh()
    assert all("'soon'" in reason for reason in witness.listed().values())
    witness.change(
        "update sales_order set sales_order_id = 1000, agreed_payment_date = '2024-02-29' where units_sold = 123"
    )
    witness.change("delete from sales_order where sales_order_id is null")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 1000) == ["live"]


def test_a_key_that_the_warehouse_cannot_hold_is_listed_until_it_is_another(witness: Witness) -> None:
    witness.change("alter table sales_order alter sales_order_id type bigint")
    witness.change("update sales_order set sales_order_id = 3000000000 where sales_order_id = 7", SOON.format(8))
    witness.refresh()
    assert set(witness.listed()) == {("sales_order", None), ("sales_order", 8)}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted"]
    witness.change(MENDED.format(8))
    witness.refresh()
    assert witness.listed() == {
        ("sales_order", None): "sales_order.sales_order_id is 3000000000, which int32 cannot hold"
    }
    witness.change("update sales_order set sales_order_id = 7 where sales_order_id = 3000000000")
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.versions("fact_sales_order", 7) == ["live", "deleted", "live"]


def test_rows_of_tables_that_inherit_share_keys_like_any_others(witness: Witness) -> None:
    witness.change(
        "alter table staff drop constraint staff_pkey cascade",
        "alter table staff add primary key (staff_id)",
        "create table more_staff () inherits (staff)",
        "insert into more_staff select * from staff where staff_id = 2",
        "create table more_orders () inherits (sales_order)",
        "insert into more_orders select * from sales_order where sales_order_id = 7",
        "update more_orders set units_sold = 1",
        "create table more_departments () inherits (department)",
    )
    witness.refresh()
    assert {("staff", 2), ("sales_order", 7)} == set(witness.listed())
    witness.change("delete from more_orders", "delete from only staff where staff_id = 2")
    witness.refresh()
    assert witness.listed() == {}


# The lake


def test_the_lake_alone_tells_which_rows_are_set_aside(
    witness: Witness, database: Callable[..., str], tmp_path: Path
) -> None:
    witness.change(SOON.format(7), SOON.format(8), *nullable("design.file_name"), "update design set file_name = null")
    witness.refresh()
    witness.change(KEYLESS, TWIN, MENDED.format(8), "delete from design where design_id = 1")
    witness.refresh()
    witness.change(EDIT.format(9))
    witness.refresh()
    listed = witness.world.ask(LIST)
    assert len(listed) > 20

    anew = replace(
        witness.world.platform,
        warehouse=Database("warehouse", database("rebuilt")),
        processed=Lake((tmp_path / "anew").as_uri()),
    )
    for star in REMODELS:
        remodel(anew, star)
    migrate(anew.warehouse, anew.schema)
    load(anew.warehouse, anew.schema, anew.ingestion, anew.processed)
    assert World(anew).ask(LIST) == listed
    paths = witness.world.platform.processed.paths("quarantine")
    assert anew.processed.paths("quarantine") == paths
    assert all(anew.processed.read(path) == witness.world.platform.processed.read(path) for path in paths)


def shorter(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


def doubled(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows]).replace_schema_metadata(rows.schema.metadata)


def silent_on_the_quarantine(rows: pa.Table) -> pa.Table:
    return rows.replace_schema_metadata(None)


TAMPERED = [
    ("fact_sales_order", shorter),
    ("fact_sales_order", doubled),
    ("fact_sales_order", silent_on_the_quarantine),
    ("quarantine/sales_order", shorter),
    ("quarantine/sales_order", doubled),
    ("dim_design", shorter),
]


def test_rows_that_somebody_takes_out_or_puts_in_are_missed_or_found_before_the_batch_is_loaded(
    witness: Witness,
) -> None:
    platform = witness.world.platform
    witness.change(SOON.format(7), EDIT.format(8), "update design set file_name = 'other'")
    ingest_stage.ingest(platform.source, platform.ingestion)
    for star in REMODELS:
        remodel(platform, star)
    before = everything(witness.world)
    for folder, tamper in TAMPERED:
        (path,) = (path for path in platform.processed.paths(folder) if "batch=0000000002" in path)
        file = Path(platform.processed.url.removeprefix("file://")) / path
        whole = file.read_bytes()
        pq.write_table(tamper(pq.read_table(pa.BufferReader(whole))), file)
        with pytest.raises(RowsUnaccountedError, match=r"Batch 2 has .* rows of (sales_order|design), but "):
            load(platform.warehouse, platform.schema, platform.ingestion, platform.processed)
        assert everything(witness.world) == before, (folder, tamper)
        file.write_bytes(whole)
    witness.refresh()


def everything(world: World) -> list[list[Any]]:
    tables = ("fact_sales_order", "dim_design", "quarantine", "load_history")
    return [world.ask(f"select * from {table} order by 1") for table in tables]


# Several at once


def test_refreshes_that_race_leave_the_list_right(witness: Witness) -> None:
    witness.change(KEYLESS)
    with ThreadPoolExecutor(3) as pool:
        for change in (
            SOON.format(7),
            TWIN,
            MENDED.format(7),
            SOON.format(8),
            "delete from sales_order where units_sold = 77",
        ):
            runs = [pool.submit(witness.world.refresh) for _ in range(3)]
            witness.change(change)
            for run in runs:
                run.result(timeout=60)
    witness.world.refresh()
    assert set(witness.listed()) == {("sales_order", 8)}
    assert witness.world.ask_one("select units_sold from current_sales_order where sales_order_id = 7") != 77
    assert list(witness.unaccounted()) == []
    assert list(witness.unfounded()) == []
    assert witness.world.ask_one("select count(*) from quarantine") == 1
