"""What the star tables hold, in a few figures, to tell whether two states of a warehouse hold the same rows.

Reads only.
"""

from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.postgres.transactions import REPEATABLE_READ
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.schema.star import is_fact, record_id_of


@dataclass(frozen=True)
class Fingerprint:
    """What a table holds; equal for equal rows, in whatever order, and with whatever record ids.

    Attributes:
        rows: how many rows.
        checksum: the sum of their hashes.
    """

    rows: int
    checksum: int


def fingerprints(warehouse: Warehouse) -> dict[str, Fingerprint]:
    """The fingerprint of each star table, all of one state; reads every row.

    Raises:
        DatabaseError: the warehouse cannot be read.
    """
    with warehouse.database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
        found: dict[str, Fingerprint] = {}
        for name, table in STAR_TABLES.items():
            ((rows, checksum),) = connection.execute(_statement(warehouse.schema, table)).fetchall()
            found[name] = Fingerprint(rows, int(checksum))
        return found


def _statement(schema: str, table: Table) -> sql.Composed:
    """A query for the number of rows, and the sum of the first 60 bits of each one's MD5."""
    # A rebuild gives new record ids.
    left_out = record_id_of(table) if is_fact(table) else ""
    columns = [sql.Identifier(column.name) for column in table.columns if column.name != left_out]
    return sql.SQL(
        "select count(*), coalesce(sum(('x' || left(md5(shown::text), 15))::bit(60)::bigint), 0) "
        "from (select {} from {}) as shown"
    ).format(sql.SQL(", ").join(columns), sql.Identifier(schema, table.name))
