"""What metrics may be split by. Which metric may be split by which is declared with the metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from psycopg import sql
from psycopg.sql import SQL


@dataclass(frozen=True)
class Dimension:
    """Something that a metric may be split by.

    In its SQL, `{view}` is the metric's view, `{day}` its day, and `{time}` the time on that day.

    Attributes:
        name: its name, and that of its column in an answer.
        meaning: what it is, in a phrase.
        type: Python type of its values.
        value: SQL of its values.
        key: name and SQL of one more column, which comes before it: what tells members of the same name apart.
        join: the table that its columns are in; None if that is the metric's view.
        order: SQL that is sorted by, and depends on nothing but the value; by default, they are sorted.
        members: its values, if they are always the same.
    """

    name: str
    meaning: str
    type: type[date] | type[int] | type[str]
    value: sql.SQL
    key: tuple[str, sql.SQL] | None = None
    join: str | None = None
    order: sql.SQL | None = None
    members: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, sql.SQL]:
        """SQL of its columns in an answer, by their names."""
        return {**dict([self.key] if self.key else []), self.name: self.value}


_COUNTERPARTY = SQL("dim_counterparty.counterparty_legal_name")
_COUNTERPARTY_ID = SQL("dim_counterparty.counterparty_id")
_COUNTERPARTY_COUNTRY = SQL("dim_counterparty.counterparty_legal_country")
_ISO_WEEKDAY = SQL("extract(isodow from {day})::integer")

_ALL = (
    Dimension("year", "calendar year", int, SQL("extract(year from {day})::integer")),
    Dimension("quarter", "quarter, as its first day", date, SQL("date_trunc('quarter', {day})::date")),
    Dimension("month", "month, as its first day", date, SQL("date_trunc('month', {day})::date")),
    Dimension("week", "week, as its Monday", date, SQL("date_trunc('week', {day})::date")),
    Dimension("day", "day", date, SQL("{day}")),
    Dimension(
        "weekday",
        "day of the week, Monday 1 to Sunday 7",
        str,
        SQL("to_char({day}, 'FMDay')"),
        key=("weekday_number", _ISO_WEEKDAY),
        order=_ISO_WEEKDAY,
        members=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ),
    Dimension("hour", "hour of the day, UTC, 0 to 23", int, SQL("extract(hour from {time})::integer")),
    Dimension("currency", "ISO 4217 code of the currency agreed", str, SQL("{view}.currency_code")),
    Dimension(
        "department",
        "department of the member of staff, as it is now",
        str,
        SQL("dim_staff.department_name"),
        join="dim_staff",
    ),
    Dimension(
        "staff",
        "member of staff who made the sale or placed the order",
        str,
        SQL("dim_staff.first_name || ' ' || dim_staff.last_name"),
        key=("staff_id", SQL("dim_staff.staff_id")),
        join="dim_staff",
    ),
    Dimension(
        "design",
        "design ordered",
        str,
        SQL("dim_design.design_name"),
        key=("design_id", SQL("dim_design.design_id")),
        join="dim_design",
    ),
    Dimension(
        "delivered_to", "country of the address to deliver to", str, SQL("dim_location.country"), join="dim_location"
    ),
    Dimension(
        "customer_of",
        "country of the customer's legal address",
        str,
        _COUNTERPARTY_COUNTRY,
        join="dim_counterparty",
    ),
    Dimension(
        "supplier_of",
        "country of the supplier's legal address",
        str,
        _COUNTERPARTY_COUNTRY,
        join="dim_counterparty",
    ),
    Dimension(
        "customer",
        "customer",
        str,
        _COUNTERPARTY,
        key=("customer_id", _COUNTERPARTY_ID),
        join="dim_counterparty",
    ),
    Dimension(
        "supplier",
        "supplier",
        str,
        _COUNTERPARTY,
        key=("supplier_id", _COUNTERPARTY_ID),
        join="dim_counterparty",
    ),
    Dimension(
        "transaction_type",
        "SALE, PURCHASE, or Unknown",
        str,
        SQL("{view}.transaction_type"),
        members=("SALE", "PURCHASE", "Unknown"),
    ),
    Dimension(
        "ageing",
        "how long it is overdue: not due, 1 to 7 days, 8 to 30 days, over 30 days",
        str,
        SQL("{view}.ageing"),
        order=SQL(
            "array_position(array['not due', '1 to 7 days', '8 to 30 days', 'over 30 days'], {view}.ageing)",
        ),
        members=("not due", "1 to 7 days", "8 to 30 days", "over 30 days"),
    ),
    Dimension("payment_type", "kind of payment", str, SQL("{view}.payment_type_name")),
    Dimension(
        "kind",
        "sales order, purchase order, payment made or open payment",
        str,
        SQL("{view}.kind"),
        members=("sales order", "purchase order", "payment made", "open payment"),
    ),
)

DIMENSIONS: Mapping[str, Dimension] = {dimension.name: dimension for dimension in _ALL}
"""The dimensions by name."""

COUNTRIES = ("delivered_to", "customer_of", "supplier_of")
"""Dimensions that are countries, and say of what: none of them is called just that."""

DATES = ("year", "quarter", "month", "week", "day", "weekday")
"""Dimensions of every metric whose rows have a day of their own."""
