"""Comparing a world's two ends as reconciliation does, also while its warehouse is damaged for a moment."""

from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, sql
from sqlalchemy import Boolean, Column, Date, Integer, Numeric, String, Table, Time

from totes_dagster.ingest.snapshot import SourceSnapshot, open_snapshot
from totes_dagster.reconcile.checksums import RANGE_BITS
from totes_dagster.reconcile.compare import TableDifferences, compare
from totes_dagster.schema import totesys
from totes_dagster.schema.dimensions import dim_date
from totes_dagster.schema.registry import FACTS, STAR_TABLES, driving_table_of
from totes_dagster.schema.star import current_view_of, is_fact, natural_key_of, record_id_of, remodelled_columns
from totes_dagster_tests.world import World

RANGE = 2**RANGE_BITS
OUTERMOST_KEYS = (-(2**31), -1, RANGE - 1, RANGE, 2 * RANGE + 7, 2**31 - 1)
"""Keys of orders at the ends of ranges, and one in the middle."""

_BUT_CALENDAR = [star for star in STAR_TABLES.values() if star is not dim_date]
STAR = pytest.mark.parametrize("star", STAR_TABLES.values(), ids=str)
STAR_BUT_CALENDAR = pytest.mark.parametrize("star", _BUT_CALENDAR, ids=str)
DIMENSION = pytest.mark.parametrize("dimension", [star for star in _BUT_CALENDAR if not is_fact(star)], ids=str)
FACT = pytest.mark.parametrize("fact", FACTS.values(), ids=str)

OTHER_VALUES = {
    Boolean: "not {}",
    Integer: "coalesce({}, 0) + 1",
    Numeric: "{} + 0.01",
    Date: "{} + 1",
    Time: "{} + interval '1 ms'",
    String: "coalesce({}, '') || ' '",
}
"""For each type, an expression of a value that is as close to a column's own as can be."""


def compared(world: World, *damage: str | sql.Composed) -> dict[str, TableDifferences]:
    """What the comparison finds in each star table while this damage is done to the warehouse, undone afterwards."""
    with open_snapshot(world.platform.source) as snapshot:
        return compared_in(snapshot, world, *damage)


def compared_in(snapshot: SourceSnapshot, world: World, *damage: str | sql.Composed) -> dict[str, TableDifferences]:
    """The same, in a given snapshot of the source."""
    with psycopg.connect(world.warehouse_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.execute("set local session_replication_role = replica")  # no foreign key is in the way
        connection.execute("select set_config('search_path', quote_ident(%s), true)", [world.platform.warehouse.schema])
        for statement in damage:
            assert connection.execute(statement).rowcount != 0, statement
        connection.execute("set local search_path = pg_catalog")
        found = compare(snapshot, connection, world.platform.warehouse.schema)
        connection.rollback()
    return found


def wrong(found: dict[str, TableDifferences]) -> dict[str, TableDifferences]:
    """The tables in which anything was found."""
    return {name: differences for name, differences in found.items() if differences or differences.unaccounted}


def only(found: dict[str, TableDifferences]) -> TableDifferences:
    """What was found in the one table in which anything was."""
    (differences,) = wrong(found).values()
    return differences


def rows_of(star: Table) -> sql.Identifier:
    """Where the current rows of a star table are."""
    return sql.Identifier(current_view_of(star) if is_fact(star) else star.name)


def keys_of(world: World, star: Table, condition: sql.Composable | str = "true") -> list[Any]:
    """The keys of a star table's current rows that fulfil a condition, but for members without a source row."""
    query = sql.SQL("select {key} from {rows} where {condition} order by {key}").format(
        key=sql.Identifier(natural_key_of(star)),
        rows=rows_of(star),
        condition=sql.SQL(condition) if isinstance(condition, str) else condition,
    )
    keys = [key for (key,) in world.ask(query.as_string(None))]
    driving = driving_table_of(star.name)
    if driving is None:  # the calendar
        return keys
    source = totesys.SOURCE_TABLES[driving]
    with psycopg.connect(world.source_url) as connection:
        present = {key for (key,) in connection.execute(f"select {totesys.key_of(source)} from {source.name}")}
    return [key for key in keys if key in present]


def some_key(world: World, star: Table, condition: sql.Composable | str = "true") -> Any:
    """One of these keys, from the middle."""
    keys = keys_of(world, star, condition)
    return keys[len(keys) // 2]


def update_of(star: Table, key: Any, column: Column[Any], value: str) -> sql.Composed:
    """A statement that gives a column of the current row of a key the value of an expression."""
    unique = record_id_of(star) if is_fact(star) else natural_key_of(star)
    return sql.SQL(
        "update {table} set {column} = {value} where {unique} = (select {unique} from {rows} where {natural} = {key})"
    ).format(
        table=sql.Identifier(star.name),
        column=sql.Identifier(column.name),
        value=sql.SQL(value).format(sql.Identifier(column.name)),
        unique=sql.Identifier(unique),
        rows=rows_of(star),
        natural=sql.Identifier(natural_key_of(star)),
        key=sql.Literal(key),
    )


def other_value(column: Column[Any]) -> str:
    """An expression of another value than a column's own."""
    return next(value for type_, value in OTHER_VALUES.items() if isinstance(column.type, type_))


def values_of(star: Table) -> list[Column[Any]]:
    """The columns of a star table that the remodel computes, but for the key."""
    return [column for column in remodelled_columns(star) if column.name != natural_key_of(star)]


def number_of(key: Any) -> int:
    """A key as it is told: days are numbers, 20240229."""
    return int(key.strftime("%Y%m%d")) if isinstance(key, date) else int(key)


def deletion_of(star: Table, key: Any) -> sql.Composed:
    """A statement that deletes every row of a key."""
    return sql.SQL("delete from {} where {} = {}").format(
        sql.Identifier(star.name), sql.Identifier(natural_key_of(star)), sql.Literal(key)
    )


def copy_of(fact: Table, original: int, **values: int) -> sql.Composed:
    """A statement that adds a version like the current one of a key, but for some values."""
    columns = [column.name for column in values_of(fact)]
    return sql.SQL(
        "insert into {fact} ({names}, {columns}) select {values}, {columns} from {rows} where {key} = {original}"
    ).format(
        fact=sql.Identifier(fact.name),
        names=sql.SQL(", ").join(map(sql.Identifier, values)),
        values=sql.SQL(", ").join(map(sql.Literal, values.values())),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        rows=rows_of(fact),
        key=sql.Identifier(natural_key_of(fact)),
        original=sql.Literal(original),
    )


def orders(key: str, rows: str = "") -> str:
    """A statement that places an order like the first one in the source; with rows, one for each of them."""
    return f"""
        insert into sales_order
        select {key}, now(), now(), design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,
               agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
        from sales_order {rows and f"cross join {rows}"} where sales_order_id = 1"""
