"""Warehouses that are not new: with the predefined tables already there, of another shape, or in another schema."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from totes_dagster.config.platform import Platform
from totes_dagster.errors import WarehouseSchemaError
from totes_dagster_tests import oracle
from totes_dagster_tests.system.platforms import lake_in, warehouse_at
from totes_dagster_tests.world import World

PREDEFINED = """
    create table dim_date (date_id date primary key, year int not null, month int not null, day int not null,
        day_of_week int not null, day_name varchar not null, month_name varchar not null, quarter int not null);
    create table dim_staff (staff_id int primary key, first_name varchar not null, last_name varchar not null,
        department_name varchar not null, location varchar not null, email_address varchar not null);
    create table dim_location (location_id int primary key, address_line_1 varchar not null, address_line_2 varchar,
        district varchar, city varchar not null, postal_code varchar not null, country varchar not null,
        phone varchar not null);
    create table dim_currency (currency_id int primary key, currency_code varchar not null,
        currency_name varchar not null);
    create table dim_design (design_id int primary key, design_name varchar not null, file_location varchar not null,
        file_name varchar not null);
    create table dim_counterparty (counterparty_id int primary key, counterparty_legal_name varchar not null,
        counterparty_legal_address_line_1 varchar not null, counterparty_legal_address_line_2 varchar,
        counterparty_legal_district varchar, counterparty_legal_city varchar not null,
        counterparty_legal_postal_code varchar not null, counterparty_legal_country varchar not null,
        counterparty_legal_phone_number varchar not null);
    create table dim_payment_type (payment_type_id int primary key, payment_type_name varchar not null);
    create table dim_transaction (transaction_id int primary key, transaction_type varchar not null,
        sales_order_id int, purchase_order_id int);
    create table fact_sales_order (sales_record_id serial primary key, sales_order_id int not null,
        created_date date not null references dim_date, created_time time not null,
        last_updated_date date not null references dim_date, last_updated_time time not null,
        sales_staff_id int not null references dim_staff, counterparty_id int not null references dim_counterparty,
        units_sold int not null, unit_price numeric(10,2) not null, currency_id int not null references dim_currency,
        design_id int not null references dim_design, agreed_payment_date date not null references dim_date,
        agreed_delivery_date date not null references dim_date,
        agreed_delivery_location_id int not null references dim_location);
    create table fact_purchase_order (purchase_record_id serial primary key, purchase_order_id int not null,
        created_date date not null references dim_date, created_time time not null,
        last_updated_date date not null references dim_date, last_updated_time time not null,
        staff_id int not null references dim_staff, counterparty_id int not null references dim_counterparty,
        item_code varchar not null, item_quantity int not null, item_unit_price numeric(10,2) not null,
        currency_id int not null references dim_currency, agreed_delivery_date date not null references dim_date,
        agreed_payment_date date not null references dim_date,
        agreed_delivery_location_id int not null references dim_location);
    create table fact_payment (payment_record_id serial primary key, payment_id int not null,
        created_date date not null references dim_date, created_time time not null,
        last_updated_date date not null references dim_date, last_updated_time time not null,
        transaction_id int not null references dim_transaction,
        counterparty_id int not null references dim_counterparty, payment_amount numeric(10,2) not null,
        currency_id int not null references dim_currency, payment_type_id int not null references dim_payment_type,
        paid boolean not null, payment_date date not null references dim_date);
"""
"""The star schemas as they are given, without anything of ours."""

ROWS = """
    insert into dim_date select d, extract(year from d), extract(month from d), extract(day from d),
        extract(isodow from d), to_char(d, 'FMDay'), to_char(d, 'FMMonth'), extract(quarter from d)
        from generate_series(date '2020-01-01', '2020-12-31', '1 day') as d;
    insert into dim_staff select n, 'f', 'l', 'd', 'o', 'e' from generate_series(1, 3) as n;
    insert into dim_location select n, 'a', null, null, 'c', 'p', 'o', 't' from generate_series(1, 3) as n;
    insert into dim_currency values (1, 'GBP', 'Sterling'), (99, 'ZZZ', 'Of another time');
    insert into dim_design values (1, 'n', '/', 'f');
    insert into dim_counterparty values (1, 'n', 'a', null, null, 'c', 'p', 'o', 't');
    insert into dim_payment_type values (1, 'SALES_RECEIPT');
    insert into dim_transaction values (1, 'SALE', 1, null);
    insert into fact_sales_order
    select n, key, '2020-05-05', '01:02:03', '2020-05-05', '01:02:03', 1, 1, key, 1.50, 1, 1, '2020-06-06',
        '2020-06-06', 1
    from (values (11, 7), (12, 8), (13, 8), (14, 900000)) as old (n, key);
"""
"""Rows that were there before us: old versions of orders 7 and 8, and an order that the source never had."""


def prepare(platform: Platform, *scripts: str) -> None:
    with psycopg.connect(platform.warehouse.database.url) as connection:
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(platform.warehouse.schema)))
        connection.execute("select set_config('search_path', quote_ident(%s), false)", [platform.warehouse.schema])
        for script in scripts:
            connection.execute(script)


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
        *(f"drop view {fact.view}" for fact in oracle.FACTS.values()),
        *(f"alter table {fact} drop column is_deleted, drop column batch" for fact in oracle.FACTS),
        "drop table load_history, quarantine, totes_warehouse_version",
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
    with pytest.raises(WarehouseSchemaError, match=r"fact_payment\.payment_record_id is not generated by a sequence"):
        unseen_company.refresh()


def test_a_warehouse_half_dropped_is_refused_with_what_to_do(company: World) -> None:
    with psycopg.connect(company.warehouse_url) as connection:
        connection.execute("drop table load_history")
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
