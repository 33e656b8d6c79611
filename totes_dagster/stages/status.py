"""Where the three stages stand."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from totes_dagster.database import Database
from totes_dagster.schema import warehouse


@dataclass(frozen=True)
class WarehouseStatus:
    """What the warehouse shows.

    Attributes:
        batch: the newest loaded batch, 0 before the first.
        snapshot_at: the moment at which the source was as the warehouse is; None before the first batch.
        rows: rows of each star table.
    """

    batch: int
    snapshot_at: datetime | None
    rows: dict[str, int]


def warehouse_status(database: Database, schema: str) -> WarehouseStatus:
    """Look up what the warehouse shows; it must have been migrated."""
    counts = [sql.SQL("(select count(*) from {})").format(sql.Identifier(schema, name)) for name in warehouse.TABLES]
    statement = sql.SQL(
        "select (select coalesce(max(batch), 0) from {0}), (select max(snapshot_at) from {0}), {1}"
    ).format(sql.Identifier(schema, warehouse.load_history.name), sql.SQL(", ").join(counts))
    with database.connect() as connection:
        ((batch, snapshot_at, *rows),) = connection.execute(statement).fetchall()
    return WarehouseStatus(batch, snapshot_at, dict(zip(warehouse.TABLES, rows, strict=True)))
