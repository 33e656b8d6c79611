"""The source's declaration against the tables as their owner runs them."""

import pytest
from sqlalchemy import Table

from totes_dagster.schema import totesys
from totes_dagster.schema.totesys import Capture
from totes_dagster_tests.unit.schema.notation import declared, written

_STAMPS = "created_at stamp, last_updated stamp"
_PARTIES = "staff_id int -> staff.staff_id, counterparty_id int -> counterparty.counterparty_id"
_CURRENCY = "currency_id int -> currency.currency_id"
_AGREED = "agreed_delivery_date text, agreed_payment_date text, agreed_delivery_location_id int -> address.address_id"

SCHEMA = f"""
_prisma_migrations: id text*
address: address_id int*, address_line_1 text, address_line_2 text?, district text?, city text, postal_code text, country text, phone text, {_STAMPS}
counterparty: counterparty_id int*, counterparty_legal_name text, legal_address_id int -> address.address_id, commercial_contact text?, delivery_contact text?, {_STAMPS}
currency: currency_id int*, currency_code varchar(3), {_STAMPS}
department: department_id int*, department_name text, location text?, manager text?, {_STAMPS}
design: design_id int*, created_at stamp, design_name text, file_location text, file_name text, last_updated stamp
staff: staff_id int*, first_name text, last_name text, department_id int -> department.department_id, email_address text, {_STAMPS}
payment_type: payment_type_id int*, payment_type_name "PaymentTypeName", {_STAMPS}
sales_order: sales_order_id int*, {_STAMPS}, design_id int -> design.design_id, {_PARTIES}, units_sold int, unit_price money, {_CURRENCY}, {_AGREED}
purchase_order: purchase_order_id int*, {_STAMPS}, {_PARTIES}, item_code text, item_quantity int, item_unit_price money, {_CURRENCY}, {_AGREED}
transaction: transaction_id int*, transaction_type "TransactionType", sales_order_id int? -> sales_order.sales_order_id, purchase_order_id int? -> purchase_order.purchase_order_id, {_STAMPS}
payment: payment_id int*, {_STAMPS}, transaction_id int -> transaction.transaction_id, counterparty_id int -> counterparty.counterparty_id, payment_amount money, {_CURRENCY}, payment_type_id int -> payment_type.payment_type_id, paid bool, payment_date text, company_ac_number int, counterparty_ac_number int
"""  # noqa: E501 - one table, one line

TABLES = list(totesys.SOURCE_TABLES.values())


def test_the_declaration_is_the_schema_of_the_owner() -> None:
    assert declared(totesys.metadata) == written(SCHEMA)


def test_the_older_form_of_the_source_does_not_enforce_four_references() -> None:
    newer = {
        (table.name, reference.column_keys[0], reference.ondelete)
        for table in TABLES
        for reference in table.foreign_key_constraints
        if totesys.is_newer(reference)
    }
    assert newer == {
        ("sales_order", "design_id", None),
        ("payment", "transaction_id", None),
        ("transaction", "sales_order_id", "SET NULL"),
        ("transaction", "purchase_order_id", "SET NULL"),
    }


def test_the_bookkeeping_of_the_sources_application_is_not_ours() -> None:
    assert set(totesys.SOURCE_TABLES) == set(written(SCHEMA)) - {"_prisma_migrations"}


def test_every_reference_points_to_a_table_before() -> None:
    for place, table in enumerate(TABLES):
        assert {key.column.table for key in table.foreign_keys} <= set(TABLES[:place])


def test_events_are_captured_as_changes_and_references_whole() -> None:
    changes = {name for name, table in totesys.SOURCE_TABLES.items() if totesys.capture_of(table) is Capture.CHANGES}
    assert changes == {"sales_order", "purchase_order", "transaction", "payment"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_and_column_is_described_in_a_sentence(table: Table) -> None:
    for described in (table, *table.columns):
        assert described.comment, described
        assert described.comment.endswith("."), described.comment
    assert totesys.key_of(table) == f"{table.name}_id"
