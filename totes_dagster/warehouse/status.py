"""Where the three stages stand, and a look at what the warehouse shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.schema.bookkeeping import load_history, quarantine
from totes_dagster.schema.registry import DIMENSIONS, FACTS, STAR_TABLES
from totes_dagster.schema.star import UNKNOWN, is_fact, is_personal, placeholder_columns, record_id_of
from totes_dagster.warehouse.queries import newest_load

_SAMPLE = 5


@dataclass(frozen=True)
class Quarantined:
    """The rows of one source table that are set aside now.

    Attributes:
        rows: how many.
        sample: the first few: key, reason, batch, and the object of the processed zone that holds the row.
    """

    rows: int = 0
    sample: tuple[tuple[int | None, str, int, str], ...] = ()


@dataclass(frozen=True)
class WarehouseStatus:
    """What the warehouse shows.

    Attributes:
        batch: the newest loaded batch, 0 before the first.
        snapshot_at: the moment at which the source was as the warehouse is; None before the first batch.
        rows: rows of each star table.
        placeholders: members of each dimension that stand for rows which the source does not have.
        newest_stamps: the latest `last_updated` in each fact; None where it has no rows.
        quarantined: rows set aside, by source table; of tables without any, nothing.
        record_ids_used: which part of the record ids that its sequence can give is used up in each fact, from 0 to 1.
    """

    batch: int
    snapshot_at: datetime | None
    rows: dict[str, int]
    placeholders: dict[str, int]
    newest_stamps: dict[str, datetime | None]
    quarantined: dict[str, Quarantined]
    record_ids_used: dict[str, float] = field(default_factory=dict)


def warehouse_status(warehouse: Warehouse) -> WarehouseStatus:
    """Look up what the warehouse shows; it must have been migrated."""
    schema = warehouse.schema
    counted = sql.SQL(" union all ").join(_counted(schema, table) for table in STAR_TABLES.values())
    with warehouse.database.transaction(read_only=True) as connection:
        newest = newest_load(connection, schema)
        tables = connection.execute(counted).fetchall()
        quarantined = _quarantined(connection, schema)
        record_ids_used = _record_ids_used(connection, schema)
    return WarehouseStatus(
        newest.batch,
        newest.snapshot_at,
        rows={name: rows for name, rows, _, _ in tables},
        placeholders={name: made_up for name, _, made_up, _ in tables if name in DIMENSIONS},
        newest_stamps={name: stamp and stamp.replace(tzinfo=UTC) for name, _, _, stamp in tables if name in FACTS},
        quarantined=quarantined,
        record_ids_used=record_ids_used,
    )


def loaded_batch(warehouse: Warehouse) -> int:
    """The newest batch that the warehouse has loaded; 0 before the first, and where nothing was migrated yet."""
    history = sql.Identifier(warehouse.schema, load_history.name)
    with warehouse.database.transaction(read_only=True) as connection:
        ((exists,),) = connection.execute("select to_regclass(%s) is not null", [history.as_string()]).fetchall()
        if not exists:
            return 0
        return newest_load(connection, warehouse.schema).batch


def newest_rows(warehouse: Warehouse, limit: int) -> dict[str, Sequence[Mapping[str, str]]]:
    """The newest few rows of each star table as text, but for what is personal."""
    with warehouse.database.transaction(read_only=True) as connection:
        return {name: _newest(connection, warehouse.schema, table, limit) for name, table in STAR_TABLES.items()}


def _newest(connection: psycopg.Connection, schema: str, table: Table, limit: int) -> Sequence[Mapping[str, str]]:
    columns = [column.name for column in table.columns if not is_personal(column)]
    # Qualified, for by its bare name it would be the text.
    statement = sql.SQL("select {} from {} as shown order by shown.{} desc limit {}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns),
        sql.Identifier(schema, table.name),
        sql.Identifier(table.primary_key.columns[0].name),
        sql.Literal(limit),
    )
    return [dict(zip(columns, row, strict=True)) for row in connection.execute(statement)]


def _counted(schema: str, table: Table) -> sql.Composed:
    """One scan of a star table: its name, its rows, its placeholders, and its newest stamp."""
    required = placeholder_columns(table)
    may_be_made_up = required and not is_fact(table)
    made_up = sql.SQL("({}) = ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, required)),
        sql.SQL(", ").join([sql.Literal(UNKNOWN)] * len(required)),
    )
    return sql.SQL("select {}, count(*), {}, {} from {}").format(
        sql.Literal(table.name),
        sql.SQL("count(*) filter (where {})").format(made_up) if may_be_made_up else sql.SQL("0"),
        sql.SQL("max(last_updated_date + last_updated_time)" if is_fact(table) else "null::timestamp"),
        sql.Identifier(schema, table.name),
    )


def _record_ids_used(connection: psycopg.Connection, schema: str) -> dict[str, float]:
    """By fact, how much of its sequence is used up; nothing for sequences that the user may not look at."""
    used: dict[str, float] = {}
    for name, fact in FACTS.items():
        table = sql.Identifier(schema, name).as_string(connection)
        for (part,) in connection.execute(
            "select coalesce(pg_sequence_last_value(seqrelid)::numeric / seqmax, 0) from pg_sequence "
            "where seqrelid = pg_get_serial_sequence(%s, %s)::regclass "
            "and has_sequence_privilege(seqrelid, 'usage, select')",
            [table, record_id_of(fact)],
        ):
            used[name] = float(part)
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
