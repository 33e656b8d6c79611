"""What of the source's catalogue breaks the contract, and what is only reported; decided over plain values."""

import re
from typing import Any

import pytest

from totes_dagster.errors import SourceSchemaError
from totes_dagster.ingest.contract import Deviation, deviations_of, has_unique_keys, refuse_broken, undeclared
from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.lake.source_catalogue import Catalogue, SourceColumn, SourceTable
from totes_dagster.postgres.types import sql_type
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

LABELS = {"payment_type_name": ("SALES_RECEIPT", "SALES_REFUND"), "transaction_type": ("SALE", "PURCHASE")}


def as_declared() -> dict[str, SourceTable]:
    """The source's tables, to the letter."""
    return {
        name: SourceTable(
            columns=tuple(
                column_of(column.name, sql_type(column), nullable=bool(column.nullable)) for column in table.columns
            ),
            key=(key_of(table),),
        )
        for name, table in SOURCE_TABLES.items()
    }


def column_of(name: str, full_type: str, *, nullable: bool = False) -> SourceColumn:
    return SourceColumn(
        name=name,
        type=base_of(full_type),
        full_type=full_type,
        nullable=nullable,
        labels=LABELS.get(name, ()) if name in LABELS else (),
    )


def base_of(full_type: str) -> str:
    """A type as PostgreSQL writes it without its length or precision."""
    return re.sub(r"\(.*?\)", "", full_type)


def deviations(**tables: SourceTable | None) -> list[Deviation]:
    """How a source deviates in which some tables are others, or are not there (None)."""
    changed = as_declared() | tables
    return deviations_of(Catalogue(tables={name: table for name, table in changed.items() if table is not None}))


def altered(table: str, column: str, **changes: Any) -> SourceTable:
    """A declared table of which one column is another."""
    before = as_declared()[table]
    columns = [old.model_copy(update=changes) if old.name == column else old for old in before.columns]
    return before.model_copy(update={"columns": tuple(columns)})


def without(table: str, column: str) -> SourceTable:
    before = as_declared()[table]
    return before.model_copy(update={"columns": tuple(old for old in before.columns if old.name != column)})


def with_new(table: str, column: SourceColumn) -> SourceTable:
    before = as_declared()[table]
    return before.model_copy(update={"columns": (column, *before.columns)})


NEW = SourceTable(columns=(column_of("a", "integer"),))


def test_a_source_that_is_as_declared_deviates_in_nothing() -> None:
    assert deviations() == []


def test_a_table_that_is_gone_breaks_the_contract() -> None:
    assert deviations(staff=None) == [Deviation("staff", None, "a table", "no such table", breaks=True)]


def test_a_table_of_another_name_is_pointed_to() -> None:
    found = deviations(staff=None, employee=NEW)
    assert found[0] == Deviation(
        "staff", None, "a table", "no such table, but employee, which is not declared", breaks=True
    )


def test_a_column_that_is_gone_breaks_the_contract() -> None:
    assert deviations(staff=without("staff", "first_name")) == [
        Deviation("staff", "first_name", "text", "no such column", breaks=True)
    ]


def test_a_column_of_another_name_is_pointed_to() -> None:
    assert deviations(staff=altered("staff", "first_name", name="given_name")) == [
        Deviation("staff", "first_name", "text", "no such column, but given_name, which is not declared", breaks=True),
        Deviation("staff", "given_name", "no such column", "text", breaks=False),
    ]


@pytest.mark.parametrize(
    ("table", "column", "type_"),
    [
        ("sales_order", "sales_order_id", "text"),
        ("sales_order", "sales_order_id", "numeric(10,2)"),
        ("sales_order", "units_sold", "double precision"),
        ("sales_order", "unit_price", "double precision"),
        ("sales_order", "unit_price", "integer"),
        ("sales_order", "unit_price", "money"),
        ("sales_order", "created_at", "timestamp with time zone"),
        ("sales_order", "created_at", "date"),
        ("sales_order", "agreed_payment_date", "date"),
        ("payment", "paid", "integer"),
        ("payment", "paid", "text"),
        ("staff", "first_name", "text[]"),
        ("staff", "first_name", "bytea"),
        ("currency", "currency_code", "integer"),
    ],
)
def test_a_type_that_the_declared_one_cannot_stand_for_breaks_the_contract(table: str, column: str, type_: str) -> None:
    base = base_of(type_)
    expected = sql_type(SOURCE_TABLES[table].columns[column])
    assert deviations(**{table: altered(table, column, type=base, full_type=type_)}) == [
        Deviation(table, column, expected, type_, breaks=True)
    ]


@pytest.mark.parametrize(
    ("table", "column", "type_", "full_type"),
    [
        ("sales_order", "sales_order_id", "bigint", "bigint"),
        ("sales_order", "units_sold", "smallint", "smallint"),
        ("sales_order", "unit_price", "numeric", "numeric(14,4)"),
        ("sales_order", "unit_price", "numeric", "numeric"),
        ("sales_order", "created_at", "timestamp without time zone", "timestamp without time zone"),
        ("currency", "currency_code", "text", "text"),
        ("currency", "currency_code", "character", "character(3)"),
        ("staff", "first_name", "character varying", "character varying(40)"),
        ("transaction", "transaction_type", "text", "text"),
    ],
)
def test_a_type_that_the_declared_one_can_stand_for_is_as_good(
    table: str, column: str, type_: str, full_type: str
) -> None:
    assert deviations(**{table: altered(table, column, type=type_, full_type=full_type)}) == []


@pytest.mark.parametrize("labels", [("SALE",), ("SALE", "PURCHASE", "GIFT"), ("sale", "purchase")])
def test_an_enum_may_have_other_labels(labels: tuple[str, ...]) -> None:
    assert deviations(transaction=altered("transaction", "transaction_type", labels=labels)) == []


def test_nulls_that_are_allowed_and_keys_that_are_gone_are_told_of_without_breaking_the_contract() -> None:
    nullable = altered("staff", "first_name", nullable=True)
    assert deviations(
        staff=nullable.model_copy(update={"key": ()}),
        design=as_declared()["design"].model_copy(update={"key": ("design_id", "file_name")}),
    ) == [
        Deviation("design", None, "primary key design_id", "design_id, file_name", breaks=False),
        Deviation("staff", "first_name", "not null", "nulls allowed", breaks=False),
        Deviation("staff", None, "primary key staff_id", "none", breaks=False),
    ]


def test_a_column_that_has_become_not_null_is_as_good() -> None:
    assert deviations(address=altered("address", "district", nullable=False)) == []


def test_new_columns_and_tables_are_told_of_without_breaking_the_contract() -> None:
    found = deviations(
        staff=with_new("staff", column_of("badge", "integer")),
        a_new_one=NEW,
        hidden=NEW.model_copy(update={"obstacle": "it is hidden"}),
    )
    assert found == [
        Deviation("staff", "badge", "no such column", "integer", breaks=False),
        Deviation("a_new_one", None, "no such table", "a new table, kept in the lake", breaks=False),
        Deviation("hidden", None, "no such table", "a new table, not captured: it is hidden", breaks=False),
    ]


def test_a_column_under_the_name_that_is_ours_is_reported_as_reserved_without_breaking_the_contract() -> None:
    assert deviations(staff=with_new("staff", column_of(UNFIT_VALUES, "character varying(9)"))) == [
        Deviation(
            "staff",
            UNFIT_VALUES,
            "no such column",
            "character varying(9) under a name that the platform reserves, not captured",
            breaks=False,
        )
    ]


@pytest.mark.parametrize("table", SOURCE_TABLES)
def test_no_declared_column_has_the_name_that_is_ours(table: str) -> None:
    assert UNFIT_VALUES not in SOURCE_TABLES[table].columns


def test_the_bookkeeping_of_the_sources_application_is_no_new_table() -> None:
    assert deviations(_prisma_migrations=NEW) == []


def test_new_tables_are_told_from_those_that_cannot_be_read() -> None:
    tables = as_declared() | {"new": NEW, "hidden": NEW.model_copy(update={"obstacle": "it is hidden"})}
    catalogue = Catalogue(tables=tables)
    assert undeclared(catalogue) == ["new"]
    assert undeclared(catalogue, readable=False) == ["hidden"]
    assert undeclared(catalogue, readable=None) == ["new", "hidden"]


@pytest.mark.parametrize(
    ("change", "unique"),
    [
        ({}, True),
        ({"key": ()}, False),
        ({"key": ("staff_id", "first_name")}, False),
        ({"key": ("first_name",)}, False),
        ({"inherited": True}, False),
    ],
)
def test_keys_are_unique_where_the_primary_key_is_the_declared_one_and_holds_for_all_rows(
    change: dict[str, Any], *, unique: bool
) -> None:
    staff = as_declared()["staff"].model_copy(update=change)
    assert has_unique_keys(Catalogue(tables={"staff": staff}), "staff") is unique


def test_the_refusal_names_everything_that_breaks_the_contract_and_nothing_else() -> None:
    found = deviations(
        staff=altered("staff", "first_name", name="given_name"),
        sales_order=altered("sales_order", "unit_price", type="double precision", full_type="double precision"),
        payment=None,
        transaction=altered("transaction", "transaction_type", nullable=True),
    )
    with pytest.raises(SourceSchemaError) as refused:
        refuse_broken(found)
    message = str(refused.value)
    for difference in (
        "staff.first_name: expected text, found no such column, but given_name, which is not declared",
        "sales_order.unit_price: expected numeric(10,2), found double precision",
        "payment: expected a table, found no such table",
    ):
        assert difference in message
    assert "transaction_type" not in message


def test_what_does_not_break_the_contract_is_not_refused() -> None:
    refuse_broken(deviations(new=NEW, staff=altered("staff", "first_name", nullable=True)))
