"""Warehouses that are not new: with the predefined tables already there, of another shape, or in another schema."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from totes_dagster.config.platform import Platform
from totes_dagster.errors import WarehouseSchemaError
from totes_dagster.schema.registry import FEED_FACTS
from totes_dagster.schema.views import VIEWS
from totes_dagster_tests import oracle
from totes_dagster_tests.predefined import PREDEFINED, ROWS
from totes_dagster_tests.system.platforms import lake_in, prepare, warehouse_at
from totes_dagster_tests.world import World


def catalogue(platform: Platform) -> list[tuple[Any, ...]]:
    """Every column of every relation of the warehouse's database, and how many rows there are."""
    with psycopg.connect(platform.warehouse.database.url) as connection:
        return connection.execute(
            "select table_schema, table_name, column_name, data_type from information_schema.columns "
            "where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2, 3"
        ).fetchall()


def test_the_predefined_tables_are_adopted(unseen_company: World) -> None:
    prepare(unseen_company.platform, PREDEFINED)
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []
    unseen_company.change("update sales_order set units_sold = 1 where sales_order_id = 7")
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []
    assert unseen_company.versions("fact_sales_order", 7) == ["live", "live"]


def test_tables_made_without_foreign_keys_get_them(unseen_company: World) -> None:
    prepare(unseen_company.platform, re.sub(r" references \w+", "", PREDEFINED))
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []


def test_rows_that_point_nowhere_do_not_stand_in_the_way_of_foreign_keys(unseen_company: World) -> None:
    prepare(unseen_company.platform, re.sub(r" references \w+", "", PREDEFINED), ROWS)
    prepare(
        unseen_company.platform,
        "update fact_sales_order set design_id = 777, created_date = '2018-03-04' where sales_order_id = 900000",
    )
    unseen_company.refresh()
    assert unseen_company.wrongs() == []
    assert unseen_company.ask("select design_name from dim_design where design_id = 777") == [("Unknown",)]


def test_the_order_of_columns_and_the_kind_of_text_do_not_matter(unseen_company: World) -> None:
    prepare(
        unseen_company.platform,
        PREDEFINED,
        "alter table dim_staff drop column first_name, drop column staff_id cascade",
        "alter table dim_staff add first_name varchar(1) not null, add staff_id int primary key",
        "alter table dim_staff alter location type text",
        "alter table fact_payment drop column payment_amount, drop column paid",
        "alter table fact_payment add paid boolean not null, add payment_amount numeric(10,2) not null",
    )
    unseen_company.refresh()
    unseen_company.change("update payment set paid = not paid", "update staff set first_name = 'Ada'")
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []


def test_rows_from_before_are_kept_as_versions_that_no_batch_brought(unseen_company: World) -> None:
    prepare(unseen_company.platform, PREDEFINED, ROWS)
    unseen_company.refresh()
    assert unseen_company.wrongs() == []
    assert [
        unseen_company.ask("select is_deleted, batch from fact_sales_order where sales_order_id = %s order by 1", key)
        for key in (7, 8, 9, 900000)
    ] == [
        [(False, 0), (False, 1)],
        [(False, 0), (False, 0), (False, 1)],
        [(False, 1)],
        [(False, 0), (True, 1)],
    ]
    # Queries from before find what they found, under the numbers that it had.
    assert unseen_company.ask(
        "select sales_record_id, sales_order_id, created_time::text, unit_price::text from fact_sales_order "
        "where created_date = '2020-05-05' and sales_record_id < 15 order by sales_record_id"
    ) == [(number, key, "01:02:03", "1.50") for number, key in ((11, 7), (12, 8), (13, 8), (14, 900000))]
    assert unseen_company.ask_one("select count(*) from fact_sales_order where sales_record_id > 14") == 61
    assert unseen_company.ask("select currency_name from dim_currency where currency_id in (1, 99) order by 1") == [
        ("British Pound",),
        ("Of another time",),
    ]
    assert unseen_company.refresh().ingested.batch is None


@pytest.fixture
def plainly_loaded(company: World, tmp_path: Path) -> World:
    """A company whose warehouse somebody else loaded with the very rows of the source; the lake is new."""
    prepare(
        company.platform,
        f"drop view {', '.join(VIEWS)}",
        *(f"drop view {fact.view}" for fact in oracle.FACTS.values()),
        *(f"alter table {fact} drop column is_deleted, drop column batch" for fact in oracle.FACTS),
        f"drop table {', '.join(FEED_FACTS)} cascade",
        "drop table rate_on_day, feed_history, feed_file, feed_quarantine",
        "drop table load_history, quarantine, commit_time, totes_warehouse_version",
    )
    return World(replace(company.platform, lake=lake_in(tmp_path / "new")))


def test_rows_that_equal_the_source_are_left_as_they_are(plainly_loaded: World) -> None:
    plainly_loaded.change("update sales_order set units_sold = units_sold + 1 where sales_order_id = 7")
    plainly_loaded.refresh()
    assert plainly_loaded.wrongs(strict=True) == []
    history = oracle.history(plainly_loaded.warehouse_url)
    assert [version[-1] for version in history["fact_sales_order"].pop(7)] == [0, 1]
    assert {version[-1] for versions in history.values() for key in versions.values() for version in key} == {0}


def test_a_calendar_that_counts_days_otherwise_is_put_right(plainly_loaded: World) -> None:
    prepare(plainly_loaded.platform, "update dim_date set day_of_week = extract(dow from date_id), quarter = 0")
    plainly_loaded.refresh()
    assert plainly_loaded.wrongs(strict=True) == []


@pytest.mark.parametrize(
    ("spoil", "named", "mend"),
    [
        (
            "alter table fact_sales_order alter unit_price type double precision",
            "fact_sales_order.unit_price",
            "alter table fact_sales_order alter unit_price type numeric(10,2)",
        ),
        (
            "alter table fact_payment alter payment_amount type numeric(10,3)",
            "fact_payment.payment_amount",
            "alter table fact_payment alter payment_amount type numeric(10,2)",
        ),
        (
            "alter table dim_staff drop column location",
            "dim_staff has no column location",
            "alter table dim_staff add location varchar not null",
        ),
        (
            "alter table fact_payment alter payment_record_id drop default",
            "fact_payment.payment_record_id",
            "alter table fact_payment alter payment_record_id "
            "set default nextval('fact_payment_payment_record_id_seq')",
        ),
        (
            "alter table fact_purchase_order add is_deleted integer",
            "fact_purchase_order.is_deleted",
            "alter table fact_purchase_order drop column is_deleted",
        ),
        (
            "drop table dim_design cascade; create view dim_design as select 1 as design_id",
            "dim_design",
            "drop view dim_design",
        ),
        (
            "create view current_payment as select 1 as amount",
            "current_payment",
            "drop view current_payment",
        ),
    ],
    ids=["floats", "scale", "column missing", "not generated", "our column's name", "view for a table", "view's name"],
)
def test_a_warehouse_of_another_shape_is_refused_by_name_and_left_alone(
    unseen_company: World, spoil: str, named: str, mend: str
) -> None:
    prepare(unseen_company.platform, PREDEFINED, spoil)
    before = catalogue(unseen_company.platform)
    with pytest.raises(WarehouseSchemaError, match=re.escape(named)):
        unseen_company.refresh()
    assert catalogue(unseen_company.platform) == before

    prepare(unseen_company.platform, mend)
    unseen_company.refresh()
    assert unseen_company.wrongs(strict=True) == []


def test_a_record_id_whose_sequence_is_somebody_elses_is_refused(unseen_company: World) -> None:
    prepare(
        unseen_company.platform,
        PREDEFINED,
        "alter sequence fact_payment_payment_record_id_seq owned by none",
    )
    with pytest.raises(
        WarehouseSchemaError, match=r"fact_payment\.payment_record_id is not generated by its own sequence"
    ):
        unseen_company.refresh()


def test_a_warehouse_half_dropped_is_refused_with_what_to_do(company: World) -> None:
    with psycopg.connect(company.warehouse_url) as connection:
        connection.execute("drop table load_history cascade")
    with pytest.raises(WarehouseSchemaError, match="has a totes_warehouse_version but no load_history"):
        company.refresh()
    with psycopg.connect(company.warehouse_url) as connection:
        connection.execute("drop schema public cascade")
    company.refresh()
    assert company.wrongs(strict=True) == []


@pytest.mark.parametrize("schema", ["analytics", 'It\'s "quoted", 100% {so} to speak; ünd so\\weiter'])
def test_the_warehouse_may_live_in_any_schema(unseen_company: World, schema: str) -> None:
    elsewhere = World(replace(unseen_company.platform, warehouse=warehouse_at(unseen_company.warehouse_url, schema)))
    elsewhere.refresh()
    assert elsewhere.wrongs(strict=True) == []
    assert {row[0] for row in catalogue(elsewhere.platform)} == {schema}
    elsewhere.change(
        "update sales_order set units_sold = 1 where sales_order_id = 7",
        "delete from payment where payment_id = 3",
    )
    elsewhere.refresh()
    assert elsewhere.wrongs() == []
    assert elsewhere.versions("fact_payment", 3) == ["live", "deleted"]


def test_one_database_can_hold_two_warehouses(company: World) -> None:
    other = World(replace(company.platform, warehouse=warehouse_at(company.warehouse_url, "second")))
    other.refresh()
    company.change("update sales_order set units_sold = 1 where sales_order_id = 7")
    for world in (company, other):
        world.refresh()
        assert world.wrongs(strict=True) == []
    assert oracle.history(other.warehouse_url, "second") == oracle.history(company.warehouse_url)
