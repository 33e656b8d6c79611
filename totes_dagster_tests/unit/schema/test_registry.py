"""The warehouse's declaration against the schema that queries are written for."""

import pytest
from sqlalchemy import Column, String, Table

from totes_dagster.schema import totesys
from totes_dagster.schema.dimensions import dim_date
from totes_dagster.schema.registry import DIMENSIONS, FACTS, STAR_TABLES, inputs_of, metadata
from totes_dagster.schema.star import current_view_of, is_fact, natural_key_of, record_id_of, remodelled_columns
from totes_dagster_tests.unit.schema.notation import declared, written

_STAMPS = (
    "created_date date -> dim_date.date_id, created_time time, "
    "last_updated_date date -> dim_date.date_id, last_updated_time time"
)
_ADDED = "is_deleted bool, batch bigint"

SCHEMA = f"""
dim_date: date_id date*, year int, month int, day int, day_of_week int, day_name varchar, month_name varchar, quarter int
dim_location: location_id int*, address_line_1 varchar, address_line_2 varchar?, district varchar?, city varchar, postal_code varchar, country varchar, phone varchar
dim_counterparty: counterparty_id int*, counterparty_legal_name varchar, counterparty_legal_address_line_1 varchar, counterparty_legal_address_line_2 varchar?, counterparty_legal_district varchar?, counterparty_legal_city varchar, counterparty_legal_postal_code varchar, counterparty_legal_country varchar, counterparty_legal_phone_number varchar
dim_currency: currency_id int*, currency_code varchar, currency_name varchar
dim_design: design_id int*, design_name varchar, file_location varchar, file_name varchar
dim_payment_type: payment_type_id int*, payment_type_name varchar
dim_staff: staff_id int*, first_name varchar, last_name varchar, department_name varchar, location varchar, email_address varchar
dim_transaction: transaction_id int*, transaction_type varchar, sales_order_id int?, purchase_order_id int?
fact_sales_order: sales_record_id bigint*, sales_order_id int, {_STAMPS}, sales_staff_id int -> dim_staff.staff_id, counterparty_id int -> dim_counterparty.counterparty_id, units_sold int, unit_price money, currency_id int -> dim_currency.currency_id, design_id int -> dim_design.design_id, agreed_payment_date date -> dim_date.date_id, agreed_delivery_date date -> dim_date.date_id, agreed_delivery_location_id int -> dim_location.location_id, {_ADDED}
fact_purchase_order: purchase_record_id bigint*, purchase_order_id int, {_STAMPS}, staff_id int -> dim_staff.staff_id, counterparty_id int -> dim_counterparty.counterparty_id, item_code varchar, item_quantity int, item_unit_price money, currency_id int -> dim_currency.currency_id, agreed_delivery_date date -> dim_date.date_id, agreed_payment_date date -> dim_date.date_id, agreed_delivery_location_id int -> dim_location.location_id, {_ADDED}
fact_payment: payment_record_id bigint*, payment_id int, {_STAMPS}, transaction_id int -> dim_transaction.transaction_id, counterparty_id int -> dim_counterparty.counterparty_id, payment_amount money, currency_id int -> dim_currency.currency_id, payment_type_id int -> dim_payment_type.payment_type_id, paid bool, payment_date date -> dim_date.date_id, {_ADDED}
load_history: batch bigint*, snapshot_at stamptz, loaded_at stamptz, manifest_sha256 varchar, tables jsonb
quarantine: source_table varchar, source_key int?, reason varchar, batch bigint, part varchar
"""  # noqa: E501 - one table, one line

OURS = {"load_history", "quarantine"}
STARS = list(STAR_TABLES.values())
REMODELLED = [column for star in STARS for column in remodelled_columns(star)]


def test_the_declaration_is_the_schema_that_analysts_know() -> None:
    assert declared(metadata) == written(SCHEMA)


def test_record_ids_of_facts_are_generated_and_keys_of_dimensions_are_not() -> None:
    generated = {table.name: table.primary_key.columns[0] is table.autoincrement_column for table in STARS}
    assert generated == {name: name.startswith("fact_") for name in written(SCHEMA) if name not in OURS}


def test_the_eleven_star_tables_are_all_there_and_dimensions_come_first() -> None:
    names = list(STAR_TABLES)
    assert sorted(names) == sorted(set(written(SCHEMA)) - OURS)
    assert [name.split("_")[0] for name in names] == ["dim"] * 8 + ["fact"] * 3
    for place, table in enumerate(STARS):
        assert {key.column.table.name for key in table.foreign_keys} <= set(names[:place])


def test_every_star_table_is_remodelled() -> None:
    assert set(REMODELS) == set(STAR_TABLES)


@pytest.mark.parametrize("table", metadata.tables.values(), ids=lambda table: table.name)
def test_every_table_and_column_is_described_in_a_sentence(table: Table) -> None:
    for described in (table, *table.columns):
        assert described.comment, described
        assert described.comment[0].isupper(), described.comment
        assert described.comment.endswith("."), described.comment


@pytest.mark.parametrize("column", REMODELLED, ids=str)
def test_every_source_of_a_column_is_a_column_of_totesys(column: Column[object]) -> None:
    for source in column.info["sources"]:
        table, name = source.split(".")
        assert name in totesys.SOURCE_TABLES[table].columns, source


@pytest.mark.parametrize("star", REMODELS)
def test_a_star_table_is_remodelled_from_the_very_tables_its_columns_come_from(star: str) -> None:
    named = {
        source.split(".")[0] for column in remodelled_columns(STAR_TABLES[star]) for source in column.info["sources"]
    }
    assert named == set(inputs_of(star))


@pytest.mark.parametrize("star", STARS, ids=lambda star: star.name)
def test_only_what_the_load_fills_in_is_not_remodelled(star: Table) -> None:
    remodelled = [column.name for column in remodelled_columns(star)]
    if is_fact(star):
        assert [column.name for column in star.columns] == [
            record_id_of(star),
            *remodelled,
            "is_deleted",
            "batch",
        ]
        assert natural_key_of(star) == remodelled[0]
    else:
        assert remodelled == [column.name for column in star.columns]
        assert natural_key_of(star) == star.primary_key.columns[0].name


@pytest.mark.parametrize("star", DIMENSIONS.values(), ids=lambda star: star.name)
def test_a_dimension_that_facts_refer_to_can_have_a_placeholder(star: Table) -> None:
    referred_to = {key.column.table for fact in FACTS.values() for key in fact.foreign_keys}
    if star in referred_to - {dim_date}:
        text = [column for column in star.columns if isinstance(column.type, String) and not column.nullable]
        assert text
        assert all(column.nullable or column.primary_key or column in text for column in star.columns)


def test_every_fact_has_a_view_of_its_current_state() -> None:
    assert [current_view_of(fact) for fact in FACTS.values()] == [
        "current_sales_order",
        "current_purchase_order",
        "current_payment",
    ]
