"""How many rows the star tables have: kept by the loads, or else counted.

A load knows what it adds, so it writes the totals into `load_history`, beside its batch. Counting scans the tables,
which takes longer the larger they are. It is done where a load did more than add, and where nothing was kept: by
earlier versions of the platform, for tables that another program has filled, and after a repair.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.schema.bookkeeping import load_history
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import UNKNOWN, is_fact, placeholder_columns
from totes_dagster.warehouse.loaded import LoadedTable

Ask = Callable[[sql.Composed], list[tuple[Any, ...]]]
"""Executes a query in the caller's transaction, and returns its rows."""


@dataclass(frozen=True)
class Total:
    """What a star table has.

    Attributes:
        rows: the number of its rows; of a fact, of all versions.
        placeholders: how many of them stand in for rows that the source does not have.
        newest_stamp: the latest `last_updated` in a fact, without a time zone; None if it has no rows.
    """

    rows: int = 0
    placeholders: int = 0
    newest_stamp: datetime | None = None

    def after(self, star: Table, loaded: LoadedTable, newest_stamp: datetime | None) -> Self:
        """The total after a load which has neither removed rows nor replaced placeholders.

        Args:
            star: the table.
            loaded: what was done to it.
            newest_stamp: the latest `last_updated` in what was staged.
        """
        versions = loaded.changed + loaded.deleted if is_fact(star) else 0  # a dimension has one row of each member
        stamps = [stamp for stamp in (self.newest_stamp, newest_stamp) if stamp is not None]
        return type(self)(
            rows=self.rows + loaded.new + loaded.placeholders + versions,
            placeholders=self.placeholders + loaded.placeholders,
            newest_stamp=max(stamps, default=None),
        )


def newest_stamp_of(rows: pa.Table) -> datetime | None:
    """The latest `last_updated` in rows of a fact; None if there are none."""
    days, times = rows.column("last_updated_date"), rows.column("last_updated_time")
    day = pc.max(days)
    if not day.is_valid:
        return None
    return datetime.combine(day.as_py(), pc.max(times.filter(pc.equal(days, day))).as_py())


def as_json(totals: Mapping[str, Total]) -> str:
    """Totals by star table as the column `load_history.totals` has them."""
    return json.dumps(
        {
            star: {
                "rows": total.rows,
                "placeholders": total.placeholders,
                "newest_stamp": total.newest_stamp and total.newest_stamp.isoformat(),
            }
            for star, total in totals.items()
        }
    )


def kept_totals(ask: Ask, schema: str) -> dict[str, Total]:
    """The totals that the newest load has written; empty if it has not."""
    statement = sql.SQL("select totals from {} order by batch desc limit 1").format(
        sql.Identifier(schema, load_history.name)
    )
    return {
        star: Total(
            total["rows"],
            total["placeholders"],
            datetime.fromisoformat(total["newest_stamp"]) if total["newest_stamp"] else None,
        )
        for (kept,) in ask(statement)
        for star, total in (kept or {}).items()
        if star in STAR_TABLES
    }


def counted_totals(ask: Ask, schema: str, stars: Collection[str]) -> dict[str, Total]:
    """The totals of some star tables, each counted in one scan."""
    if not stars:
        return {}
    counts = sql.SQL(" union all ").join(_count_statement(schema, STAR_TABLES[name]) for name in stars)
    return {name: Total(*total) for name, *total in ask(counts)}


def all_totals(ask: Ask, schema: str) -> dict[str, Total]:
    """The totals of all star tables: those that were kept, and the others counted."""
    kept = kept_totals(ask, schema)
    return {**kept, **counted_totals(ask, schema, [name for name in STAR_TABLES if name not in kept])}


def _count_statement(schema: str, table: Table) -> sql.Composed:
    """A query for the name of a star table, and the attributes of its total."""
    required = placeholder_columns(table)
    may_have_placeholders = required and not is_fact(table)
    is_placeholder = sql.SQL("({}) = ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, required)),
        sql.SQL(", ").join([sql.Literal(UNKNOWN)] * len(required)),
    )
    return sql.SQL("select {}, count(*), {}, {} from {}").format(
        sql.Literal(table.name),
        sql.SQL("count(*) filter (where {})").format(is_placeholder) if may_have_placeholders else sql.SQL("0"),
        sql.SQL("max(last_updated_date + last_updated_time)" if is_fact(table) else "null::timestamp"),
        sql.Identifier(schema, table.name),
    )
