"""What the warehouse holds: its newest batch, row counts, quarantine, and its newest rows.

Reads only. The status of all three stages is put together in `totes_dagster/status.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.postgres.transactions import REPEATABLE_READ
from totes_dagster.schema.bookkeeping import load_history, quarantine
from totes_dagster.schema.registry import DIMENSIONS, FACTS, STAR_TABLES
from totes_dagster.schema.star import is_personal, record_id_of
from totes_dagster.warehouse.queries import NewestLoad, newest_load
from totes_dagster.warehouse.totals import all_totals

_SAMPLE = 5


@dataclass(frozen=True)
class Quarantined:
    """The rows of one source table that are in quarantine.

    Attributes:
        rows: how many.
        sample: the first few: key, reason, batch, and the object of the processed zone that holds the row.
    """

    rows: int = 0
    sample: tuple[tuple[int | None, str, int, str], ...] = ()


@dataclass(frozen=True)
class WarehouseStatus:
    """What the warehouse holds.

    Attributes:
        newest: the newest batch that it has loaded.
        rows: the number of rows of each star table, as loads have left it.
        placeholders: the number of members of each dimension that stand in for rows that the source does not have.
        newest_stamps: the latest `last_updated` in each fact; None if it has no rows.
        quarantined: rows in quarantine, by source table; tables without any are left out.
        record_ids_used: the share of record ids that each fact's sequence has used up, from 0 to 1.
    """

    newest: NewestLoad
    rows: dict[str, int]
    placeholders: dict[str, int]
    newest_stamps: dict[str, datetime | None]
    quarantined: dict[str, Quarantined]
    record_ids_used: dict[str, float] = field(default_factory=dict)


def warehouse_status(warehouse: Warehouse) -> WarehouseStatus:
    """Look up what the warehouse holds; it must have been migrated."""
    schema = warehouse.schema
    with warehouse.database.transaction(read_only=True) as connection:
        newest = newest_load(connection, schema)

        def ask(query: sql.Composed) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        totals = all_totals(ask, schema)
        quarantined = _quarantined(connection, schema)
        record_ids_used = _record_ids_used(connection, schema)
    return WarehouseStatus(
        newest,
        rows={name: total.rows for name, total in totals.items()},
        placeholders={name: totals[name].placeholders for name in DIMENSIONS},
        newest_stamps={
            name: stamp.replace(tzinfo=UTC) if (stamp := totals[name].newest_stamp) else None for name in FACTS
        },
        quarantined=quarantined,
        record_ids_used=record_ids_used,
    )


def loaded_batch(warehouse: Warehouse) -> int:
    """The newest batch that the warehouse has loaded; 0 before the first load, and before the first migration."""
    history = sql.Identifier(warehouse.schema, load_history.name)
    with warehouse.database.transaction(read_only=True) as connection:
        ((exists,),) = connection.execute("select to_regclass(%s) is not null", [history.as_string()]).fetchall()
        if not exists:
            return 0
        return newest_load(connection, warehouse.schema).batch


def last_changes(warehouse: Warehouse, after: int) -> tuple[NewestLoad, dict[str, int]]:
    """The newest load, and which batch after a given one last changed each star table; unchanged tables are left out.

    A batch may bring rows that do not differ from what is there, and so change nothing. If the newest load is older
    than the given batch, because the warehouse was restored, all batches are looked at.
    """
    statement = sql.SQL(
        """
        select star, max(batch) from {0}, jsonb_each(tables) as loaded (star, counts)
        where batch > (select case when max(batch) >= {1} then {1} else 0 end from {0})
              and exists (select from unnest({2}::text[]) as kind where (counts ->> kind)::bigint > 0)
        group by star
        """
    ).format(
        sql.Identifier(warehouse.schema, load_history.name),
        sql.Literal(after),
        sql.Literal(["new", "changed", "deleted", "placeholders"]),
    )
    with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        return newest_load(connection, warehouse.schema), dict(connection.execute(statement).fetchall())


def newest_rows(warehouse: Warehouse, stars: Collection[str], limit: int) -> dict[str, Sequence[Mapping[str, str]]]:
    """The newest few rows of some star tables as text, without personal columns."""
    if not stars:
        return {}
    with warehouse.database.transaction(read_only=True) as connection:
        return {name: _newest(connection, warehouse.schema, STAR_TABLES[name], limit) for name in stars}


def _newest(connection: psycopg.Connection, schema: str, table: Table, limit: int) -> Sequence[Mapping[str, str]]:
    columns = [column.name for column in table.columns if not is_personal(column)]
    # Qualified: the bare name would be the output column, which is text.
    statement = sql.SQL("select {} from {} as shown order by shown.{} desc limit {}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns),
        sql.Identifier(schema, table.name),
        sql.Identifier(table.primary_key.columns[0].name),
        sql.Literal(limit),
    )
    return [dict(zip(columns, row, strict=True)) for row in connection.execute(statement)]


def _record_ids_used(connection: psycopg.Connection, schema: str) -> dict[str, float]:
    """The share of its sequence that each fact has used; sequences that the user may not read are left out."""
    used: dict[str, float] = {}
    for name, fact in FACTS.items():
        table = sql.Identifier(schema, name).as_string(connection)
        for (share,) in connection.execute(
            "select coalesce(pg_sequence_last_value(seqrelid)::numeric / seqmax, 0) from pg_sequence "
            "where seqrelid = pg_get_serial_sequence(%s, %s)::regclass "
            "and has_sequence_privilege(seqrelid, 'usage, select')",
            [table, record_id_of(fact)],
        ):
            used[name] = float(share)
    return used


def _quarantined(connection: psycopg.Connection, schema: str) -> dict[str, Quarantined]:
    statement = sql.SQL(
        """
        select source_table, rows, source_key, reason, batch, part
        from (select *, count(*) over (partition by source_table) as rows,
                     row_number() over (partition by source_table order by batch desc, source_key) as number
              from {}) as listed
        where number <= {} order by source_table, number
        """
    ).format(sql.Identifier(schema, quarantine.name), sql.Literal(_SAMPLE))
    found: dict[str, Quarantined] = {}
    for table, rows, *sample in connection.execute(statement):
        before = found.get(table, Quarantined())
        found[table] = Quarantined(rows, (*before.sample, tuple(sample)))
    return found
