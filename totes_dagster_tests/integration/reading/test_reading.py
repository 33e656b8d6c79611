"""Tables of the lake and of the warehouse as they are, as they were, and what a batch brought."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from totes_dagster import pipeline
from totes_dagster.config.platform import Platform
from totes_dagster.errors import BatchUnknownError, DatabaseError, PartMissingError, SelectionError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.processed import star_schema
from totes_dagster.reading.lake import ingested_rows, remodelled_rows
from totes_dagster.reading.selection import NEWEST, Selection
from totes_dagster.reading.warehouse import loaded_rows
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.registry import CALENDAR, FACTS, STAR_TABLES
from totes_dagster.schema.star import current_view_of, is_fact, remodelled_columns
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster_tests.integration.graph import Graph

CHANGES = [
    ["update sales_order set units_sold = units_sold + 1 where sales_order_id in (2, 7)"],
    ["delete from payment where payment_id in (3, 5)", "update staff set first_name = 'Noor' where staff_id = 1"],
    [
        "update payment set payment_amount = 12.34 where payment_id = 4",
        "delete from sales_order where sales_order_id = 7",
    ],
    [
        "insert into payment select 3, created_at, last_updated, (select transaction_id from transaction where "
        "transaction_id not in (select transaction_id from payment) limit 1), counterparty_id, 99.5, currency_id, "
        "payment_type_id, paid, payment_date, company_ac_number, counterparty_ac_number from payment "
        "where payment_id = 4"
    ],
    ["update design set design_name = 'Wide' where design_id = 2"],
]
"""What each batch after the first one brings: changes, deletions, a key that comes back, and reference tables."""

Rows = frozenset[tuple[Any, ...]]


def rows_of(reader: pa.RecordBatchReader, columns: list[str]) -> Rows:
    table = reader.read_all()
    rows = list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
    assert len(rows) == len(set(rows))
    return frozenset(rows)


def source_state(platform: Platform) -> Mapping[str, Rows]:
    with psycopg.connect(platform.source.url) as connection:
        return {
            name: frozenset(
                connection.execute(
                    sql.SQL("select {} from {}").format(
                        sql.SQL(", ").join(
                            sql.SQL("{}::text").format(sql.Identifier(column.name))
                            if "Enum" in type(column.type).__name__
                            else sql.Identifier(column.name)
                            for column in table.columns
                        ),
                        sql.Identifier(name),
                    )
                ).fetchall()
            )
            for name, table in SOURCE_TABLES.items()
        }


def columns_of(star: str) -> list[str]:
    return [column.name for column in remodelled_columns(STAR_TABLES[star])]


def warehouse_state(platform: Platform) -> Mapping[str, Rows]:
    schema = platform.warehouse.schema
    with psycopg.connect(platform.warehouse.database.url) as connection:
        return {
            name: frozenset(
                connection.execute(
                    sql.SQL("select {} from {}").format(
                        sql.SQL(", ").join(map(sql.Identifier, columns_of(name))),
                        sql.Identifier(schema, current_view_of(table) if is_fact(table) else name),
                    )
                ).fetchall()
            )
            for name, table in STAR_TABLES.items()
        }


def in_lake(platform: Platform, selection: Selection = NEWEST) -> tuple[Mapping[str, Rows], Mapping[str, Rows]]:
    """The ingested and the remodelled tables, without the calendar, of which the lake has the named days only."""
    lake = platform.lake
    ingested = {
        name: rows_of(ingested_rows(name, lake.ingestion, selection), [column.name for column in table.columns])
        for name, table in SOURCE_TABLES.items()
    }
    remodelled = {
        name: rows_of(remodelled_rows(name, lake, selection), columns_of(name))
        for name in STAR_TABLES
        if name != CALENDAR.name
    }
    return ingested, remodelled


def without_calendar(state: Mapping[str, Rows]) -> Mapping[str, Rows]:
    return {name: rows for name, rows in state.items() if name != CALENDAR.name}


def test_each_zone_is_what_the_source_and_the_warehouse_are_and_were(graph: Graph) -> None:
    states = []
    for statements in ([], *CHANGES):
        if statements:
            graph.change(*statements)
        pipeline.refresh(graph.platform)
        states.append((source_state(graph.platform), without_calendar(warehouse_state(graph.platform))))
        assert in_lake(graph.platform) == states[-1]
    assert BatchLog(graph.platform.lake.ingestion).head() == len(states)
    for batch, state in enumerate(states, start=1):
        assert in_lake(graph.platform, Selection(as_of=batch)) == state
        for fact in FACTS:
            as_it_was = loaded_rows(fact, graph.platform.warehouse, Selection(as_of=batch))
            assert rows_of(as_it_was, columns_of(fact)) == state[1][fact]
    for name, rows in states[-1][1].items():
        assert rows_of(loaded_rows(name, graph.platform.warehouse), columns_of(name)) == rows


def test_a_table_that_was_captured_whole_again_needs_nothing_older(graph: Graph) -> None:
    pipeline.refresh(graph.platform)
    graph.change(*CHANGES[1])
    pipeline.refresh(graph.platform, recapture=list(SOURCE_TABLES))
    graph.change(*CHANGES[2])
    pipeline.refresh(graph.platform)
    for path in graph.platform.lake.ingestion.paths("payment/batch=0000000001"):
        Path(graph.platform.lake.ingestion.url.removeprefix("file://"), path).unlink()
    ingested, remodelled = in_lake(graph.platform)
    assert ingested == source_state(graph.platform)
    assert remodelled == without_calendar(warehouse_state(graph.platform))


def test_what_one_batch_brought_is_that_alone(graph: Graph) -> None:
    pipeline.refresh(graph.platform)
    graph.change(*CHANGES[0])
    pipeline.refresh(graph.platform)
    second = Selection(batch=2)
    lake, warehouse = graph.platform.lake, graph.platform.warehouse
    for rows in (
        ingested_rows("sales_order", lake.ingestion, second),
        remodelled_rows("fact_sales_order", lake, second),
        loaded_rows("fact_sales_order", warehouse, second),
    ):
        assert sorted(rows.read_all().column("sales_order_id").to_pylist()) == [2, 7]
    assert ingested_rows("staff", lake.ingestion, second).read_all().num_rows == 0
    assert remodelled_rows("dim_staff", lake, second).read_all().num_rows == 0


def test_columns_have_the_types_that_are_declared(graph: Graph) -> None:
    pipeline.refresh(graph.platform)
    for name, table in SOURCE_TABLES.items():
        found = ingested_rows(name, graph.platform.lake.ingestion).read_all().schema
        declared = arrow_schema(table.columns)
        assert (found.names, found.types) == (declared.names, declared.types)
    for star, table in STAR_TABLES.items():
        assert remodelled_rows(star, graph.platform.lake).read_all().schema == star_schema(star)
        assert loaded_rows(star, graph.platform.warehouse).read_all().schema == arrow_schema(table.columns)


def test_a_refresh_in_progress_does_not_disturb_a_reader_of_the_processed_zone(graph: Graph) -> None:
    pipeline.refresh(graph.platform)
    before = in_lake(graph.platform)[1]
    graph.change(*CHANGES[0])
    pipeline.ingest(graph.platform.source, graph.platform.lake.ingestion)
    assert in_lake(graph.platform)[1] == before
    with pytest.raises(PartMissingError, match="fact_sales_order"):
        remodelled_rows("fact_sales_order", graph.platform.lake, Selection(as_of=2)).read_all()


def test_a_lake_without_a_batch_has_tables_without_rows(graph: Graph) -> None:
    lake = graph.platform.lake
    assert ingested_rows("staff", lake.ingestion).read_all().num_rows == 0
    assert remodelled_rows("dim_staff", lake).read_all().num_rows == 0
    with pytest.raises(BatchUnknownError, match=r"There is no batch 1 in file:.*: the newest one is 0\."):
        ingested_rows("staff", lake.ingestion, Selection(as_of=1))


def test_a_dimension_of_the_warehouse_has_its_newest_state_only(graph: Graph) -> None:
    with pytest.raises(SelectionError, match="dim_staff is a dimension"):
        loaded_rows("dim_staff", graph.platform.warehouse, Selection(as_of=1))


def test_a_warehouse_that_was_never_loaded_says_so(graph: Graph) -> None:
    with pytest.raises(DatabaseError, match="dim_staff"):
        loaded_rows("dim_staff", graph.platform.warehouse).read_all()
