"""What is read off a star table's declaration."""

import pytest
from sqlalchemy import String, Table

from totes_dagster.schema.registry import CALENDAR, DIMENSIONS, FACTS, STAR_TABLES
from totes_dagster.schema.star import (
    StarKind,
    current_view_of,
    is_fact,
    is_personal,
    kind_of,
    natural_key_of,
    placeholder_columns,
    record_id_of,
    remodel_version_of,
    remodelled_columns,
    version_order_of,
)
from totes_dagster_tests import specification


def test_every_star_table_is_of_one_kind() -> None:
    for name, table in STAR_TABLES.items():
        expected = StarKind.CALENDAR if table is CALENDAR else StarKind.FACT if name in FACTS else StarKind.DIMENSION
        assert kind_of(table) is expected
        assert is_fact(table) == (expected is StarKind.FACT)


@pytest.mark.parametrize("star", STAR_TABLES)
def test_the_natural_key_and_the_record_id_are_those_of_the_specification(star: str) -> None:
    table, specified = STAR_TABLES[star], specification.STAR_TABLES[star]
    assert natural_key_of(table) == specified.key
    if is_fact(table):
        assert record_id_of(table) == specified.record_id
        assert version_order_of(table) == ("batch", specified.record_id)


def test_record_ids_of_facts_are_generated_and_keys_of_dimensions_are_not() -> None:
    generated = {
        name: table.primary_key.columns[0] is table.autoincrement_column for name, table in STAR_TABLES.items()
    }
    assert generated == {name: name in FACTS for name in STAR_TABLES}


@pytest.mark.parametrize("star", STAR_TABLES.values(), ids=STAR_TABLES)
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


@pytest.mark.parametrize("star", DIMENSIONS.values(), ids=DIMENSIONS)
def test_a_dimension_that_facts_refer_to_can_have_a_placeholder(star: Table) -> None:
    referred_to = {key.column.table for fact in FACTS.values() for key in fact.foreign_keys}
    if star in referred_to - {CALENDAR}:
        text = [column for column in star.columns if isinstance(column.type, String) and not column.nullable]
        assert text
        assert placeholder_columns(star) == [column.name for column in text]
        assert all(column.nullable or column.primary_key or column in text for column in star.columns)


def test_every_fact_has_a_view_of_its_current_state() -> None:
    assert [current_view_of(fact) for fact in FACTS.values()] == [
        "current_sales_order",
        "current_purchase_order",
        "current_payment",
    ]


@pytest.mark.parametrize("star", STAR_TABLES.values(), ids=STAR_TABLES)
def test_a_remodel_has_a_version_from_1_on(star: Table) -> None:
    assert remodel_version_of(star) >= 1


def test_columns_are_personal_where_they_are_computed_from_a_personal_one() -> None:
    personal = {str(column) for table in STAR_TABLES.values() for column in table.columns if is_personal(column)}
    assert personal >= {"dim_staff.first_name", "dim_staff.last_name", "dim_staff.email_address"}
    assert not {"dim_staff.department_name", "dim_design.design_name", "fact_payment.payment_amount"} & personal
