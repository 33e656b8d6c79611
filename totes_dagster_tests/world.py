"""A small world to make claims about: a source that a test can change, and the platform that follows it."""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import scalar_row

from totes_dagster.config.platform import Platform
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.pipeline import Refreshed, refresh
from totes_dagster_tests import oracle

of_the_older_source = pytest.mark.parametrize("enforced", [False], ids=["older source"])
"""Marks a test whose rows point nowhere: the newer form of the source would not take them."""

UNTIL = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
"""When the history of the tests' companies ends: recently, and for all of one run at the same moment."""

NEW_ORDER = """
    insert into sales_order select 1000, now(), now(), design_id, staff_id, counterparty_id, 123, 4.56, currency_id,
           agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
    from sales_order where sales_order_id = 1"""
NEW_DEAL = (
    NEW_ORDER,
    "insert into transaction values (1000, 'SALE', 1000, null, now(), now())",
    """insert into payment select 1000, now(), now(), 1000, counterparty_id, 560.88, currency_id, payment_type_id,
              false, payment_date, company_ac_number, counterparty_ac_number from payment where payment_id = 1""",
)
"""Statements that place an order, with its transaction and payment, under the number 1000."""


@dataclass(frozen=True)
class World:
    """The platform and what a test does to its two ends."""

    platform: Platform

    @property
    def source_url(self) -> str:
        return self.platform.source.url

    @property
    def warehouse_url(self) -> str:
        return self.platform.warehouse.database.url

    def refresh(self, *, recapture: Collection[str] = ()) -> Refreshed:
        return refresh(self.platform, recapture=recapture)

    def change(self, *statements: str) -> None:
        """Change the source, in one transaction."""
        with psycopg.connect(self.source_url) as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """A transaction on the source that has an id and stays open until the test ends it."""
        with psycopg.connect(self.source_url) as connection:
            connection.execute("select pg_current_xact_id()")
            yield connection

    def ask(self, query: str, *values: Any) -> list[Any]:
        """Rows of the warehouse."""
        with self._warehouse() as connection:
            return connection.execute(query, values or None).fetchall()

    def ask_one(self, query: str, *values: Any) -> Any:
        """The first column of the one row that the warehouse answers with."""
        with self._warehouse() as connection:
            (value,) = connection.cursor(row_factory=scalar_row).execute(query, values or None).fetchall()
            return value

    def head(self) -> int:
        """Number of the newest committed batch."""
        return BatchLog(self.platform.lake.ingestion).head()

    def has_arrived(self) -> bool:
        """Whether further refreshes make no batch, also while another session keeps an unrelated transaction open."""
        head = self.head()
        with self.transaction():
            self.refresh()
        self.refresh()
        return self.head() == head

    def versions(self, fact: str, key: int) -> list[str]:
        """What became of one row of a fact: `live` or `deleted` for each version, oldest first."""
        versions = oracle.history(self.warehouse_url, self.platform.warehouse.schema)[fact].get(key, [])
        return ["deleted" if version[-2] else "live" for version in versions]

    def quarantined(self) -> list[tuple[str, int | None]]:
        """The source rows that the warehouse lists as set aside: table and key."""
        return self.ask("select source_table, source_key from quarantine order by 1, 2")

    def reason(self, table: str, key: int | None) -> str:
        """Why the one row of this key is set aside."""
        return self.ask_one(
            "select reason from quarantine where source_table = %s and source_key is not distinct from %s", table, key
        )

    def wrongs(self, *, strict: bool = False) -> list[str]:
        """Whatever is wrong with the warehouse, in one line each."""
        url, schema = self.warehouse_url, self.platform.warehouse.schema
        return [
            *oracle.differences(self.source_url, url, schema, strict=strict),
            *oracle.broken_foreign_keys(url, schema),
            *oracle.wrong_totals(url, schema),
        ]

    @contextmanager
    def _warehouse(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.warehouse_url) as connection:
            connection.execute(
                "select set_config('search_path', quote_ident(%s), true)", [self.platform.warehouse.schema]
            )
            yield connection


def start_totes(platform: Platform, *arguments: str) -> subprocess.Popen[str]:
    """Start the command line in a process of its own, with this platform as its only settings."""
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOTES", "WAREHOUSE", "DAGSTER"))
    }
    return subprocess.Popen(
        [sys.executable, "-m", "totes_dagster.cli.commands", *arguments],
        env={
            **others,
            "TOTESYS_URL": platform.source.url,
            "WAREHOUSE_URL": platform.warehouse.database.url,
            "WAREHOUSE_SCHEMA": platform.warehouse.schema,
            "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
            "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_totes(platform: Platform, *arguments: str) -> str:
    """Run the command line to its end, which must be a good one; return what it printed."""
    process = start_totes(platform, *arguments)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return printed
