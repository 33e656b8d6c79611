"""What nobody declared: new columns and new tables of the source are kept in the lake, whatever they are."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from totes_dagster.lake.ingested import UNFIT_VALUES
from totes_dagster.schema.totesys import SOURCE_TABLES, Capture
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import World

EDIT = "update sales_order set units_sold = units_sold + 1 where sales_order_id = {}"


NEW_COLUMNS: list[tuple[str, str, str, Any]] = [
    ("note", "text", "'for \"Ada\"'", 'for "Ada"'),
    ("boxes", "numeric(6, 3)", "1.250", "1.250"),
    ("endless", "numeric", "'NaN'", "NaN"),
    ("tags", "jsonb", "'{\"a\": 1}'", '{"a": 1}'),
    ("sizes", "integer[]", "'{1,null,3}'", "{1,NULL,3}"),
    ("mood", '"TransactionType"', "'SALE'", "SALE"),
    ("weight", "double precision", "'Infinity'", float("inf")),
    ("ratio", "real", "0.5", 0.5),
    ("small", "smallint", "-3", -3),
    ("large", "bigint", "-9223372036854775808", -(2**63)),
    ("picture", "bytea", "'\\x00ff'", b"\x00\xff"),
    ("at", "timestamptz", "'2024-02-29 12:00+02'", "2024-02-29 10:00:00+00:00"),
    ("midnight", "time", "'24:00'", "24:00:00"),
    ("wait", "interval", "'1 month 2 days'", "1 mon 2 days"),
    ("id", "uuid", "'0b7e7dee-87c2-4a0e-8b7f-0e3f3a3f3a3f'", "0b7e7dee-87c2-4a0e-8b7f-0e3f3a3f3a3f"),
    ("address", "inet", "'10.0.0.1'", "10.0.0.1/32"),
    ("unfit", "text", "'scratched'", "scratched"),
    ("reason", "text", "'none'", "none"),
    ("totes_dagster_copies", "integer", "3", 3),
    ('odd "name"; {x} %s', "text", "'odd'", "odd"),
    ("é" * 31, "text", "''", ""),
    ("nothing", "text", "null", None),
]
"""Name, type, default, and what the lake must hold; nearly all that PostgreSQL has is kept as it writes it."""


def quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def test_new_columns_are_kept_in_the_lake_for_all_rows(witness: Witness) -> None:
    added = ", ".join(f"add {quoted(name)} {type_} default {value}" for name, type_, value, _ in NEW_COLUMNS)
    witness.change(f"alter table design {added}", "alter table sales_order add gift_note text")
    witness.change("update sales_order set gift_note = 'for Ada' where sales_order_id = 7")
    ingested = witness.refresh().ingested
    assert ingested.batch is not None
    designs = witness.kept(ingested.batch, "design")
    assert len(designs) == 27
    for name, _, _, expected in NEW_COLUMNS:
        found = {str(row[name]) if name == "at" else row[name] for row in designs}
        assert found == {expected}, name
    orders = witness.kept(ingested.batch, "sales_order")
    assert {row["sales_order_id"]: row["gift_note"] for row in orders} == {
        key: "for Ada" if key == 7 else None for key in range(1, 61)
    }
    told = {(deviation.table, deviation.column) for deviation in ingested.deviations}
    assert told == {("design", name) for name, *_ in NEW_COLUMNS} | {("sales_order", "gift_note")}
    assert witness.listed() == {}


def test_a_moment_that_never_comes_in_a_new_column_is_told_in_the_lake_and_does_no_harm(witness: Witness) -> None:
    witness.change(
        "alter table design add expires timestamptz default 'infinity', add born date default '-infinity'",
    )
    manifest = witness.batch()
    (row, *_) = rows = witness.kept(manifest, "design")
    assert (row["expires"], row["born"], len(rows)) == (None, None, 27)
    assert row[UNFIT_VALUES] == '{"expires": "is infinity", "born": "is infinite"}'
    assert witness.listed() == {}


ODD_NAMES = [
    "..",
    "a//b",
    "x/",
    "batches",
    "live_keys/payment",
    "sales_order/batch=0000000002",
    'it\'s "quoted"; {x} %s',
    "a\nb",
    "Ünï",
    "SALES_ORDER",
    "undeclared",
    "n" * 63,
]


def test_new_tables_of_any_name_are_kept_in_the_lake_with_their_later_changes(witness: Witness) -> None:
    for name in ODD_NAMES:
        witness.change(
            f"create table {quoted(name)} ({quoted(name)} integer, b text)",
            f"insert into {quoted(name)} values (1, 'a'), (2, 'b'), (2, 'b')",
        )
    manifest = witness.batch()
    for name in ODD_NAMES:
        assert witness.kept(manifest, name) == [{name: 1, "b": "a"}, {name: 2, "b": "b"}, {name: 2, "b": "b"}]
        witness.change(f"update {quoted(name)} set b = 'c' where {quoted(name)} = 1")
    witness.change(EDIT.format(7))
    manifest = witness.batch()
    for name in ODD_NAMES:
        assert witness.kept(manifest, name) == [{name: 1, "b": "c"}]
        assert manifest.tables[name].content is Capture.CHANGES
    assert witness.world.has_arrived()
    witness.change(*(f"drop table {quoted(name)}" for name in ODD_NAMES))
    witness.refresh()


def test_rows_of_a_new_table_that_were_written_together_are_told_apart(witness: Witness) -> None:
    witness.change(
        "create table part (a integer, b integer) partition by list (a)",
        *(f"create table part_{number} partition of part for values in ({number})" for number in (1, 2)),
        "insert into part values (1, 1), (2, 2)",
    )
    manifest = witness.batch()
    assert witness.kept(manifest, "part") == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert "part_1" not in manifest.tables
    witness.change("update part set b = b + 10")
    assert witness.kept(witness.batch(), "part") == [{"a": 1, "b": 11}, {"a": 2, "b": 12}]
    witness.change("update part set a = 2 where a = 1")
    assert {"a": 2, "b": 11} in witness.kept(witness.batch(), "part")


def test_a_row_of_a_new_table_at_the_place_of_one_that_is_gone_is_not_taken_for_it(witness: Witness) -> None:
    witness.change("create table new (a integer)", "insert into new values (1)")
    witness.refresh()
    place = "select ctid::text from new"
    with psycopg.connect(witness.world.source_url, autocommit=True) as connection:
        before = connection.execute(place).fetchall()
        for statement in ("delete from new", "vacuum new", "insert into new values (3)"):
            connection.execute(statement)
        assert connection.execute(place).fetchall() == before
    assert witness.kept(witness.batch(), "new") == [{"a": 3}]


def test_a_new_table_that_another_takes_the_name_of_is_kept_whole_again(witness: Witness) -> None:
    witness.change("create table new (a integer)", "insert into new select generate_series(1, 3)")
    witness.refresh()
    witness.change("alter table new rename to old", "create table new as select -a as a from old")
    manifest = witness.batch()
    assert sorted(row["a"] for row in witness.kept(manifest, "new")) == [-3, -2, -1]
    assert sorted(row["a"] for row in witness.kept(manifest, "old")) == [1, 2, 3]


@pytest.fixture
def poor_reader(witness: Witness) -> Iterator[World]:
    """The world as seen by a user of the source who may read the declared tables and nothing else."""
    tables = ", ".join(quoted(table) for table in SOURCE_TABLES)
    witness.change("create role poor login", f"grant select on {tables} to poor")
    url = witness.world.source_url.replace("//postgres@", "//poor@")
    yield World(replace(witness.world.platform, source=replace(witness.world.platform.source, url=url)))
    witness.change("drop owned by poor", "drop role poor")


def test_a_new_table_that_may_not_be_read_is_told_of_and_left_until_it_may(
    witness: Witness, poor_reader: World
) -> None:
    witness.change("create table secret (a integer)", "insert into secret values (1)", EDIT.format(7))
    ingested = poor_reader.refresh().ingested
    assert [str(deviation) for deviation in ingested.deviations] == [
        "secret: expected no such table, found a new table, not captured: the platform's user may not read it"
    ]
    assert ingested.batch is not None
    assert "secret" not in ingested.batch.tables
    witness.testify()
    witness.change("grant select on secret to poor")
    ingested = poor_reader.refresh().ingested
    assert ingested.batch is not None
    assert witness.kept(ingested.batch, "secret") == [{"a": 1}]
