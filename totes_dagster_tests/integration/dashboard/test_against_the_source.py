"""Every answer about sales, purchases, payments and history is what the source and the feeds say, with any filters."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.question import Page
from totes_dagster.dashboard.reading import read_pages
from totes_dagster.dashboard.site import PAGES
from totes_dagster_tests.integration.dashboard import (
    expected_history,
    expected_payments,
    expected_purchases,
    expected_sales,
)
from totes_dagster_tests.integration.dashboard.chosen import Answer, Chosen
from totes_dagster_tests.integration.dashboard.lives import EACH_LIFE
from totes_dagster_tests.integration.metrics.expected import Row
from totes_dagster_tests.integration.metrics.lived import Lived

pytestmark = EACH_LIFE


def _last_months(lived: Lived) -> Filters:
    return Filters(since=lived.facts.as_of - timedelta(days=120), until=lived.facts.as_of - timedelta(days=10))


def _country(lived: Lived) -> Filters:
    """A country that an order was to be delivered to at first, and is not any more."""
    (_, first), *_, (_, last) = lived.facts.sales_orders
    return Filters(country=min(row["delivered_to"] for key, row in first.items() if _is_moved(row, last.get(key))))


def _is_moved(before: Row, after: Row | None) -> bool:
    return after is not None and before["delivered_to"] != after["delivered_to"]


def _department(lived: Lived) -> Filters:
    return Filters(department=max(row["department"] for row in lived.expected.sales))


def _all_at_once(lived: Lived) -> Filters:
    row = max(lived.expected.sales, key=lambda row: row["amount"])
    return Filters(date(2020, 1, 1), lived.facts.as_of, row["currency"], row["delivered_to"], row["department"])


FILTERS: Mapping[str, Callable[[Lived], Filters]] = {
    "all": lambda _: Filters(),
    "dollars": lambda _: Filters(currency="USD"),
    "pounds": lambda _: Filters(currency="GBP"),
    "the last months": _last_months,
    "a country": _country,
    "a department": _department,
    "all filters": _all_at_once,
}
EXPECTED: Mapping[str, Mapping[str, Callable[[Chosen], Answer]]] = {
    "sales": expected_sales.ANSWERS,
    "purchases": expected_purchases.ANSWERS,
    "payments": expected_payments.ANSWERS,
    "history": expected_history.ANSWERS,
}


def test_the_life_had_all_that_matters(lived: Lived, warehouse: Warehouse) -> None:
    pages = {
        data.page.name: data.tables for data in read_pages(warehouse, [(page, Filters()) for page in PAGES.values()])
    }
    for page, question in (("sales", "constant-rates"), ("payments", "exchange")):
        rows = pages[page][question].rows
        counted = "payments" if question == "exchange" else "orders"
        assert any(0 < row["unconverted"] < row[counted] for row in rows)
    late = [row for row in lived.expected.due if row["transaction_type"] == "SALE"]
    assert {row["sign"] for row in late} == {1, -1}
    assert any(row["late"] > 0 for row in late if row["sign"] == -1)
    days = [*pages["payments"]["late-payers"].rows, *pages["sales"]["lead-times"].rows]
    assert any(row[name] % 1 for row in days for name in ("days_50", "days_90"))
    corrections = pages["history"]["corrections"].rows
    assert all(sum(row[name] for row in corrections) for name in ("quantity", "delivery_address", "deleted"))
    assert sum(row["payments"] for row in pages["payments"]["disagreements"].rows)


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("page", [PAGES[name] for name in EXPECTED], ids=EXPECTED)
def test_answers_are_what_the_source_says(lived: Lived, warehouse: Warehouse, page: Page, filters: str) -> None:
    chosen = FILTERS[filters](lived)
    (data,) = read_pages(warehouse, [(page, chosen)])
    expected, rows = EXPECTED[page.name], Chosen(lived, chosen)
    assert expected.keys() == data.tables.keys()
    for question in (page.headline, *page.questions):
        assert list(data.tables[question.name].rows) == expected[question.name](rows), question.name
