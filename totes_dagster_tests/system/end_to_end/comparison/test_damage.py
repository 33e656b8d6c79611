"""Whatever somebody does to rows of the warehouse by hand, the comparison finds that, and nothing else."""

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Column, String, Table

from totes_dagster.ingest.snapshot import open_snapshot
from totes_dagster.reconcile.compare import compare
from totes_dagster.schema.dimensions import dim_date
from totes_dagster.schema.registry import FACTS, STAR_TABLES
from totes_dagster.schema.star import is_fact, natural_key_of
from totes_dagster_tests.system.end_to_end.comparison.comparing import (
    DIMENSION,
    FACT,
    STAR,
    STAR_BUT_CALENDAR,
    compared,
    copy_of,
    deletion_of,
    keys_of,
    number_of,
    only,
    other_value,
    rows_of,
    some_key,
    update_of,
    values_of,
    wrong,
)
from totes_dagster_tests.world import World


def test_a_warehouse_that_followed_every_change_does_not_differ(world: World) -> None:
    assert world.wrongs() == []
    found = compared(world)
    assert wrong(found) == {}
    for name, star in STAR_TABLES.items():
        if name in FACTS or name == "dim_staff":
            shown = world.ask_one(sql.SQL("select count(*) from {}").format(rows_of(star)).as_string(None))
            assert found[name].rows == shown > 5
    assert found["dim_date"].rows == world.ask_one("select count(*) from dim_date")


def test_whoever_watches_is_told_of_every_table(world: World) -> None:
    told = []
    with open_snapshot(world.platform.source) as leader, psycopg.connect(world.warehouse_url) as connection:
        found = compare(leader, connection, world.platform.warehouse.schema, lambda *said: told.append(said))
    assert told == [("compare", name, found[name].rows) for name in STAR_TABLES]


# Values


@STAR
def test_a_value_that_is_a_little_off_is_found_in_every_column(world: World, star: Table) -> None:
    damaged = dict(zip(keys_of(world, star), values_of(star), strict=False))
    assert len(damaged) == len(values_of(star))  # a row for every column
    differences = only(
        compared(world, *(update_of(star, key, column, other_value(column)) for key, column in damaged.items()))
    )
    assert differences.different == differences.repairable == tuple(map(number_of, damaged))
    assert differences.count == len(damaged)
    for sample, (key, column) in zip(differences.samples, damaged.items(), strict=False):
        assert sample.startswith(f"{natural_key_of(star)} {key}: {column.name} is ")
        assert "; " not in sample


@STAR
def test_a_value_that_is_lost_is_found_in_every_column(world: World, star: Table) -> None:
    damaged: dict[Any, Column[Any]] = {}
    for column in values_of(star):
        present = keys_of(world, star, sql.SQL("{} is not null").format(sql.Identifier(column.name)))
        damaged[next(key for key in reversed(present) if key not in damaged)] = column
    droppable = sql.SQL("alter table {} alter {} drop not null")
    differences = only(
        compared(
            world,
            *(droppable.format(sql.Identifier(star.name), sql.Identifier(column.name)) for column in values_of(star)),
            *(update_of(star, key, column, "null") for key, column in damaged.items()),
        )
    )
    assert differences.different == tuple(sorted(map(number_of, damaged)))
    starts = tuple(
        f"{natural_key_of(star)} {key}: {column.name} is null in the warehouse, " for key, column in damaged.items()
    )
    assert all(sample.startswith(starts) for sample in differences.samples)


@pytest.mark.parametrize(
    ("star", "column"),
    [(star, column) for star in STAR_TABLES.values() for column in star.columns if column.nullable],
    ids=str,
)
def test_nothing_is_not_the_same_as_an_empty_text_or_zero(world: World, star: Table, column: Column[Any]) -> None:
    key = some_key(world, star, sql.SQL("{} is null").format(sql.Identifier(column.name)))
    empty = "''" if isinstance(column.type, String) else "0"
    differences = only(compared(world, update_of(star, key, column, empty)))
    assert differences.different == (key,)
    assert differences.samples == (
        f"{natural_key_of(star)} {key}: {column.name} is {empty} in the warehouse, null in the source",
    )


def test_values_that_change_places_are_found(world: World) -> None:
    one, other = world.ask(
        "select min(payment_id) from current_payment where payment_id > 9 group by payment_amount order by 1 limit 2"
    )
    swap = f"""
        update fact_payment as target set payment_amount = other.payment_amount from fact_payment as other
        where (target.payment_id, other.payment_id) in (({one[0]}, {other[0]}), ({other[0]}, {one[0]}))"""
    assert only(compared(world, swap)).different == (*one, *other)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("payment_date", "infinity"),
        ("payment_date", "0044-03-15 BC"),
        ("created_date", "5874897-12-31"),
        ("created_time", "24:00"),
        ("payment_amount", "NaN"),
    ],
)
def test_no_value_of_the_warehouse_is_too_odd_to_be_compared(world: World, column: str, value: str) -> None:
    fact = FACTS["fact_payment"]
    key = some_key(world, fact)
    differences = only(compared(world, update_of(fact, key, fact.c[column], f"'{value}'")))
    assert differences.different == (key,)
    assert f"{column} is {value}" in differences.samples[0]


# Rows


@STAR_BUT_CALENDAR
def test_a_row_that_is_gone_is_missing(world: World, star: Table) -> None:
    key = some_key(world, star)
    differences = only(compared(world, deletion_of(star, key)))
    assert differences.missing == differences.repairable == (key,)
    assert differences.count == 1
    assert differences.samples == (f"{natural_key_of(star)} {key}: not in the warehouse",)


@FACT
def test_a_row_that_is_said_to_be_deleted_is_missing(world: World, fact: Table) -> None:
    key = some_key(world, fact)
    assert only(compared(world, update_of(fact, key, fact.c.is_deleted, "true"))).missing == (key,)


@FACT
def test_a_row_that_the_source_does_not_have_is_extra(world: World, fact: Table) -> None:
    key = natural_key_of(fact)
    differences = only(compared(world, copy_of(fact, some_key(world, fact), **{key: -5, "batch": 1})))
    assert differences.extra == differences.repairable == (-5,)
    assert differences.count == 1
    assert differences.samples == (f"{key} -5: in the warehouse, but not in the source",)


@DIMENSION
def test_a_member_that_the_source_does_not_have_is_no_difference(world: World, dimension: Table) -> None:
    columns = ", ".join(column.name for column in values_of(dimension))
    member = f"""
        insert into {dimension.name} ({natural_key_of(dimension)}, {columns})
        select -5, {columns} from {dimension.name} limit 1"""
    found = compared(world, member)
    assert wrong(found) == {}
    # Its range of keys has nothing that the source could say anything about.
    assert found[dimension.name].ranges_descended == compared(world)[dimension.name].ranges_descended


# Samples


def test_values_in_samples_can_be_told_apart(world: World) -> None:
    found = compared(world, "update dim_staff set last_name = 'O Keefe', email_address = '' where staff_id = 1")
    assert only(found).samples == (
        "staff_id 1: last_name is 'O Keefe' in the warehouse, \"O'Keefe\" in the source; "
        "email_address is '' in the warehouse, '\"%s\\\\ {}' in the source",
    )


def test_samples_are_short(world: World) -> None:
    found = compared(world, "update dim_staff set last_name = repeat('x', 5000) where staff_id = 1")
    (sample,) = only(found).samples
    assert len(sample) < 200


def test_samples_are_few_and_keys_are_all(world: World) -> None:
    differences = only(compared(world, "update fact_payment set paid = not paid"))
    assert len(differences.samples) == 5
    assert list(differences.different) == keys_of(world, FACTS["fact_payment"])


# Everything at once

WAYS = {"change": "different", "hide": "missing", "copy": "extra", "repeat": "repeated"}


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[Table, int, str]]:
    """Star tables, positions of rows in them, and what is to happen to these rows."""
    stars = [star for star in STAR_TABLES.values() if star is not dim_date]
    rows = draw(st.lists(st.tuples(st.sampled_from(stars), st.integers(0, 30)), unique=True, max_size=25))
    ways = {star: list(WAYS) if is_fact(star) else ["change", "hide"] for star in stars}
    return [(star, position, draw(st.sampled_from(ways[star]))) for star, position in rows]


@settings(max_examples=15, deadline=None)
@given(damages=damages(), data=st.data())
def test_any_damage_is_found_exactly(world: World, damages: list[tuple[Table, int, str]], data: st.DataObject) -> None:
    statements: list[sql.Composed] = []
    expected: dict[tuple[str, str], set[int]] = {}
    for star, position, way in damages:
        keys = keys_of(world, star)
        if position >= len(keys):
            continue
        key = keys[position]
        if way == "change":
            column = data.draw(st.sampled_from(values_of(star)), f"column of {star}")
            statements.append(update_of(star, key, column, other_value(column)))
        elif way == "hide":
            hidden = update_of(star, key, star.c.is_deleted, "true") if is_fact(star) else deletion_of(star, key)
            statements.append(hidden)
        else:
            # An adopted row (batch 0) comes before all others, and may repeat a version that is not the next one.
            batch = data.draw(st.integers(0 if way == "copy" else 1, 9), "batch")
            found_key = key + 100_000 if way == "copy" else key
            statements.append(copy_of(star, key, **{natural_key_of(star): found_key, "batch": batch}))
        expected.setdefault((star.name, WAYS[way]), set()).add(key + 100_000 if way == "copy" else key)
    found = compared(world, *statements)
    assert {
        (name, kind): set(getattr(differences, kind))
        for name, differences in found.items()
        for kind in WAYS.values()
        if getattr(differences, kind)
    } == expected
