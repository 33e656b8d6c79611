"""Where the three stages stand."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from totes_dagster.database import Database
from totes_dagster.schema import warehouse

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
        quarantined: rows set aside, by source table; of tables without any, nothing.
    """

    batch: int
    snapshot_at: datetime | None
    rows: dict[str, int]
    quarantined: dict[str, Quarantined]


def warehouse_status(database: Database, schema: str) -> WarehouseStatus:
    """Look up what the warehouse shows; it must have been migrated."""
    counts = [sql.SQL("(select count(*) from {})").format(sql.Identifier(schema, name)) for name in warehouse.TABLES]
    statement = sql.SQL(
        "select (select coalesce(max(batch), 0) from {0}), (select max(snapshot_at) from {0}), {1}"
    ).format(sql.Identifier(schema, warehouse.load_history.name), sql.SQL(", ").join(counts))
    with database.connect() as connection:
        ((batch, snapshot_at, *rows),) = connection.execute(statement).fetchall()
        quarantined = _quarantined(connection, schema)
    return WarehouseStatus(batch, snapshot_at, dict(zip(warehouse.TABLES, rows, strict=True)), quarantined)


def _quarantined(connection: psycopg.Connection, schema: str) -> dict[str, Quarantined]:
    statement = sql.SQL(
        """
        select source_table, rows, source_key, reason, batch, part
        from (select *, count(*) over (partition by source_table) as rows,
                     row_number() over (partition by source_table order by batch desc, source_key) as number
              from {}) as listed
        where number <= {} order by source_table, number
        """
    ).format(sql.Identifier(schema, warehouse.quarantine.name), sql.Literal(_SAMPLE))
    found: dict[str, Quarantined] = {}
    for table, rows, *sample in connection.execute(statement):
        before = found.get(table, Quarantined())
        found[table] = Quarantined(rows, (*before.sample, tuple(sample)))
    return found
