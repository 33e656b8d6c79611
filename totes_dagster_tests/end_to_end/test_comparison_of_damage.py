"""Whatever somebody does to the warehouse by hand, the comparison with the source finds that, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Column, String, Table

from totes_dagster.database import Database
from totes_dagster.lake.store import Lake
from totes_dagster.local.postgres import EmbeddedPostgres
from totes_dagster.local.seeding import seed
from totes_dagster.local.simulator import Simulator
from totes_dagster.platform import Platform
from totes_dagster.schema.warehouse import (
    DIMENSIONS,
    FACTS,
    TABLES,
    is_fact,
    natural_key_of,
    record_id_of,
    remodelled_columns,
)
from totes_dagster_tests.end_to_end.comparing import (
    compared,
    keys_of,
    only,
    other_value,
    rows_of,
    some_key,
    update_of,
    wrong,
)
from totes_dagster_tests.end_to_end.world import World

VALUES = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in TABLES.values()
    for column in remodelled_columns(table)
    if column.name != natural_key_of(table)
]
FACT = pytest.mark.parametrize("fact", FACTS.values(), ids=str)


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A company whose life the warehouse has followed; its two ends are left as they are."""
    names = ["totesys_compared", "warehouse_compared"]
    for name in names:
        assert postgres.create_database(name)
    folder: Path = tmp_path_factory.mktemp("lake")
    source, warehouse = (Database(name.split("_")[0], postgres.url(name)) for name in names)
    zones = [Lake((folder / zone).as_uri()) for zone in ("ingestion", "processed")]
    seed(source.url, orders=60)
    world = World(Platform(source, warehouse, 'odd "schema", %s; Ñ', *zones))
    world.refresh()
    with Simulator(source.url, seed=5) as simulator:
        for _ in range(6):
            for _ in range(5):
                simulator.step()
            world.refresh()
    world.change("update staff set last_name = 'O''Keefe', email_address = '\"%s\\ {}' where staff_id = 1")
    world.change("delete from payment where payment_id = 7")
    world.change("update payment set paid = not paid where payment_id = 9")
    world.refresh()
    yield world
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_a_warehouse_that_followed_every_change_does_not_differ(world: World) -> None:
    assert world.wrongs() == []
    found = compared(world)
    assert wrong(found) == {}
    assert list(found) == list(TABLES)
    for name, fact in FACTS.items():
        assert found[name].rows == world.ask_one(f"select count(*) from {rows_of(fact).as_string(None)}") > 20
        assert (found[name].ranges, found[name].ranges_descended) == (1, 0)
    assert found["dim_staff"].rows == world.ask_one("select count(*) from dim_staff")
    assert found["dim_date"].rows == world.ask_one("select count(*) from dim_date")


@pytest.mark.parametrize(("star", "column"), VALUES)
def test_values_that_are_off_or_lost_are_found_in_every_column(world: World, star: Table, column: Column[Any]) -> None:
    name = sql.Identifier(column.name)
    lost = some_key(world, star, sql.SQL("{} is not null").format(name))
    off = next(key for key in keys_of(world, star) if key != lost)
    differences = only(
        compared(
            world,
            sql.SQL("alter table {} alter {} drop not null").format(sql.Identifier(star.name), name),
            update_of(star, off, column, other_value(column)),
            update_of(star, lost, column, "null"),
        )
    )
    assert differences.different == differences.repairable == tuple(sorted((_number(off), _number(lost))))
    assert differences.count == 2
    of_off, of_lost = sorted(differences.samples, key=lambda sample: " null in the warehouse" in sample)
    assert of_off.startswith(f"{natural_key_of(star)} {off}: {column.name} is ")
    assert of_lost.startswith(f"{natural_key_of(star)} {lost}: {column.name} is null in the warehouse, ")


@pytest.mark.parametrize(
    ("star", "column"),
    [(table, column) for table in TABLES.values() for column in table.columns if column.nullable],
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


@pytest.mark.parametrize("star", [table for table in TABLES.values() if table.name != "dim_date"], ids=str)
def test_a_row_that_is_gone_is_missing(world: World, star: Table) -> None:
    key = some_key(world, star)
    differences = only(compared(world, _deletion(star, key)))
    assert differences.missing == differences.repairable == (key,)
    assert differences.count == 1
    assert differences.samples == (f"{natural_key_of(star)} {key}: not in the warehouse",)


@FACT
def test_a_row_that_is_said_to_be_deleted_is_missing(world: World, fact: Table) -> None:
    key = some_key(world, fact)
    assert only(compared(world, update_of(fact, key, fact.c.is_deleted, "true"))).missing == (key,)


@FACT
def test_a_row_that_the_source_does_not_have_is_extra(world: World, fact: Table) -> None:
    differences = only(compared(world, _copy(fact, some_key(world, fact), key=-5, batch=1)))
    assert differences.extra == differences.repairable == (-5,)
    assert differences.count == 1
    assert differences.samples == (f"{natural_key_of(fact)} -5: in the warehouse, but not in the source",)


def test_a_row_of_another_key_is_missing_and_extra(world: World) -> None:
    fact = FACTS["fact_sales_order"]
    key = some_key(world, fact)
    differences = only(compared(world, update_of(fact, key, fact.c.sales_order_id, "2147483647")))
    assert (differences.missing, differences.extra) == ((key,), (2147483647,))
    assert (differences.ranges, differences.ranges_descended) == (2, 2)


@pytest.mark.parametrize("dimension", [table for table in DIMENSIONS.values() if table.name != "dim_date"], ids=str)
def test_a_member_that_the_source_does_not_have_is_no_difference(world: World, dimension: Table) -> None:
    key = natural_key_of(dimension)
    columns = [column.name for column in dimension.columns if column.name != key]
    member = f"insert into {dimension.name} ({key}, {', '.join(columns)}) select -5, {', '.join(columns)} from "
    found = compared(world, f"{member} {dimension.name} limit 1")
    assert wrong(found) == {}
    assert found[dimension.name].ranges_descended == compared(world)[dimension.name].ranges_descended


def test_values_in_samples_can_be_told_apart(world: World) -> None:
    found = compared(world, "update dim_staff set last_name = 'O Keefe', email_address = '' where staff_id = 1")
    assert found["dim_staff"].samples == (
        "staff_id 1: last_name is 'O Keefe' in the warehouse, \"O'Keefe\" in the source; "
        "email_address is '' in the warehouse, '\"%s\\\\ {}' in the source",
    )


def test_samples_are_few_and_keys_are_all(world: World) -> None:
    differences = only(compared(world, "update fact_payment set paid = not paid"))
    assert len(differences.samples) == 5
    assert list(differences.different) == [
        key for (key,) in world.ask("select payment_id from current_payment order by 1")
    ]


# History


@FACT
def test_a_version_that_repeats_the_one_before_it_is_found(world: World, fact: Table) -> None:
    key = some_key(world, fact)
    batch = world.ask_one(f"select max(batch) from {fact.name} where {natural_key_of(fact)} = %s", key)
    for number in {batch, 1, 0}:
        differences = only(compared(world, _copy(fact, key, key=key, batch=number)))
        assert differences.doubled == (key,)
        assert differences.count == 1
        assert differences.unaccounted == differences.repairable == ()


def test_a_deletion_that_is_said_twice_is_found(world: World) -> None:
    fact = FACTS["fact_payment"]
    assert world.versions("fact_payment", 7) == ["live", "deleted"]
    copied = "is_deleted, batch, " + ", ".join(column.name for column in remodelled_columns(fact))
    twice = f"insert into fact_payment ({copied}) select {copied} from fact_payment where payment_id = 7 and is_deleted"
    assert only(compared(world, twice)).doubled == (7,)


def test_rows_that_were_adopted_with_the_warehouse_may_be_repeated(world: World) -> None:
    adopted = "update fact_payment set batch = 0 where batch = 1"
    counted = "update load_history set tables = jsonb_set(tables, '{fact_payment,new}', '0') where batch = 1"
    fact = FACTS["fact_payment"]
    shown = world.ask_one("select max(payment_record_id) from fact_payment where batch = 1")
    last = world.ask_one("select payment_id from fact_payment where payment_record_id = %s", shown)
    make_room = "update fact_payment set payment_record_id = payment_record_id + 1000 where batch > 1"
    twice = _copy(fact, last, key=last, batch=0, record_id=shown + 1)
    assert wrong(compared(world, make_room, adopted, counted, twice)) == {}


def test_a_version_that_is_lost_is_unaccounted_for(world: World) -> None:
    found = compared(world, "delete from fact_payment where payment_id = 9 and batch = 1")
    assert wrong(found).keys() == {"fact_payment"}
    assert found["fact_payment"].count == 0
    brought = world.ask_one("select (tables -> 'fact_payment' ->> 'new')::int from load_history where batch = 1")
    assert found["fact_payment"].unaccounted == (
        f"batch 1 brought {brought} versions of fact_payment, but {brought - 1} are there",
    )


def test_a_version_that_no_batch_brought_is_unaccounted_for(world: World) -> None:
    fact = FACTS["fact_payment"]
    changed = update_of(fact, 9, fact.c.paid, "not paid")
    found = compared(world, _copy(fact, 9, key=9, batch=77), changed, _copy(fact, 9, key=9, batch=78))
    assert found["fact_payment"].unaccounted == (
        "batch 77 was never loaded, but 1 versions of fact_payment are said to be of it",
    )


# The calendar


def test_a_gap_in_the_calendar_is_found(world: World) -> None:
    day = some_key(world, DIMENSIONS["dim_date"])
    differences = only(compared(world, f"delete from dim_date where date_id = '{day}'"))
    assert differences.missing == (_number(day),)
    assert differences.samples == (f"date_id {day}: not in the warehouse",)


def test_a_calendar_that_does_not_reach_to_the_end_of_its_last_year_is_found(world: World) -> None:
    last = world.ask_one("select max(date_id) from dim_date")
    assert only(compared(world, f"delete from dim_date where date_id = '{last}'")).missing == (_number(last),)


def test_a_calendar_of_many_centuries_is_compared_whole(world: World) -> None:
    far = "insert into dim_date select '1700-03-01', 1700, 3, 1, 1, 'Monday', 'March', 1"
    differences = only(compared(world, far))
    first = world.ask_one("select extract(year from min(date_id))::int from dim_date")
    leap_days = sum(year % 4 == 0 and (year % 100 > 0 or year % 400 == 0) for year in range(1700, first))
    assert len(differences.missing) == (first - 1700) * 365 + leap_days - 1
    assert (differences.missing[0], differences.different) == (17000101, ())


def test_an_empty_calendar_has_nothing_wrong_of_its_own(world: World) -> None:
    assert compared(world, "delete from dim_date")["dim_date"].rows == 0


# Everything at once


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[Table, int, str]]:
    """Star tables, positions of rows in them, and what is to happen to these rows."""
    tables = [table for table in TABLES.values() if table.name != "dim_date"]
    drawn = draw(st.lists(st.tuples(st.sampled_from(tables), st.integers(0, 30)), unique=True, max_size=25))
    ways = {table: ["change", "hide", "copy", "repeat"] if is_fact(table) else ["change", "hide"] for table in tables}
    return [(table, position, draw(st.sampled_from(ways[table]))) for table, position in drawn]


@settings(max_examples=15, deadline=None)
@given(damages=damages(), data=st.data())
def test_any_damage_is_found_exactly(world: World, damages: list[tuple[Table, int, str]], data: st.DataObject) -> None:
    statements: list[sql.Composable] = []
    expected: dict[str, dict[str, set[int]]] = {name: {} for name in TABLES}
    for star, position, way in damages:
        keys = keys_of(world, star)
        if position >= len(keys):
            continue
        key = keys[position]
        kind, found_key = {"change": ("different", key), "hide": ("missing", key), "repeat": ("doubled", key)}.get(
            way, ("extra", key + 100_000)
        )
        if way == "change":
            columns = [column for column in remodelled_columns(star) if column.name != natural_key_of(star)]
            column = data.draw(st.sampled_from(columns), f"column of {star}")
            statements.append(update_of(star, key, column, other_value(column)))
        elif way == "hide":
            statements.append(
                update_of(star, key, star.c.is_deleted, "true") if is_fact(star) else _deletion(star, key)
            )
        else:
            batch = data.draw(st.integers(0, 9), "batch")
            statements.append(_copy(star, key, key=found_key, batch=batch))
        expected[star.name].setdefault(kind, set()).add(found_key)
    found = compared(world, *statements)
    for name, differences in found.items():
        for kind in ("missing", "extra", "different", "doubled"):
            assert getattr(differences, kind) == tuple(sorted(expected[name].get(kind, ()))), (name, kind)


# Values that PostgreSQL has and Python has not


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


@pytest.mark.parametrize("day", ["infinity", "0044-03-15 BC", "10000-01-01"])
def test_no_day_is_too_odd_for_the_calendar(world: World, day: str) -> None:
    assert wrong(compared(world, f"insert into dim_date select '{day}', 1, 1, 1, 1, '', '', 1")) == {}


def _number(key: Any) -> int:
    return int(str(key).replace("-", ""))


def _deletion(star: Table, key: Any) -> sql.Composed:
    return sql.SQL("delete from {} where {} = {}").format(
        sql.Identifier(star.name), sql.Identifier(natural_key_of(star)), sql.Literal(key)
    )


def _copy(fact: Table, original: int, *, key: int, batch: int, record_id: int | None = None) -> sql.Composed:
    """A statement that adds a version like the current one of a key."""
    columns = [column.name for column in remodelled_columns(fact) if column.name != natural_key_of(fact)]
    numbered = [] if record_id is None else [(record_id_of(fact), record_id)]
    given_values = [(natural_key_of(fact), key), ("batch", batch), *numbered]
    return sql.SQL(
        "insert into {fact} ({names}, {columns}) select {values}, {columns} from {rows} where {key} = {original}"
    ).format(
        fact=sql.Identifier(fact.name),
        names=sql.SQL(", ").join(sql.Identifier(name) for name, _ in given_values),
        values=sql.SQL(", ").join(sql.Literal(value) for _, value in given_values),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        rows=rows_of(fact),
        key=sql.Identifier(natural_key_of(fact)),
        original=sql.Literal(original),
    )
