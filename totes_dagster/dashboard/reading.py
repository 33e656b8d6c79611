"""Reads pages from the warehouse: all that a page shows, in one read-only transaction with one snapshot."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.question import Kind, Page, Question, Row
from totes_dagster.errors import DatabaseError
from totes_dagster.postgres.transactions import REPEATABLE_READ, transaction

STATEMENT_TIMEOUT = "5min"
"""How long a statement of a page may take."""

_SETTINGS = {"statement_timeout": STATEMENT_TIMEOUT, "work_mem": "64MB", "jit": "off", "enable_nestloop": "off"}
"""A page's query sorts and hashes many rows once; compiling it takes longer than it saves."""


@dataclass(frozen=True)
class State:
    """What the warehouse holds. Two reads with equal states have equal results.

    Attributes:
        batch: number of the newest batch, 0 before the first.
        snapshot_at: when the source was in the state that the warehouse shows; None before the first.
        loaded_at: when the batch was loaded, which also tells a rebuilt warehouse from the one before.
        feeds: the newest batch of each feed, and when it was loaded.
    """

    batch: int = 0
    snapshot_at: datetime | None = None
    loaded_at: datetime | None = None
    feeds: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """The answer to a question.

    Attributes:
        rows: its rows, by the columns' names.
        statement: the query whose result it is.
    """

    rows: Sequence[Row]
    statement: str


@dataclass(frozen=True)
class SetAside:
    """What the warehouse was brought and did not take.

    Attributes:
        rows: rows of the source that are in quarantine.
        rows_of_feeds: rows of feeds that are in quarantine.
        files: files of feeds that were refused.
    """

    rows: int = 0
    rows_of_feeds: int = 0
    files: int = 0


@dataclass(frozen=True)
class PageData:
    """All that a page shows.

    Attributes:
        page: the page.
        filters: its filters.
        state: what the warehouse held.
        tables: the answers by the names of the questions, the headline's among them.
        choices: the values that its filters may have.
        set_aside: what is missing from all pages.
        read_at: when it was read.
        seconds: how long the transaction took.
    """

    page: Page
    filters: Filters
    state: State
    tables: Mapping[str, Table]
    choices: Mapping[str, Sequence[str]]
    set_aside: SetAside
    read_at: datetime
    seconds: float


_STATE = sql.SQL(
    """
    select h.batch, h.snapshot_at, h.loaded_at,
           (select coalesce(jsonb_agg(jsonb_build_array(feed, batch, loaded_at) order by feed), '[]')
            from (select distinct on (feed) feed, batch, loaded_at from feed_history
                  order by feed, batch desc) as newest)
    from (select 1) as always
    left join (select * from load_history order by batch desc limit 1) as h on true
    """
)

_SET_ASIDE = sql.SQL(
    """
    select (select count(*) from quarantine) as rows, (select count(*) from feed_quarantine) as rows_of_feeds,
           (select count(*) from feed_file where refused is not null) as files
    """
)

_CHOICES = sql.SQL(
    """
    select 'currency', currency_code from dim_currency
    union select 'country', country from dim_location
    union select 'country', counterparty_legal_country from dim_counterparty
    union select 'department', department_name from dim_staff
    order by 1, 2
    """
)


def read_state(connection: psycopg.Connection[Any], schema: str) -> State:
    """What the warehouse holds now, on a connection in autocommit mode.

    Raises:
        DatabaseError: the server closed the connection, or refuses.
    """
    with transaction(connection, read_only=True):
        _prepare(connection, schema)
        return _state(connection)


class StateReader:
    """Looks up the warehouse's state again and again, on one connection that is kept open. Not for several threads."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._open = ExitStack()
        self._connection: psycopg.Connection[Any] | None = None

    def read(self) -> State:
        """What the warehouse holds now; a connection that was lost is replaced.

        Raises:
            DatabaseError: the warehouse cannot be reached, or refuses.
        """
        if self._connection is not None:
            try:
                return read_state(self._connection, self._warehouse.schema)
            except (DatabaseError, psycopg.Error):
                self.close()
        self._connection = self._open.enter_context(self._warehouse.database.connect())
        return read_state(self._connection, self._warehouse.schema)

    def close(self) -> None:
        """Close the connection."""
        self._connection = None
        self._open.close()


def read_pages(warehouse: Warehouse, wanted: Iterable[tuple[Page, Filters]]) -> list[PageData]:
    """Read pages, all of them in one transaction.

    Raises:
        DatabaseError: the warehouse cannot be reached, or refuses: it may not have been migrated, a view may be
            missing, or a query may have taken longer than `STATEMENT_TIMEOUT`.
    """
    with (
        warehouse.database.connect() as connection,
        transaction(connection, isolation=REPEATABLE_READ, read_only=True),
    ):
        _prepare(connection, warehouse.schema)
        state = _state(connection)
        choices = _choices(connection)
        ((rows, rows_of_feeds, files),) = connection.execute(_SET_ASIDE).fetchall()
        set_aside = SetAside(rows, rows_of_feeds, files)
        pages = []
        for page, filters in wanted:
            started = time.perf_counter()
            tables = _tables(connection, page, filters)
            seconds = time.perf_counter() - started
            pages.append(PageData(page, filters, state, tables, choices, set_aside, datetime.now(UTC), seconds))
        return pages


def _prepare(connection: psycopg.Connection[Any], schema: str) -> None:
    """Apply what a page's transaction needs besides the platform's settings, until its end."""
    settings = [
        sql.SQL("set local {} to {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in _SETTINGS.items()
    ]
    path = sql.SQL("set local search_path to {}").format(sql.Identifier(schema))
    connection.execute(sql.SQL("; ").join([*settings, path]))


def _state(connection: psycopg.Connection[Any]) -> State:
    ((batch, snapshot_at, loaded_at, feeds),) = connection.execute(_STATE).fetchall()
    return State(batch or 0, snapshot_at, loaded_at, tuple((feed, number, loaded) for feed, number, loaded in feeds))


def _choices(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    choices: dict[str, list[str]] = {}
    for name, value in connection.execute(_CHOICES):
        choices.setdefault(name, []).append(value)
    return choices


def _tables(connection: psycopg.Connection[Any], page: Page, filters: Filters) -> dict[str, Table]:
    statement: sql.Composed = page.statement(filters)
    answers = dict(connection.execute(statement).fetchall())
    return {
        question.name: Table(
            _rows(question, answers[question.name]),
            page.shown_statement(question, filters),
        )
        for question in (page.headline, *page.questions)
    }


def _rows(question: Question, answer: str) -> list[Row]:
    """The rows in an answer's JSON, with numbers exact, and days and moments as such."""
    rows = json.loads(answer, parse_float=Decimal)
    return [{column.name: _value(row[column.name], column.kind) for column in question.columns} for row in rows]


def _value(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind in {Kind.DAY, Kind.MONTH}:
        return date.fromisoformat(value)
    return datetime.fromisoformat(value) if kind is Kind.TIME else value
