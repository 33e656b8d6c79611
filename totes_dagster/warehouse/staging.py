"""Bulk copies into the warehouse's tables, and into temporary tables beside them, in a load's transaction."""

from collections.abc import Iterable

import pyarrow as pa
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.postgres.database import NamedConnection
from totes_dagster.schema.bookkeeping import commit_time
from totes_dagster.schema.star import natural_key_of, remodelled_columns
from totes_dagster.warehouse.transaction import WarehouseTransaction

LOGGED_CHANGES = sql.Identifier("pg_temp", "logged_changes")
"""The temporary table of what the write-ahead log says of changes."""

_AS_MANY = 10
"""Numbers of rows within this factor are much the same to the planner."""


class StagingTransaction(WarehouseTransaction):
    """A transaction that copies rows.

    Attributes:
        not_empty: the tables that are known to have rows.
    """

    def __init__(self, connection: NamedConnection, schema: str) -> None:
        super().__init__(connection, schema)
        self.not_empty: set[str] = set()
        self._analyzed: dict[str, int] = {}

    def is_empty(self, table: Table) -> bool:
        """Whether a table has no row."""
        if table.name in self.not_empty:
            return False
        (is_empty,) = self.fetch(sql.SQL("select not exists (select from {})").format(self.name_of(table)))
        if not is_empty:
            self.not_empty.add(table.name)
        return bool(is_empty)

    def estimated_rows(self, table: Table) -> int:
        """The planner's estimate of the number of rows in a table."""
        return int(
            self.fetch(
                sql.SQL("select greatest(reltuples, 0)::bigint from pg_class where oid = {}::regclass").format(
                    sql.Literal(self.name_of(table).as_string(None))
                )
            )[0]
        )

    def size_of(self, table: Table) -> int:
        """How many bytes a table has, without its indexes."""
        name = sql.Literal(self.name_of(table).as_string(None))
        return int(self.fetch(sql.SQL("select pg_relation_size({}::regclass)").format(name))[0])

    def copy(self, table: Table, rows: pa.Table, *, batch: int | None = None) -> int:
        """Copy rows straight into a table, into a fact with their batch's number; return how many."""
        if batch is not None:
            column = pa.field("batch", pa.int64(), nullable=False)
            rows = rows.append_column(column, pa.repeat(pa.scalar(batch, pa.int64()), rows.num_rows))
        return self.ingest(table.name, rows, temporary=False)

    def create_staging(self, table: Table) -> None:
        """Create the table's staging table, which is dropped at the end of the transaction, or empty it."""
        columns = [column.name for column in remodelled_columns(table)]
        self.create_temporary(staging_of(table), self.name_of(table), names_of(columns))

    def stage(self, table: Table, rows: pa.Table) -> int:
        """Copy rows into the table's staging table; return how many."""
        return self.ingest(f"staging_{table.name}", rows, temporary=True)

    def analyze_staging(self, table: Table, rows: int) -> None:
        """Update the planner's statistics of the staging table once it is filled, with so many rows.

        Those of rows that were there before, in this transaction, serve if they were about as many.
        """
        if not rows / _AS_MANY <= self._analyzed.get(table.name, -1) <= rows * _AS_MANY:
            self.execute(sql.SQL("analyze {}").format(staging_of(table)))
            self._analyzed[table.name] = rows

    def list_live_keys(self, fact: Table, keys: Iterable[pa.Table]) -> None:
        """List the keys that the source still has, from tables with one column, named after the fact's key."""
        self.create_temporary(live_keys_of(fact), self.name_of(fact), sql.Identifier(natural_key_of(fact)))
        for table in keys:
            self.ingest(f"live_keys_{fact.name}", table, temporary=True)
        self.execute(sql.SQL("analyze {}").format(live_keys_of(fact)))

    def list_logged_changes(self, changes: Iterable[pa.Table]) -> None:
        """List what the write-ahead log says of the rows that a batch changes, from tables like `LOGGED_SCHEMA`."""
        self.create_temporary(
            LOGGED_CHANGES, self.name_of(commit_time), sql.SQL("key, false as is_deleted, committed_at")
        )
        for table in changes:
            self.ingest("logged_changes", table, temporary=True)
        self.execute(sql.SQL("analyze {}").format(LOGGED_CHANGES))

    def analyze(self, table: Table) -> None:
        """Update the planner's statistics of a table whose contents changed a lot."""
        self.execute(sql.SQL("analyze {}").format(self.name_of(table)))


def staging_of(table: Table) -> sql.Identifier:
    """The staging table of a table."""
    return sql.Identifier("pg_temp", f"staging_{table.name}")


def live_keys_of(fact: Table) -> sql.Identifier:
    """The temporary table with the live keys of a fact."""
    return sql.Identifier("pg_temp", f"live_keys_{fact.name}")


def names_of(columns: list[str], *, of: str | None = None) -> sql.Composed:
    """Some columns, separated by commas; `of` qualifies them."""
    return sql.SQL(", ").join(sql.Identifier(of, name) if of else sql.Identifier(name) for name in columns)
