"""What pages show is what the warehouse says: one snapshot for a page, the shown SQL's rows, the metrics' numbers."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from totes_dagster.dashboard.question import Kind, Page, shown_metric
from totes_dagster.dashboard.reading import read_pages
from totes_dagster.dashboard.rendering import rendered
from totes_dagster.dashboard.server import Served as Addresses
from totes_dagster.dashboard.site import PAGES
from totes_dagster.metrics.asking import ask
from totes_dagster.metrics.metric import COUNT
from totes_dagster.metrics.registry import METRICS
from totes_dagster.postgres.database import Database, NamedConnection
from totes_dagster_tests.integration.dashboard.lives import EACH_LIFE
from totes_dagster_tests.integration.metrics.lived import Lived

pytestmark = EACH_LIFE

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


DEPARTMENT = Filters(department="the second")
"""Of the second department by name, whatever that is."""
PERIOD = Filters(since=date(2026, 2, 1), until=date(2026, 8, 31))
EUROS = Filters(currency="EUR")


@pytest.mark.parametrize(
    ("page", "figure", "metric", "filters"),
    [
        pytest.param(page, column.metric, metric, filters, id=f"{metric}{filters.query()}")
        for page in PAGES.values()
        for column in page.headline.columns
        for filters in (Filters(), PERIOD, EUROS)
        if column.metric and (metric := shown_metric(column.metric, filters.unit).name)
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
    assert row[name] == answer.rows[0][0]


@dataclass(frozen=True)
class Slices:
    """A question whose rows are the slices of metrics.

    Attributes:
        by: the dimension of each column that tells its rows apart.
        filters: with which filters.
        only: its columns that are metrics split so; all that are metrics if None.
        members: what a column calls a dimension's members, where that is not their name.
        is_complete: whether it shows all slices.
    """

    page: str
    question: str
    by: Mapping[str, str]
    filters: Sequence[Filters] = (Filters(), PERIOD, EUROS)
    only: Collection[str] | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = True


SLICES = [
    Slices("sales", "by-month", {"month": "month", "currency": "currency"}),
    Slices("sales", "countries", {"country": "delivered_to"}, only={"delivered", "units_delivered"}),
    Slices("sales", "countries", {"country": "customer_of"}, only={"customers"}),
    Slices("sales", "designs", {"country": "delivered_to", "design_id": "design"}, is_complete=False),
    Slices("sales", "departments", {"department_name": "department"}),
    Slices("sales", "customers", {"counterparty_id": "customer"}),
    Slices("sales", "hours", {"day_of_week": "weekday", "hour": "hour"}),
    Slices("sales", "lead-times", {"country": "delivered_to"}),
    # The period of the page is of another day than that of the metric.
    Slices("sales", "deliveries", {"month": "month"}, filters=[Filters()]),
    Slices("sales", "targets", {"month": "month"}, filters=[Filters(), PERIOD, DEPARTMENT]),
    Slices("purchases", "suppliers", {"counterparty_id": "supplier"}),
    Slices("purchases", "buyers", {"staff_id": "staff"}),
    Slices("payments", "ageing", {"ageing": "ageing"}),
    Slices("payments", "late-payers", {"counterparty_id": "customer"}),
    Slices(
        "payments",
        "exchange",
        {"month": "month", "payments_for": "transaction_type"},
        filters=[Filters(), Filters(currency="USD")],
        members={"sales": "SALE", "purchases": "PURCHASE"},
        is_complete=False,
    ),
]


@pytest.mark.parametrize(
    ("slices", "filters"),
    [
        pytest.param(each, filters, id=f"{each.question} by {' '.join(each.by.values())}{filters.query()}")
        for each in SLICES
        for filters in each.filters
    ],
)
def test_answers_are_those_of_the_declared_metrics(
    lived: Lived, warehouse: Warehouse, slices: Slices, filters: Filters
) -> None:
    if filters is DEPARTMENT:
        _, (department,), *_ = lived.world.ask("select distinct department_name from dim_staff order by 1")
        filters = Filters(department=department)
    page = PAGES[slices.page]
    (question,) = [each for each in page.questions if each.name == slices.question]
    (data,) = read_pages(warehouse, [(page, filters)])
    shown = {
        tuple(slices.members.get(row[column], row[column]) for column in slices.by): row
        for row in data.tables[question.name].rows
    }
    assert len(shown) == len(data.tables[question.name].rows) > 0
    where = {name: value for name, value in filters.given().items() if name in {"currency", "department"}}
    for column in question.columns:
        if column.metric is None or (slices.only is not None and column.name not in slices.only):
            continue
        metric = column.metric if question.always_gbp else shown_metric(column.metric, filters.unit).name
        with psycopg.connect(warehouse.database.url) as connection:
            answer = ask(
                connection,
                "public",
                metric,
                by=slices.by.values(),
                since=filters.since,
                until=filters.until,
                where=where,
            )
        names = [each.name for each in answer.columns]
        keys = [names.index(f"{dimension}_id" if f"{dimension}_id" in names else dimension) for dimension in answer.by]
        keys = [names.index("weekday_number") if names[key] == "weekday" else key for key in keys]
        value = names.index(metric)
        asked = {tuple(row[key] for key in keys): row[value] for row in answer.rows}
        for key, row in shown.items():
            expected = asked.get(key, 0 if METRICS[metric].value is COUNT else None)
            if column.kind is Kind.PERCENT and expected is not None:
                expected = round(100 * expected, 2)
            assert row[column.name] == expected, (key, column.name)
        assert not slices.is_complete or asked.keys() <= shown.keys()


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
