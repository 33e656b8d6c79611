"""A warehouse and a lake for single steps of the stages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from totes_dagster.config.platform import Warehouse
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.database import Database
from totes_dagster.remodel.frames import to_table
from totes_dagster.remodel.run import star_schema
from totes_dagster.remodel.tables import calendar
from totes_dagster.schema.dimensions import dim_date
from totes_dagster.warehouse.load_transaction import LoadTransaction
from totes_dagster.warehouse.migrations import migrate


@dataclass(frozen=True)
class Warehouse:
    """A migrated, empty warehouse with a calendar of 2023."""

    database: Database
    schema: str

    @contextmanager
    def begin(self) -> Iterator[LoadTransaction]:
        with self.database.connect_bulk() as connection, LoadTransaction.begin(connection, self) as transaction:
            yield transaction

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


@pytest.fixture(params=["public", 'odd "schema", %s; Ñ'], ids=["public", "odd schema"])
def warehouse(request: pytest.FixtureRequest, database: Callable[..., str]) -> Warehouse:
    made = Warehouse(Database("warehouse", database("warehouse")), request.param)
    migrate(made)
    days = pd.Series([date(2023, 1, 1)], dtype=pd.ArrowDtype(pa.date32()))
    with made.begin() as transaction:
        rows = to_table(calendar.dim_date(days), star_schema("dim_date"))
        assert transaction.copy(dim_date, iter([("calendar", rows)])) == 365
        transaction.commit()
    return made


@pytest.fixture
def lake(tmp_path: Path) -> Zone:
    return Zone((tmp_path / "lake").as_uri())
