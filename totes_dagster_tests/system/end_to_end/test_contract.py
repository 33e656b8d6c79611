"""A source whose definition changes: what breaks the contract is refused in words, everything else is followed."""

from dataclasses import replace

import pytest

from totes_dagster.errors import SourceSchemaError
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.source_catalogue import Catalogue, contract_path
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import World

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"


def lake_of(world: World) -> list[str]:
    """Every object of the ingestion zone."""
    return world.platform.lake.ingestion.paths("")


# Broken


BROKEN = [
    (
        "alter table staff rename first_name to given_name",
        "alter table staff rename given_name to first_name",
        "staff.first_name: expected text, found no such column, but given_name, which is not declared",
    ),
    (
        'alter table payment rename company_ac_number to "it\'s; {gone}"',
        'alter table payment rename "it\'s; {gone}" to company_ac_number',
        "payment.company_ac_number: expected integer, found no such column, but it's; {gone}, which is not declared",
    ),
    (
        "alter table payment drop company_ac_number",
        "alter table payment add company_ac_number integer not null default 1",
        "payment.company_ac_number: expected integer, found no such column",
    ),
    (
        "alter table sales_order alter unit_price type double precision",
        "alter table sales_order alter unit_price type numeric(10, 2)",
        "sales_order.unit_price: expected numeric(10,2), found double precision",
    ),
    (
        "alter table sales_order alter agreed_payment_date type date using agreed_payment_date::date",
        "alter table sales_order alter agreed_payment_date type text",
        "sales_order.agreed_payment_date: expected text, found date",
    ),
    (
        "alter table sales_order alter created_at type timestamptz(3) using created_at at time zone 'UTC'",
        "alter table sales_order alter created_at type timestamp(3) using created_at at time zone 'UTC'",
        "sales_order.created_at: expected timestamp(3) without time zone, found timestamp(3) with time zone",
    ),
    (
        "alter table purchase_order alter item_quantity type text",
        "alter table purchase_order alter item_quantity type integer using item_quantity::integer",
        "purchase_order.item_quantity: expected integer, found text",
    ),
    (
        "alter table design rename to pattern",
        "alter table pattern rename to design",
        "design: expected a table, found no such table, but pattern, which is not declared",
    ),
    (
        "create schema attic; alter table transaction set schema attic",
        "alter table attic.transaction set schema public; drop schema attic",
        "transaction: expected a table, found no such table",
    ),
    (
        "alter table design rename to pattern; create view design as select * from pattern",
        "drop view design; alter table pattern rename to design",
        "design: expected a table, found a view",
    ),
]
"""What breaks the contract, what mends it, and what the refusal says."""


def test_what_breaks_the_contract_is_refused_before_anything_is_written_and_mended_nothing_is_lost(
    witness: Witness,
) -> None:
    before = lake_of(witness.world), witness.world.ask("select * from load_history")
    for key, (breaking, mending, told) in enumerate(BROKEN, start=1):
        witness.change(breaking, EDIT.format(key), f"update payment set paid = not paid where payment_id = {key}")
        with pytest.raises(SourceSchemaError) as refused:
            witness.world.refresh()
        assert f"The source is not as declared: {told}. Nothing was read." in str(refused.value)
        assert (lake_of(witness.world), witness.world.ask("select * from load_history")) == before, breaking
        witness.change(mending)
    witness.refresh()
    assert witness.listed() == {}
    for key in range(1, len(BROKEN) + 1):
        assert witness.world.versions("fact_sales_order", key) == ["live", "live"]
        assert witness.world.versions("fact_payment", key) == ["live", "live"]


def test_a_database_without_any_of_the_tables_is_refused_in_one_sentence(unseen_company: World) -> None:
    elsewhere = World(replace(unseen_company.platform, source=unseen_company.platform.warehouse.database))
    with pytest.raises(SourceSchemaError) as refused:
        elsewhere.refresh()
    assert f"totesys: expected its {len(SOURCE_TABLES)} tables, found none of them" in str(refused.value)
    assert lake_of(elsewhere) == []


# Followed


def test_types_may_become_wider_and_every_value_arrives_as_it_is(witness: Witness) -> None:
    witness.change(
        "alter table sales_order alter sales_order_id type bigint, alter units_sold type smallint using 1, "
        "alter unit_price type numeric(14, 4), alter created_at type timestamp, alter staff_id type bigint",
        "alter table payment alter payment_amount type numeric, alter payment_date type varchar(10)",
        "alter table currency alter currency_code type text",
        "alter table department alter location type varchar",
        "alter table transaction alter transaction_type type text",
        "alter type \"PaymentTypeName\" add value 'GIFT'",
    )
    witness.refresh()
    witness.change(
        "update sales_order set unit_price = 1.2300, created_at = '2024-01-02 03:04:05.678901' "
        "where sales_order_id = 7",
        "update payment set payment_amount = 0.50000 where payment_id = 3",
        "update payment_type set payment_type_name = 'GIFT' where payment_type_id = 1",
        "update transaction set transaction_type = 'BARTER' where transaction_id = 3",
    )
    witness.refresh()
    assert witness.listed() == {}
    assert witness.world.ask(
        "select unit_price::text, created_time::text from current_sales_order where sales_order_id = 7"
    ) == [("1.23", "03:04:05.678901")]
    # And back, with what is the same by then making no version.
    witness.change("alter table sales_order alter sales_order_id type integer, alter unit_price type numeric(10, 2)")
    witness.refresh()
    assert witness.world.versions("fact_sales_order", 7) == ["live", "live", "live"]


def test_padded_text_arrives_without_the_padding(witness: Witness) -> None:
    witness.change("alter table currency alter currency_code type character(7)")
    witness.refresh()
    assert witness.world.ask("select max(length(currency_code)) from dim_currency") == [(3,)]


def test_a_label_of_an_enum_that_is_renamed_is_noticed_though_no_row_changed(witness: Witness) -> None:
    witness.change("alter type \"PaymentTypeName\" rename value 'SALES_RECEIPT' to 'RECEIPT'")
    witness.refresh()
    assert witness.world.ask_one("select count(*) from dim_payment_type where payment_type_name = 'RECEIPT'") == 1
    witness.change("alter type \"TransactionType\" rename value 'SALE' to 'SOLD'")
    witness.refresh()
    assert witness.world.ask("select distinct transaction_type from dim_transaction order by 1") == [
        ("PURCHASE",),
        ("SOLD",),
    ]


def test_columns_in_another_order_are_the_same_columns(witness: Witness) -> None:
    columns = [column.name for column in SOURCE_TABLES["payment"].columns]
    witness.change(
        f"create table shuffled as select {', '.join(sorted(columns, key=lambda name: name[::-1]))} from payment",
        "alter table shuffled add primary key (payment_id)",
        "alter table payment rename to former",
        "alter table shuffled rename to payment",
        "drop table former",
        "update payment set paid = not paid where payment_id = 3",
    )
    witness.refresh()
    assert witness.world.versions("fact_payment", 3) == ["live", "live"]
    assert witness.world.versions("fact_payment", 4) == ["live"]


# The catalogue


def test_every_definition_that_was_seen_is_kept_and_named_by_the_batches_of_its_time(witness: Witness) -> None:
    def contract(manifest: Manifest) -> Catalogue:
        data = witness.world.platform.lake.ingestion.read(contract_path(manifest.contract))
        assert data is not None
        return Catalogue.model_validate_json(data.to_pybytes())

    witness.change(EDIT.format(7))
    plain = witness.batch()
    witness.change("alter table staff add badge integer, alter first_name drop not null", "create table new ()")
    altered = witness.batch()
    witness.change("alter table staff drop badge, alter first_name set not null", "drop table new")
    again = witness.batch()

    assert plain.contract == again.contract != altered.contract
    assert sorted(path for path in lake_of(witness.world) if path.startswith("contracts/")) == sorted(
        map(contract_path, {plain.contract, altered.contract})
    )
    first_name, badge = (contract(altered).tables["staff"].column(name) for name in ("first_name", "badge"))
    assert first_name is not None
    assert badge is not None
    assert (first_name.full_type, first_name.nullable) == ("text", True)
    assert (badge.full_type, badge.nullable) == ("integer", True)
    declared = contract(plain).tables
    assert set(declared) == set(SOURCE_TABLES)
    payment_type_name = declared["payment_type"].column("payment_type_name")
    assert payment_type_name is not None
    assert payment_type_name.labels[0] == "SALES_RECEIPT"
    assert declared["staff"].key == ("staff_id",)
