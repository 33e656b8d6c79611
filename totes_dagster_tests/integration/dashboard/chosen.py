"""The rows of the source that a page of the dashboard is about, and how expected answers are computed from them.

What questions must answer is said a second time, in Python, over rows of the source: in `expected_sales.py` and others.
It shares nothing with the views of the warehouse, nor with the declarations of metrics. An amount that has no rate is
None, and so is a sum of which no part has one.
"""

from collections.abc import Callable, Hashable, Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from totes_dagster.dashboard.filters import Filters
from totes_dagster_tests.integration.metrics.expected import Row, rounded
from totes_dagster_tests.integration.metrics.lived import Lived

Answer = list[dict[str, Any]]
"""The rows of an answer, in their order."""


class Chosen:
    """The rows that some filters choose, each with its amount in the currency of the page, as `money`."""

    def __init__(self, lived: Lived, filters: Filters) -> None:
        self.facts, self.filters, self.world = lived.facts, filters, lived.world
        found = lived.expected
        self.sales = [self._valued(row) for row in found.sales if self.has(row, "created", "delivered_to")]
        self.purchases = [self._valued(row) for row in found.purchases if self.has(row, "created", "supplier_of")]
        self.payments = [
            self._valued(row)
            for row in (*found.open, *found.made)
            if self.has(row, "due", "customer_of", has_department=False)
        ]
        self.open = [row for row in self.payments if not row["paid"]]
        self.all_sales = {row["id"]: row for row in found.sales}
        self.all_purchases = {row["id"]: row for row in found.purchases}
        self.deliveries = {row["id"]: row for row in found.deliveries}
        self.targets = found.targets

    def has(self, row: Row, day: str, country: str, *, has_department: bool = True) -> bool:
        """Whether a row is chosen.

        Args:
            row: the row.
            day: name of the day that the period is about.
            country: name of the country that is meant.
            has_department: whether it belongs to a department.
        """
        filters = self.filters
        return (
            (filters.since or date.min) <= row[day] <= (filters.until or date.max)
            and filters.currency in {None, row["currency"]}
            and filters.country in {None, row[country]}
            and (not has_department or filters.department in {None, row["department"]})
        )

    def _valued(self, row: Row) -> Row:
        return {**row, "money": row["amount"] if self.filters.currency else row["gbp"]}


def grouped(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> dict[Any, list[Row]]:
    """Rows by a key."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def added(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known; None if there is something and none of it is known, and 0 if there is nothing."""
    amounts = list(amounts)
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known or not amounts else None


def ratio(part: Any, whole: Any, digits: int, *, times: int = 1) -> Decimal | None:
    """A ratio, rounded; None if a part of it is not known, or the whole is 0."""
    return None if part is None or not whole else rounded(Fraction(part) * times / Fraction(whole), digits)


def in_percent(count: int, of: int) -> Decimal:
    """A share, rounded to four decimals, as a percentage."""
    return rounded(rounded(Fraction(count, of), 4) * 100, 2)


def largest_first(amount: Decimal | None) -> tuple[bool, Decimal]:
    """What amounts are sorted by, so that the largest comes first and what is not known last."""
    return amount is None, -(amount or Decimal(0))


def month_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)
