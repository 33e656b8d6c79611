"""What pages show is what the warehouse says: one snapshot for a page, the shown SQL's rows, the metrics' numbers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.question import Kind, Page
from totes_dagster.dashboard.reading import read_pages
from totes_dagster.dashboard.rendering import rendered
from totes_dagster.dashboard.server import Served as Addresses
from totes_dagster.dashboard.site import PAGES
from totes_dagster.metrics.asking import ask
from totes_dagster.metrics.metric import Unit
from totes_dagster.metrics.registry import METRICS
from totes_dagster.postgres.database import Database, NamedConnection
from totes_dagster_tests.integration.metrics.lived import Lived

FILTERS = [
    Filters(),
    Filters(currency="USD"),
    Filters(since=date(2026, 1, 1), until=date(2026, 8, 31), country="United Kingdom"),
    Filters(department="Sales", currency="EUR"),
    Filters(country="Nowhere", department="None"),
]
EACH_PAGE = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
EACH_FILTER = pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: filters.query() or "all")


@dataclass(frozen=True)
class Watched(Database):
    """A database that notes what is executed on it: a list of statements for each connection."""

    connections: list[list[str]] = field(default_factory=list)

    @contextmanager
    def connect(self) -> Iterator[NamedConnection]:
        with super().connect() as connection:
            statements: list[str] = []
            self.connections.append(statements)
            execute = connection.execute

            def noted(query: Any, *arguments: Any, **options: Any) -> Any:
                text = query.as_string(connection) if isinstance(query, sql.Composable) else str(query)
                statements.append(text)
                return execute(query, *arguments, **options)

            connection.execute = noted  # type: ignore[method-assign]
            yield connection


@EACH_PAGE
def test_a_page_is_one_query_in_one_read_only_transaction_with_one_snapshot(warehouse: Warehouse, page: Page) -> None:
    database = Watched("warehouse", warehouse.database.url)
    read_pages(Warehouse(database, warehouse.schema), [(page, Filters())])
    ((begin, prepare, *queries),) = database.connections
    assert begin.startswith("begin isolation level repeatable read read only")
    assert prepare.count("set local") == prepare.count(";") + 1
    assert "begin" not in "".join(queries)
    assert len([query for query in queries if "union all" in query and page.questions[0].name in query]) == 1


@EACH_PAGE
@EACH_FILTER
def test_the_sql_that_is_shown_has_the_rows_that_are_shown(warehouse: Warehouse, page: Page, filters: Filters) -> None:
    (data,) = read_pages(warehouse, [(page, filters)])
    with psycopg.connect(warehouse.database.url) as connection:
        connection.execute("set time zone 'UTC'")
        for question in (page.headline, *page.questions):
            table = data.tables[question.name]
            alone = connection.execute(f"select to_jsonb(answer)::text from ({table.statement}) as answer").fetchall()
            rows = [json.loads(row, parse_float=Decimal) for (row,) in alone]
            columns = question.columns
            assert [set(row) for row in rows] == [{column.name for column in columns}] * len(rows)
            for row, expected in zip(rows, table.rows, strict=True):
                assert {column.name: read(row[column.name], column.kind) for column in columns} == expected


def read(value: Any, kind: Kind) -> Any:
    if value is None or kind not in {Kind.DAY, Kind.MONTH, Kind.TIME}:
        return value
    return datetime.fromisoformat(value) if kind is Kind.TIME else date.fromisoformat(value)


@EACH_PAGE
@EACH_FILTER
def test_every_chart_can_be_drawn(warehouse: Warehouse, page: Page, filters: Filters) -> None:
    (data,) = read_pages(warehouse, [(page, filters)])
    assert rendered(data, Addresses(filters)).body.count("<section") == len(page.questions)


PERIOD = Filters(since=date(2026, 2, 1), until=date(2026, 8, 31))
EUROS = Filters(currency="EUR")


def asked_in(metric: str, filters: Filters) -> str | None:
    """The declared metric that a figure is with these filters; None if there is none in that currency."""
    is_money = METRICS[metric].unit in {Unit.GBP, Unit.GBP_A_BAG}
    name = f"{metric}_in_own_currency" if filters.currency and is_money else metric
    return name if name in METRICS else None


@pytest.mark.parametrize(
    ("page", "figure", "metric", "filters"),
    [
        pytest.param(page, column.metric, metric, filters, id=f"{metric}{filters.query()}")
        for page in PAGES.values()
        for column in page.headline.columns
        for filters in (Filters(), PERIOD, EUROS)
        if column.metric and (metric := asked_in(column.metric, filters))
    ],
)
def test_figures_are_those_of_the_declared_metrics(
    warehouse: Warehouse, page: Page, figure: str, metric: str, filters: Filters
) -> None:
    (data,) = read_pages(warehouse, [(page, filters)])
    (row,) = data.tables["headline"].rows
    (name,) = [column.name for column in page.headline.columns if column.metric == figure]
    where = {"currency": filters.currency} if filters.currency else {}
    with psycopg.connect(warehouse.database.url) as connection:
        answer = ask(connection, "public", metric, since=filters.since, until=filters.until, where=where)
    assert (row[name] or 0) == (answer.rows[0][0] or 0)


def test_months_add_up_to_the_figure(warehouse: Warehouse) -> None:
    (data,) = read_pages(warehouse, [(PAGES["sales"], Filters())])
    (headline,) = data.tables["headline"].rows
    for column in ("net_sales", "orders", "units", "unconverted"):
        assert sum(row[column] or 0 for row in data.tables["by-month"].rows) == headline[column]
    countries = data.tables["countries"].rows
    assert sum(row["delivered"] or 0 for row in countries) == headline["net_sales"]
    assert sum(row["customers"] or 0 for row in countries) == headline["net_sales"]


def test_what_is_known_last_is_what_is_there_now(lived: Lived, warehouse: Warehouse) -> None:
    history, sales = read_pages(warehouse, [(PAGES["history"], Filters()), (PAGES["sales"], Filters())])
    *_, newest = history.tables["as-known"].rows
    (now,) = sales.tables["headline"].rows
    assert (newest["orders"], newest["units"], newest["net_sales"]) == (
        now["orders"],
        now["units"],
        now["net_sales"],
    )
    ((then,),) = lived.world.ask(
        """select sum(units_sold) from (select distinct on (sales_order_id) * from fact_sales_order where batch <= 3
           order by sales_order_id, batch desc, sales_record_id desc) as known where not is_deleted"""
    )
    assert [row["units"] for row in history.tables["as-known"].rows if row["batch"] <= 3][-1] == then


def test_every_deletion_is_listed(lived: Lived, warehouse: Warehouse) -> None:
    (data,) = read_pages(warehouse, [(PAGES["history"], Filters())])
    deleted = lived.world.ask("select distinct sales_order_id from fact_sales_order where is_deleted order by 1")
    assert sorted({row["sales_order_id"] for row in data.tables["deletions"].rows}) == [key for (key,) in deleted]
    assert deleted


def test_a_role_that_may_only_select_can_read_every_page(warehouse: Warehouse) -> None:
    with psycopg.connect(warehouse.database.url, autocommit=True) as connection:
        connection.execute("create role shown_to")
        try:
            connection.execute("grant usage on schema public to shown_to")
            connection.execute("grant select on all tables in schema public to shown_to")
            url = f"{warehouse.database.url}&options=-c%20role%3Dshown_to"
            pages = read_pages(Warehouse(Database("warehouse", url)), [(page, Filters()) for page in PAGES.values()])
            assert [data.page.name for data in pages] == list(PAGES)
        finally:
            connection.execute("drop owned by shown_to")
            connection.execute("drop role shown_to")
