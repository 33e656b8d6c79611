"""What metrics must answer, said a second time: rows of the source, and sums over them that share nothing with ours."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = Mapping[str, Any]
Rows = Sequence[Row]

SALES = """
    select o.sales_order_id as id, o.created_at::date as created, extract(hour from o.created_at)::int as hour,
           o.units_sold as units, o.units_sold * o.unit_price as amount, currency_code as currency,
           o.agreed_delivery_date::date as agreed, department_name as department,
           coalesce(location, 'Unknown') as works_in, s.staff_id,
           first_name || ' ' || last_name as staff, o.design_id, coalesce(design_name, 'Unknown') as design,
           place.country as delivered_to, legal.country as customer_of, o.counterparty_id as customer_id,
           counterparty_legal_name as customer
    from sales_order o join currency using (currency_id) join staff s using (staff_id)
    join department using (department_id) left join design d on d.design_id = o.design_id
    join address place on place.address_id = o.agreed_delivery_location_id
    join counterparty c on c.counterparty_id = o.counterparty_id
    join address legal on legal.address_id = c.legal_address_id"""

PURCHASES = """
    select o.purchase_order_id as id, o.created_at::date as created, extract(hour from o.created_at)::int as hour,
           o.item_code, o.item_quantity as items, o.item_quantity * o.item_unit_price as amount,
           currency_code as currency, department_name as department, coalesce(location, 'Unknown') as works_in,
           s.staff_id,
           first_name || ' ' || last_name as staff,
           place.country as delivered_to, legal.country as supplier_of, o.counterparty_id as supplier_id,
           counterparty_legal_name as supplier
    from purchase_order o join currency using (currency_id) join staff s using (staff_id)
    join department using (department_id) join address place on place.address_id = o.agreed_delivery_location_id
    join counterparty c on c.counterparty_id = o.counterparty_id
    join address legal on legal.address_id = c.legal_address_id"""

PAYMENTS = """
    select p.payment_id as id, p.payment_amount as amount, currency_code as currency, p.paid,
           p.payment_date::date as due, coalesce(t.transaction_type::text, 'Unknown') as transaction_type,
           payment_type_name::text as payment_type,
           legal.country as customer_of, legal.country as supplier_of, p.counterparty_id as customer_id,
           p.counterparty_id as supplier_id, counterparty_legal_name as customer, counterparty_legal_name as supplier,
           coalesce(s.created_at, b.created_at)::date as ordered, t.sales_order_id, t.purchase_order_id
    from payment p join currency using (currency_id) join payment_type using (payment_type_id)
    left join transaction t on t.transaction_id = p.transaction_id
    left join sales_order s on s.sales_order_id = t.sales_order_id
    left join purchase_order b on b.purchase_order_id = t.purchase_order_id
    join counterparty c on c.counterparty_id = p.counterparty_id
    join address legal on legal.address_id = c.legal_address_id"""

VERSIONS = """
    select sales_order_id as id, o.last_updated, o.created_at::date as created, units_sold as units,
           unit_price as price, units_sold * unit_price as amount, currency_code as currency, staff_id,
           department_name as department, agreed_delivery_date as agreed, agreed_delivery_location_id as location_id,
           country as delivered_to, counterparty_id as customer_id, counterparty_legal_name as customer, design_id,
           agreed_payment_date
    from sales_order o join currency using (currency_id) join staff using (staff_id)
    join department using (department_id) join address on address_id = agreed_delivery_location_id
    join counterparty using (counterparty_id)"""

KEYS = {
    "weekday": "weekday_number",
    "staff": "staff_id",
    "design": "design_id",
    "customer": "customer_id",
    "supplier": "supplier_id",
}
"""The column that comes before a dimension's own."""


@dataclass
class Facts:
    """What the source does not say, or no longer.

    Attributes:
        rates: units for one euro, by currency and day of publication, as they were revised last.
        sales_orders: the batches, and the sales orders as they were then, by number.
        paid_on: for each payment that was ever seen, the day on which it was made; None if it is open.
        shipments: by sales order, the days and bags of its deliveries, in their order.
        targets: by month and department.
        as_of: the day that the warehouse shows.
    """

    rates: dict[str, dict[date, Decimal]] = field(default_factory=dict)
    sales_orders: list[tuple[int, Mapping[int, Row]]] = field(default_factory=list)
    paid_on: dict[int, date | None] = field(default_factory=dict)
    shipments: dict[int, list[tuple[date, int]]] = field(default_factory=dict)
    targets: dict[tuple[date, str], Decimal] = field(default_factory=dict)
    as_of: date = date.min

    def note(self, source_url: str, batch: int) -> None:
        """Note the sales orders as they are now, which payments are paid, and since when."""
        with psycopg.connect(source_url, row_factory=dict_row) as connection:
            now = {row["id"]: row for row in connection.execute(VERSIONS)}
            if not self.sales_orders or self.sales_orders[-1][0] != batch:
                self.sales_orders.append((batch, now))
        with psycopg.connect(source_url) as connection:
            for payment, paid, updated in connection.execute(
                "select payment_id, paid, last_updated::date from payment"
            ):
                before = self.paid_on.get(payment)
                self.paid_on[payment] = None if not paid else before or updated

    def rate(self, currency: str, day: date) -> Decimal | None:
        """The newest rate that is at most seven days old."""
        if currency == "EUR":
            return Decimal(1)
        days = (day - timedelta(days=age) for age in range(8))
        return next((self.rates[currency][each] for each in days if each in self.rates.get(currency, {})), None)

    def in_pounds(self, amount: Decimal, currency: str, day: date | None) -> Decimal | None:
        if currency == "GBP":
            return amount
        per_eur, gbp = (self.rate(each, day) if day else None for each in (currency, "GBP"))
        return (
            None if per_eur is None or gbp is None else rounded(Fraction(amount) * Fraction(gbp) / Fraction(per_eur), 2)
        )


def rounded(number: Fraction | Decimal | int, digits: int) -> Decimal:
    """Rounded as PostgreSQL does, halves away from zero."""
    fraction = Fraction(number) * 10**digits
    whole = int(abs(fraction) + Fraction(1, 2))
    return Decimal(whole if fraction >= 0 else -whole).scaleb(-digits)


@dataclass(frozen=True)
class Expected:
    """Rows of the source as metrics count them, each with its `day` and the members that it belongs to."""

    sales: Rows
    purchases: Rows
    open: Rows
    made: Rows
    due: Rows
    deliveries: Rows
    targets: Rows
    unconverted: Rows


def expected(source_url: str, facts: Facts) -> Expected:
    """The rows, from the source and what it does not say."""
    with psycopg.connect(source_url, row_factory=dict_row) as connection:
        sales, purchases, payments = (connection.execute(each).fetchall() for each in (SALES, PURCHASES, PAYMENTS))
    for order in (*sales, *purchases):
        order["day"] = order["created"]
        order["gbp"] = facts.in_pounds(order["amount"], order["currency"], order["created"])
    for payment in payments:
        _settle(payment, facts)
    open_, made = ([each for each in payments if each["paid"] is paid] for paid in (False, True))
    lost = [
        {"day": row["day"], "currency": row["currency"], "kind": kind, "count": 1}
        for kind, rows in (
            ("sales order", sales),
            ("purchase order", purchases),
            ("payment made", [row | {"day": row["paid_on"]} for row in made]),
            ("open payment", [row | {"day": facts.as_of} for row in open_]),
        )
        for row in rows
        if row["gbp"] is None
    ]
    return Expected(
        sales,
        purchases,
        [row | {"day": row["due"]} for row in open_],
        [row | {"day": row["paid_on"]} for row in made],
        [row | {"day": row["due"]} for row in payments if row["due"] <= facts.as_of],
        [row | {"day": row["agreed"]} | _delivered(row, facts) for row in sales],
        [
            {"day": month, "department": department, "target": target} | _sold(sales, month, department)
            for (month, department), target in facts.targets.items()
        ],
        lost,
    )


def _settle(payment: dict[str, Any], facts: Facts) -> None:
    paid_on = payment["paid_on"] = facts.paid_on[payment["id"]]
    assert (paid_on is not None) == payment["paid"]
    sign = {"SALE": 1, "PURCHASE": -1}.get(payment["transaction_type"])
    payment["sign"] = sign and (-sign if payment["payment_type"].endswith("REFUND") else sign)
    payment["late"] = ((paid_on or facts.as_of) - payment["due"]).days
    payment["gbp"] = facts.in_pounds(payment["amount"], payment["currency"], paid_on or facts.as_of)
    booked = facts.in_pounds(payment["amount"], payment["currency"], payment["ordered"])
    known = sign is not None and payment["gbp"] is not None and booked is not None
    payment["gain"] = payment["sign"] * (payment["gbp"] - booked) if known else None
    limits = ((0, "not due"), (7, "1 to 7 days"), (30, "8 to 30 days"))
    payment["ageing"] = next((name for days, name in limits if payment["late"] <= days), "over 30 days")


def _delivered(order: Row, facts: Facts) -> dict[str, Any]:
    days = [day for parcels in facts.shipments.values() for day, _ in parcels]
    so_far, complete = 0, None
    for day, units in facts.shipments.get(order["id"], []):
        so_far += units
        complete = complete or (day if so_far >= order["units"] else None)
    if order["agreed"] < min(days):
        return {"promise": "not known", "complete": complete}
    if complete is not None:
        return {"promise": "kept" if complete <= order["agreed"] else "missed", "complete": complete}
    return {"promise": "missed" if order["agreed"] < max(days) else "open", "complete": complete}


def _sold(sales: Rows, month: date, department: str) -> dict[str, Any]:
    rows = [row for row in sales if row["day"].replace(day=1) == month and row["department"] == department]
    amounts = [row["gbp"] for row in rows]
    return {"sold": sum(filter(None, amounts), Decimal(0)), "lost": amounts.count(None), "orders": len(amounts)}


# Numbers over rows


def total(name: str, *, sign: int | None = None) -> Callable[[Rows], Any]:
    def over(rows: Rows) -> Any:
        numbers = [row[name] * (sign * row["sign"] if sign else 1) for row in rows if row[name] is not None]
        return sum(numbers) if numbers or not rows else None

    return over


def percentile(tenths: int, name: str) -> Callable[[Rows], Any]:
    def over(rows: Rows) -> Any:
        numbers = sorted(row[name] for row in rows)
        if not numbers:
            return None
        place = Fraction(tenths, 10) * (len(numbers) - 1)
        low = int(place)
        high = min(low + 1, len(numbers) - 1)
        return rounded(numbers[low] + (place - low) * (numbers[high] - numbers[low]), 1)

    return over


def share(of: Callable[[Row], bool]) -> Callable[[Rows], Any]:
    return lambda rows: rounded(Fraction(sum(map(of, rows)), len(rows)), 4) if rows else None


def lost(name: str) -> Callable[[Rows], int]:
    return lambda rows: sum(row[name] is None for row in rows)


def _price(rows: Rows) -> Any:
    rows = [row for row in rows if row["gbp"] is not None]
    return rounded(Fraction(total("gbp")(rows)) / sum(row["units"] for row in rows), 4) if rows else None


def _own_price(rows: Rows) -> Any:
    return rounded(Fraction(total("amount")(rows)) / sum(row["units"] for row in rows), 4) if rows else None


def _attained(rows: Rows) -> Any:
    orders, without = (sum(row[name] for row in rows) for name in ("orders", "lost"))
    if not rows or orders == without > 0:
        return None
    return rounded(Fraction(total("sold")(rows)) / Fraction(total("target")(rows)), 4)


@dataclass(frozen=True)
class Number:
    """How a metric is computed from the rows.

    Attributes:
        rows: which rows it counts.
        value: the number over a group of them.
        lost: the number of rows of a group without pounds; None if that does not matter.
    """

    rows: Callable[[Expected], Iterable[Row]]
    value: Callable[[Rows], Any]
    lost: Callable[[Rows], int] | None = None


def _lead(expected: Expected) -> Iterable[Row]:
    return [{**row, "lead": (row["agreed"] - row["created"]).days} for row in expected.sales]


def _of(type_: str, kind: str, sign: int | None = None) -> Callable[[Expected], Iterable[Row]]:
    def rows(expected: Expected) -> Iterable[Row]:
        of_type = [row for row in getattr(expected, kind) if row["transaction_type"] == type_]
        return of_type if sign is None else [row for row in of_type if row["sign"] == sign]

    return rows


def _delivered_as(*promises: str) -> Callable[[Expected], Iterable[Row]]:
    return lambda expected: [row for row in expected.deliveries if row["promise"] in promises]


def _completed(expected: Expected) -> Iterable[Row]:
    rows = [row for row in _delivered_as("kept", "missed")(expected) if row["complete"]]
    return [{**row, "late": (row["complete"] - row["agreed"]).days} for row in rows]


def _known(kind: str) -> Callable[[Expected], Iterable[Row]]:
    return lambda expected: [row for row in getattr(expected, kind) if row["sign"]]


def _all(kind: str) -> Callable[[Expected], Iterable[Row]]:
    return lambda expected: getattr(expected, kind)


NUMBERS = {
    "net_sales": Number(_all("sales"), total("gbp"), lost("gbp")),
    "net_sales_in_own_currency": Number(_all("sales"), total("amount")),
    "orders": Number(_all("sales"), len),
    "units_sold": Number(_all("sales"), total("units")),
    "average_price_a_bag": Number(_all("sales"), _price, lost("gbp")),
    "average_price_a_bag_in_own_currency": Number(_all("sales"), _own_price),
    "customers": Number(_all("sales"), lambda rows: len({row["customer_id"] for row in rows})),
    "promised_lead_time": Number(_lead, percentile(5, "lead")),
    "promised_lead_time_p90": Number(_lead, percentile(9, "lead")),
    "sales_target": Number(_all("targets"), total("target")),
    "target_attainment": Number(_all("targets"), _attained, total("lost")),
    "deliveries_kept": Number(_delivered_as("kept"), len),
    "deliveries_missed": Number(_delivered_as("missed"), len),
    "delivered_on_time": Number(_delivered_as("kept", "missed"), share(lambda row: row["promise"] == "kept")),
    "delivery_days_late": Number(_completed, percentile(5, "late")),
    "spend": Number(_all("purchases"), total("gbp"), lost("gbp")),
    "spend_in_own_currency": Number(_all("purchases"), total("amount")),
    "purchase_orders": Number(_all("purchases"), len),
    "items_bought": Number(_all("purchases"), total("items")),
    "open_receivables": Number(_of("SALE", "open"), total("gbp", sign=1), lost("gbp")),
    "open_receivables_in_own_currency": Number(_of("SALE", "open"), total("amount", sign=1)),
    "open_payables": Number(_of("PURCHASE", "open"), total("gbp", sign=-1), lost("gbp")),
    "open_payables_in_own_currency": Number(_of("PURCHASE", "open"), total("amount", sign=-1)),
    "cash_expected": Number(_known("open"), total("gbp", sign=1), lost("gbp")),
    "cash_expected_in_own_currency": Number(_known("open"), total("amount", sign=1)),
    "open_payments": Number(_all("open"), len),
    "cash_received": Number(_of("SALE", "made"), total("gbp", sign=1), lost("gbp")),
    "cash_received_in_own_currency": Number(_of("SALE", "made"), total("amount", sign=1)),
    "cash_paid": Number(_of("PURCHASE", "made"), total("gbp", sign=-1), lost("gbp")),
    "cash_paid_in_own_currency": Number(_of("PURCHASE", "made"), total("amount", sign=-1)),
    "exchange_gain": Number(_known("made"), total("gain"), lost("gain")),
    "days_late": Number(_of("SALE", "due", 1), percentile(5, "late")),
    "days_late_p90": Number(_of("SALE", "due", 1), percentile(9, "late")),
    "share_paid_late": Number(_of("SALE", "due", 1), share(lambda row: row["late"] > 0)),
    "days_late_to_suppliers": Number(_of("PURCHASE", "due", -1), percentile(5, "late")),
    "share_paid_late_to_suppliers": Number(_of("PURCHASE", "due", -1), share(lambda row: row["late"] > 0)),
    "unconverted": Number(_all("unconverted"), len),
}
"""Every metric, by name."""


def member(row: Row, dimension: str) -> tuple[Any, ...]:
    """What a row has in the columns of a dimension."""
    day: date = row["day"]
    periods: dict[str, Callable[[], tuple[Any, ...]]] = {
        "year": lambda: (day.year,),
        "quarter": lambda: (day.replace(month=day.month - (day.month - 1) % 3, day=1),),
        "month": lambda: (day.replace(day=1),),
        "week": lambda: (day - timedelta(days=day.weekday()),),
        "weekday": lambda: (day.isoweekday(), f"{day:%A}"),
    }
    if dimension in periods:
        return periods[dimension]()
    return (row[KEYS[dimension]], row[dimension]) if dimension in KEYS else (row[dimension],)


def slices(number: Number, rows: Iterable[Row], by: Sequence[str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The numbers by slice; without dimensions, one slice of all rows."""
    groups: dict[tuple[Any, ...], list[Row]] = {} if by else {(): []}
    for row in rows:
        key = tuple(value for dimension in by for value in member(row, dimension))
        groups.setdefault(key, []).append(row)
    return {
        key: (number.value(group), number.lost(group)) if number.lost else (number.value(group),)
        for key, group in groups.items()
    }
