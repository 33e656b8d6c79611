"""A warehouse for single steps of a load: migrated, without a batch, with a calendar of 2023."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.config.platform import Warehouse
from totes_dagster.lake.processed import star_schema
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.tables import calendar
from totes_dagster.schema.registry import CALENDAR
from totes_dagster.warehouse.bulk_load import complete, restore_constraints
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.migrations import migrate


class NewWarehouse(Warehouse):
    """A warehouse as the platform knows it, and ways for a test to look at it and to change it."""

    @contextmanager
    def begin(self) -> Iterator[LoadTransaction]:
        with self.database.connect() as connection, LoadTransaction.begin(connection, self) as transaction:
            yield transaction

    def restore(self, *filled: Table) -> None:
        """Restore what was set aside of facts, as a load does that has filled these."""
        with self.begin() as transaction:
            restore_constraints(transaction, filled=[*filled])
            transaction.commit()
        with self.begin() as transaction:
            complete(transaction, filled=[*filled], beside=self)
            transaction.commit()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query).fetchall()

    def run(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement)

    def connect(self) -> psycopg.Connection:
        path = sql.Identifier(self.schema).as_string(None)
        connection = psycopg.connect(self.database.url)
        connection.execute("select set_config('search_path', %s, false)", [path])
        return connection

    def create(self) -> None:
        """Create its tables, and load the calendar of one year."""
        migrate(self)
        days = pd.Series([date(2023, 1, 1)], dtype=pd.ArrowDtype(pa.date32()))
        with self.begin() as transaction:
            rows = to_table(calendar.dim_date(days), star_schema(CALENDAR.name))
            assert transaction.copy(CALENDAR, rows) == 365
            transaction.commit()
