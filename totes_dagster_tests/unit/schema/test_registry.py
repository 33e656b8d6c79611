"""The warehouse's declaration against the schema that queries are written for, and what is derived from it."""

import pytest
from sqlalchemy import Column, Table

from totes_dagster.feeds.declared import FEEDS
from totes_dagster.schema import totesys
from totes_dagster.schema.registry import (
    CALENDAR,
    DIMENSIONS,
    FACTS,
    FEED_FACTS,
    STAR_TABLES,
    calendar_columns,
    driving_table_of,
    inputs_of,
    metadata,
    references_to_inputs,
)
from totes_dagster.schema.star import key_columns_of, newest_index_of, remodelled_columns
from totes_dagster_tests import specification
from totes_dagster_tests.unit.schema.notation import declared, written

SCHEMA = f"""
{specification.in_notation()}
load_history: batch bigint*, snapshot_at stamptz, loaded_at stamptz, manifest_sha256 varchar, tables jsonb, \
totals jsonb?
commit_time: fact varchar*, batch bigint*, key int*, committed_at stamptz
quarantine: source_table varchar, source_key int?, reason varchar, batch bigint, part varchar
"""

OF_FEEDS = """
fact_exchange_rate: exchange_rate_record_id bigint*, quote_code varchar, rate_date date, rate rate, is_deleted bool, \
batch bigint
fact_shipment: shipment_record_id bigint*, sales_order_id int, delivered_at moment, delivered_date date, units int, \
is_deleted bool, batch bigint
fact_sales_target: sales_target_record_id bigint*, month date, department_name varchar, amount_gbp target, \
decided_on date?, is_deleted bool, batch bigint
rate_on_day: date_id date*, currency_id int*, currency_code varchar, per_eur rate?, gbp_per_eur rate?, rate_date date?
feed_history: feed varchar*, batch bigint*, taken_at stamptz, loaded_at stamptz, manifest_sha256 varchar, counts jsonb
feed_file: feed varchar*, path varchar*, version varchar, sha256 varchar, bytes bigint, landed_at stamptz, \
rows bigint, refused varchar?, repeats varchar?, batch bigint
feed_quarantine: feed varchar, path varchar, line bigint, key varchar?, reason varchar, batch bigint
"""

OURS = {"load_history", "commit_time", "quarantine"}
STARS = list(STAR_TABLES.values())
REMODELLED = [column for star in STARS for column in remodelled_columns(star)]
EVENTS = {fact.source for fact in specification.FACTS.values()}


def test_the_declaration_is_the_schema_that_analysts_know() -> None:
    assert declared(metadata) == written(SCHEMA) | written(OF_FEEDS)


def test_the_star_tables_are_all_there_and_dimensions_come_first() -> None:
    names = list(STAR_TABLES)
    assert sorted(names) == sorted(set(written(SCHEMA)) - OURS)
    assert names == [*DIMENSIONS, *FACTS]
    assert all(name.startswith("dim_") for name in DIMENSIONS)
    assert all(name.startswith("fact_") for name in FACTS)
    for place, table in enumerate(STARS):
        assert {key.column.table.name for key in table.foreign_keys} <= set(names[:place])


@pytest.mark.parametrize("table", metadata.tables.values(), ids=metadata.tables)
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


@pytest.mark.parametrize("star", STAR_TABLES)
def test_a_star_table_is_remodelled_from_the_very_tables_its_columns_come_from(star: str) -> None:
    named = {
        source.split(".")[0] for column in remodelled_columns(STAR_TABLES[star]) for source in column.info["sources"]
    }
    assert named == set(inputs_of(star))


@pytest.mark.parametrize("fact", FEED_FACTS.values(), ids=FEED_FACTS)
def test_the_fact_of_a_feed_refers_to_no_dimension_and_is_no_part_of_totesys_batches(fact: Table) -> None:
    assert fact.name not in STAR_TABLES
    assert not fact.foreign_keys
    key = key_columns_of(fact)
    assert not any(fact.columns[name].nullable for name in key)
    assert [column.name for column in fact.columns][1 : len(key) + 1] == list(key)
    (index,) = fact.indexes
    assert index.name == newest_index_of(fact)


def test_every_fact_of_a_feed_is_that_of_a_feed() -> None:
    assert [feed.fact for feed in FEEDS.values()] == list(FEED_FACTS.values())


# What is derived from the declarations


def test_the_tables_of_each_kind_are_those_of_the_specification() -> None:
    assert set(DIMENSIONS) == set(specification.DIMENSIONS)
    assert set(FACTS) == set(specification.FACTS)
    assert CALENDAR.name == specification.CALENDAR.name
    assert CALENDAR is DIMENSIONS[CALENDAR.name]


@pytest.mark.parametrize("star", STAR_TABLES)
def test_the_driving_table_is_the_one_whose_rows_become_rows_and_the_calendar_has_none(star: str) -> None:
    specified = specification.STAR_TABLES[star]
    assert driving_table_of(star) == (None if specified is specification.CALENDAR else specified.source)


@pytest.mark.parametrize("star", STAR_TABLES)
def test_the_inputs_are_the_driving_table_first_and_then_those_in_which_values_are_looked_up(star: str) -> None:
    specified = specification.STAR_TABLES[star]
    if specified is specification.CALENDAR:
        assert set(inputs_of(star)) == EVENTS
        assert len(inputs_of(star)) == len(EVENTS)
    else:
        assert inputs_of(star) == tuple(filter(None, (specified.source, specified.looked_up_in)))


@pytest.mark.parametrize("star", [star for star in STAR_TABLES if star != CALENDAR.name])
def test_values_are_looked_up_by_the_source_columns_that_refer_to_the_other_inputs(star: str) -> None:
    specified = specification.STAR_TABLES[star]
    expected = {specified.looked_up_by: specified.looked_up_in} if specified.looked_up_by else {}
    assert references_to_inputs(star) == expected


def test_the_days_of_the_calendar_are_in_its_key_and_in_all_references_to_it() -> None:
    references = [
        (fact, column.name)
        for fact, specified in specification.FACTS.items()
        for column in specified.columns
        if column.dimension == CALENDAR.name
    ]
    found = [(table.name, column) for table, column in calendar_columns()]
    assert found[0] == (CALENDAR.name, specification.CALENDAR.key)
    assert sorted(found[1:]) == sorted(references)


def test_the_calendar_has_the_days_of_every_date_that_a_fact_is_computed_from() -> None:
    named = {
        source
        for fact in FACTS.values()
        for key in fact.foreign_keys
        if key.column.table is CALENDAR
        for source in key.parent.info["sources"]
    }
    assert named == set(CALENDAR.primary_key.columns[0].info["sources"])
