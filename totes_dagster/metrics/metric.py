"""How a metric is declared. Those of sales, deliveries, purchases and payments are in modules of these names."""

from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql
from psycopg.sql import SQL

from totes_dagster.metrics.relations import Relation


class Unit(StrEnum):
    """What the numbers of a metric count."""

    GBP = "GBP"
    OWN_CURRENCY = "own currency"
    """The currency of each row's order or payment."""
    GBP_A_BAG = "GBP a bag"
    OWN_CURRENCY_A_BAG = "own currency a bag"
    BAGS = "bags"
    ITEMS = "items"
    ORDERS = "orders"
    PAYMENTS = "payments"
    RECORDS = "orders and payments"
    CUSTOMERS = "customers"
    DAYS = "days"
    SHARE = "share, 0 to 1"

    @property
    def is_own_currency(self) -> bool:
        """Whether numbers are in the currency of each row, so that rows of several currencies cannot be added up."""
        return self in {Unit.OWN_CURRENCY, Unit.OWN_CURRENCY_A_BAG}


@dataclass(frozen=True)
class Rows:
    """The rows that metrics are computed from.

    Attributes:
        grain: what one of them is.
        relation: the view that has them.
        day: SQL of the day that a row belongs to, for `since`, `until` and all splits by time.
        day_meaning: which day that is.
    """

    grain: str
    relation: Relation
    day: sql.SQL
    day_meaning: str


@dataclass(frozen=True)
class Metric:
    """A number that the warehouse can answer with.

    Attributes:
        name: its name, and that of its column in an answer.
        meaning: what it is, in one sentence.
        unit: what it counts.
        rows: what it is computed from.
        value: SQL of the number, over a group of rows.
        splits: names of the dimensions that it may be split by, and restricted to members of.
        condition: SQL that is true for the rows that count; all rows by default.
        unconverted: SQL of the number of rows, in a group, that are not in the number because they have no amount in
            pounds sterling; None if it does not depend on rates.
        additive: whether the numbers of its slices add up to that of the whole.
    """

    name: str
    meaning: str
    unit: Unit
    rows: Rows
    value: sql.Composable
    splits: tuple[str, ...]
    condition: sql.SQL | None = None
    unconverted: sql.Composed | sql.SQL | None = None
    additive: bool = True


COUNT = SQL("count(*)")


def total(amount: sql.SQL) -> sql.Composed:
    """SQL of the sum of an amount: 0 if there are no rows, null if there are some and none of them has the amount."""
    return SQL("case when count(*) = 0 then 0 else sum({}) end").format(amount)


def missing(amount: sql.SQL) -> sql.Composed:
    """SQL of the number of rows without an amount."""
    return SQL("count(*) filter (where {} is null)").format(amount)


def percentile(fraction: sql.SQL, days: sql.SQL) -> sql.Composed:
    """SQL of a percentile of days, to a tenth of a day; null if there are no rows."""
    return SQL("round((percentile_cont({}) within group (order by {}))::numeric, 1)").format(fraction, days)


def share(condition: sql.SQL) -> sql.Composed:
    """SQL of the share of rows that fulfil a condition, to four decimals; null if there are no rows."""
    return SQL("round(count(*) filter (where {})::numeric / nullif(count(*), 0), 4)").format(condition)


MEDIAN = SQL("0.5")
NINE_TENTHS = SQL("0.9")
