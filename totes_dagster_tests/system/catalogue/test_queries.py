"""The ready queries, on a real lake: they say what the source was, and what became of it.

They are written for Athena, and run here by DuckDB, from the same text. What only Athena can show is said in
docs/catalogue.md.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from totes_dagster.schema.totesys import SOURCE_TABLES, Capture, capture_of, key_of
from totes_dagster_tests import oracle
from totes_dagster_tests.system.catalogue.conftest import Past
from totes_dagster_tests.system.catalogue.lake_in_athena import INGESTION, PROCESSED, QUERIES, rendered

REFERENCE = [name for name, table in SOURCE_TABLES.items() if capture_of(table) is Capture.WHOLE]
EVENTS = [name for name, table in SOURCE_TABLES.items() if capture_of(table) is Capture.CHANGES]

RESERVED = {
    word
    for line in (
        "alter and as between by case cast constraint create cross cube current_catalog current_date",
        "current_path current_role current_schema current_time current_timestamp current_user deallocate",
        "delete describe distinct drop else end escape except exists extract false for from full group",
        "grouping having in inner insert intersect into is join json_array json_exists json_object json_query",
        "json_table json_value left like listagg localtime localtimestamp natural normalize not null on or",
        "order outer prepare recursive right rollup select skip table then trim true uescape union unnest",
        "using values when where with",
    )
    for word in line.split()
}
"""Words that no name can be without quotes, in Athena."""


def for_table(query: str, table: str) -> str:
    """A query for another table, as its comments say how."""
    return rendered(query.replace("staff" if "staff" in query else "sales_order", table))


def without_batch(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return sorted(({**row, "batch": None} for row in rows), key=lambda row: row[key])


def of_source(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "batch": None} for row in rows]


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_one_statement_that_athena_can_parse(name: str) -> None:
    (statement,) = sqlglot.parse(rendered(QUERIES[name]), read="athena", error_level=sqlglot.ErrorLevel.RAISE)
    assert isinstance(statement, exp.Select)
    names = {identifier.name.lower() for identifier in statement.find_all(exp.Identifier) if not identifier.quoted}
    assert names & RESERVED == set()
    assert ";" not in QUERIES[name]
    first, *_ = QUERIES[name].splitlines()
    assert first.startswith("-- ")
    assert first.endswith(".")


def test_a_past_is_worth_asking_about(past: Past) -> None:
    """Whole tables, changes, deletions: the queries have to respect all of them, and uncommitted parts would show."""
    asked = past.athena.ask(f"select element_at(tables, 'payment') as entry from {INGESTION}.batches")
    entries = [row["entry"] for row in asked]
    assert {entry["content"] for entry in entries} == {"whole", "changes"}
    assert any(entry["live_keys"] for entry in entries)
    for name in SOURCE_TABLES:
        everything = past.athena.ask(f"select * from {INGESTION}.{name}")
        assert 999_999 in {row[f"{name}_id"] for row in everything}
        assert max(row["batch"] for row in everything) == past.world.head() + 1


def test_current_reference_table_is_the_source(past: Past) -> None:
    for name in REFERENCE:
        rows = past.athena.ask(for_table(QUERIES["current_reference_table"], name))
        assert without_batch(rows, key_of(SOURCE_TABLES[name])) == of_source(past.states[past.world.head()][name])


def test_current_event_table_is_the_source(past: Past) -> None:
    for name in EVENTS:
        rows = past.athena.ask(for_table(QUERIES["current_event_table"], name))
        assert without_batch(rows, key_of(SOURCE_TABLES[name])) == of_source(past.states[past.world.head()][name])


@pytest.mark.slow
def test_a_table_as_of_a_batch_is_what_the_source_was_then(past: Past) -> None:
    seen = set()
    for batch, state in past.states.items():
        near = [past.states.get(batch + offset, {}) for offset in (-1, 1)]
        for names, query in ((REFERENCE, "reference_table_as_of_a_batch"), (EVENTS, "event_table_as_of_a_batch")):
            # Before and after each change: in between, a table is what it was.
            for name in (name for name in names if any(other.get(name) != state[name] for other in near)):
                rows = past.athena.ask(for_table(QUERIES[query].replace("42", str(batch)), name))
                assert without_batch(rows, key_of(SOURCE_TABLES[name])) == of_source(state[name]), (name, batch)
                seen.add((name, repr(state[name])))
    assert len(seen) > len(SOURCE_TABLES) + 10  # there were changes to see


@pytest.mark.parametrize("bounded", [False, True])
def test_the_history_of_a_row_is_that_of_the_warehouse(past: Past, bounded: bool) -> None:
    query = rendered(QUERIES["history_of_one_row"])
    if bounded:
        query = query.replace("-- and", "and").replace("42", str(past.world.head()))
    versions = oracle.history(past.world.warehouse_url)["fact_sales_order"]
    lengths = set()
    for key in (1, 2, 3, 4, 1000, -(2**31), -1, 16_384, 50_000, 2**31 - 1):
        history = past.athena.ask(of_row(query, key))
        expected = past.world.ask(
            "select batch, is_deleted, units_sold, unit_price, created_date + created_time from fact_sales_order "
            "where sales_order_id = %s order by sales_record_id",
            key,
        )
        assert len(expected) == len(versions[key])
        # A version that says that the row is gone has no values here; in the warehouse it has the last ones.
        assert [tuple(row) for row in _comparable(history)] == [
            (*version[:2], *((None,) * 3 if version[1] else version[2:])) for version in expected
        ]
        lengths.add(len(history))
    assert lengths == {1, 2, 3, 6}


def of_row(query: str, key: int) -> str:
    """The history of another row, by the advice at the top of the query."""
    return re.sub(r"\b1\b(?=.* -- which)", str(key), query)


def _comparable(history: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for row in history:
        yield row["batch"], row["is_deleted"], row["units_sold"], row["unit_price"], row["created_at"]


def test_a_row_that_never_was_has_no_history(past: Past) -> None:
    query = rendered(QUERIES["history_of_one_row"])
    assert past.athena.ask(of_row(query, 999_999)) == []


def test_batches_of_a_table_are_those_that_changed_it(past: Past) -> None:
    for name in SOURCE_TABLES:
        rows = past.athena.ask(rendered(QUERIES["batches_of_a_table"].replace("sales_order", name)))
        batches = [row["batch"] for row in rows]
        assert batches == sorted(batches, reverse=True)
        before: Any = None
        changed = set()
        for batch, state in past.states.items():
            if state[name] != before:
                changed.add(batch)
            before = state[name]
        assert changed <= set(batches)
        assert [row["rows_in_source"] for row in rows] == [len(past.states[batch][name]) for batch in batches]
        for row in rows:
            if row["content"] == "whole":
                assert row["rows_captured"] == row["rows_in_source"]
        loaded = dict(past.world.ask("select batch, snapshot_at from load_history"))
        assert [row["seen_at"] for row in rows] == [loaded[batch] for batch in batches]


def test_a_batch_that_only_deletes_is_shown_with_no_rows(past: Past) -> None:
    rows = past.athena.ask(rendered(QUERIES["batches_of_a_table"].replace("sales_order", "payment")))
    assert 0 in {row["rows_captured"] for row in rows}


def test_every_committed_part_is_seen_until_one_is_missing(past: Past) -> None:
    for name in SOURCE_TABLES:
        assert past.athena.ask(rendered(QUERIES["parts_not_seen"].replace("sales_order", name))) == []
    (lost,) = (past.ingestion / "staff" / "batch=0000000001").glob("part-00000-????????????.parquet")
    lost.rename(lost.with_suffix(".lost"))
    try:
        (row,) = past.athena.ask(rendered(QUERIES["parts_not_seen"].replace("sales_order", "staff")))
    finally:
        lost.with_suffix(".lost").rename(lost)
    assert row == {"batch": 1, "path": str(lost.relative_to(past.ingestion))}


def test_a_time_of_day_is_what_the_docs_make_of_the_number(past: Past) -> None:
    rows = past.athena.ask(
        "select sales_order_id, batch, created_date, "
        "date_add('millisecond', created_time / 1000, time '00:00:00.000') as created_time "
        f"from {PROCESSED}.fact_sales_order where batch = 1"
    )
    expected = past.world.ask(
        "select sales_order_id, created_date, created_time from fact_sales_order where batch = 1 order by 1"
    )
    found = sorted((row["sales_order_id"], row["created_date"], row["created_time"]) for row in rows)
    assert found == expected
    assert any(time.microsecond for _, _, time in found)
