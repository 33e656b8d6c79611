"""Made-up answers to the questions of the dashboard, and pages of them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.question import Column, Kind, Page, Question
from totes_dagster.dashboard.reading import PageData, SetAside, State, Table

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
STATE = State(7, NOW - timedelta(minutes=5), NOW - timedelta(minutes=4))
EVERYTHING = Filters()
HOSTILE = "</script><script>alert('x')</script>\u2028<img src=x onerror=alert(1)>"


def value(column: Column, row: int, text: str) -> Any:
    match column.kind:
        case Kind.TEXT:
            return f"{text} {row}"
        case Kind.DAY | Kind.MONTH:
            return date(2026, 1 + row, 1)
        case Kind.TIME:
            return NOW + timedelta(minutes=row)
        case Kind.NUMBER | Kind.IDENTIFIER:
            return row
        case _:
            return Decimal(row * 1_000_000_000) / 7


def rows(question: Question, count: int = 5, text: str = "name") -> list[dict[str, Any]]:
    """Rows of a question; the last one has nulls for numbers, as rows without an exchange rate do."""
    columns = question.columns
    made = [{column.name: value(column, row, text) for column in columns} for row in range(count)]
    for column in columns:
        if count > 1 and column.kind is Kind.MONEY:
            made[-1][column.name] = None
    return made


def page_data(
    page: Page, filters: Filters = EVERYTHING, *, count: int = 5, text: str = "name", **changes: Any
) -> PageData:
    tables = {question.name: Table(rows(question, count, text), f"select '{text}'") for question in page.questions}
    tables[page.headline.name] = Table([row_of(page.headline)], "select 1")
    given: dict[str, Any] = {
        "state": STATE,
        "choices": {"currency": ["GBP", "EUR"], "country": [text], "department": ["Sales"]},
        "set_aside": SetAside(),
    }
    return PageData(page, filters, read_at=NOW, seconds=0.1, **{"tables": tables, **given, **changes})


def row_of(headline: Question, unconverted: int = 0) -> dict[str, Any]:
    (row,) = rows(headline, 2)[:1]
    return {**row, "unconverted": unconverted}
