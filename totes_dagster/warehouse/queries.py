"""Queries on the warehouse's history: the newest version of a row, repeated versions, and what was loaded.

Any stage may use them. They only read; the statements of a load are in `load_transaction.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.schema.bookkeeping import load_history
from totes_dagster.schema.registry import calendar_columns
from totes_dagster.schema.star import natural_key_of, record_id_of, remodelled_columns, version_order_of


@dataclass(frozen=True)
class NewestLoad:
    """The newest batch that the warehouse has loaded.

    Attributes:
        batch: its number, 0 before the first.
        snapshot_at: when the source was in the state that the warehouse shows; None before the first.
        manifest_sha256: digest of the batch's manifest; empty before the first.
    """

    batch: int = 0
    snapshot_at: datetime | None = None
    manifest_sha256: str = ""


def newest_load_statement(schema: str) -> sql.Composed:
    """A query for the three attributes of `NewestLoad`; no row before the first. It reads one row, by the key."""
    return sql.SQL("select batch, snapshot_at, manifest_sha256 from {} order by batch desc limit 1").format(
        sql.Identifier(schema, load_history.name)
    )


def newest_load(connection: psycopg.Connection[Any], schema: str) -> NewestLoad:
    """The newest batch that the warehouse has loaded, as this transaction sees it."""
    return next((NewestLoad(*row) for row in connection.execute(newest_load_statement(schema))), NewestLoad())


def named_days_statement(schema: str) -> sql.Composed:
    """A query for the earliest and latest day that the calendar or a fact names; both are null if there are no rows.

    Days that PostgreSQL has and the calendar does not (before year 1, after year 9999) are ignored.
    """
    bounds = [
        sql.SQL(
            "select min({0}) as first, max({0}) as last from {1} where {0} between '0001-01-01' and '9999-12-31'"
        ).format(sql.Identifier(column), sql.Identifier(schema, table.name))
        for table, column in calendar_columns()
    ]
    return sql.SQL("select min(first), max(last) from ({}) as named").format(sql.SQL(" union all ").join(bounds))


def newest_first(fact: Table) -> sql.Composed:
    """The `order by` list that puts the newest version of a row first."""
    return sql.SQL(", ").join(sql.SQL("{} desc").format(sql.Identifier(name)) for name in version_order_of(fact))


def oldest_first(fact: Table) -> sql.Composed:
    """The `order by` list that puts the oldest version of a row first."""
    return sql.SQL(", ").join(map(sql.Identifier, version_order_of(fact)))


def repeats_of(fact: Table, table: sql.Composable, condition: sql.Composable) -> sql.Composed:
    """A query for the record id, key and batch of every version that repeats another; no load writes such versions.

    A version is a repeat if it equals the version before it, or if it is not the first of its key in its batch and
    equals any other version of that key. Rows that were adopted with the warehouse (batch 0) may repeat one another,
    because what they should be is unknown. If one of two neighbours was adopted, the one written later is the repeat.

    Args:
        fact: the fact.
        table: its name, qualified as the query needs it.
        condition: selects the rows to examine: all versions of some keys.
    """
    return sql.SQL(
        """
        with chosen as (
            select *, batch <> 0 and count(*) over (partition by {key}, version) > 1
                      and row_number() over (partition by {key}, batch order by {record_id}) > 1 as is_copy
            from (select {record_id}, {key}, batch, row({values}, is_deleted) as version
                  from {table} where {condition}) as versions),
        neighbours as (
            select {record_id}, {key}, batch, version = lag(version) over versions as is_equal,
                   lag(batch) over versions as batch_before, lag({record_id}) over versions as id_before
            from chosen where not is_copy window versions as (partition by {key} order by {order}))
        select {record_id}, {key}, batch from chosen where is_copy
        union all
        select case when is_late then id_before else {record_id} end, {key},
               case when is_late then batch_before else batch end
        from (select *, batch_before = 0 and id_before > {record_id} as is_late from neighbours) as neighbours
        where is_equal and (batch <> 0 or batch_before <> 0)
        """
    ).format(
        record_id=sql.Identifier(record_id_of(fact)),
        key=sql.Identifier(natural_key_of(fact)),
        values=sql.SQL(", ").join(sql.Identifier(column.name) for column in remodelled_columns(fact)),
        table=table,
        condition=condition,
        order=oldest_first(fact),
    )
