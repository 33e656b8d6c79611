"""The simulated company after a year of trading, as Arrow tables of any size.

It has traded as the real one does: on weekdays from 08:00 to 19:00 UTC. In the morning, the payments due that day are
marked as paid, all with the same timestamp. Payments due on a weekend, or created on the day they are due, are never
marked. Nothing else changes `last_updated`.

The number of orders, a seed and the end of the history determine everything. Nothing here reads or writes a database:
`seeding` does.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from totes_dagster.schema import totesys
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.simulator import vocabulary

Integers = npt.NDArray[np.int64]

PURCHASES_PER_SALE = 0.44
HISTORY = timedelta(days=365)
SALES_RECEIPT, PURCHASE_PAYMENT = (
    1 + totesys.PAYMENT_TYPE_NAMES.index(name) for name in ("SALES_RECEIPT", "PURCHASE_PAYMENT")
)
"""Keys of the payment types of sales orders and purchase orders."""
PAYMENT_RUN_AT = time(7, 55, 11)
"""When the payments of a weekday are marked as paid."""
LONGEST_DELIVERY, LONGEST_CREDIT = 7, 6
"""Latest delivery and payment, in days after the order."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the source's timestamps are UTC without a zone
ROWS_AT_ONCE = 100_000  # orders of both kinds held in memory at a time: about 40 MB
_DAY = 24 * 60 * 60 * 1000  # like every moment here, in milliseconds
_OPENING, _CLOSING = 8 * 60 * 60 * 1000, 19 * 60 * 60 * 1000
_PAYMENT_RUN = ((PAYMENT_RUN_AT.hour * 60 + PAYMENT_RUN_AT.minute) * 60 + PAYMENT_RUN_AT.second) * 1000
_FOUNDED_AT = 14 * 60 * 60 * 1000
_CURRENCY_SHARES = (0.5, 0.2, 0.3)
_BASE_ORDERS = 5_000  # the size for which row counts of reference tables are given; they grow with its square root


@dataclass(frozen=True)
class Company:
    """A company with a year of history.

    Args:
        orders: number of sales orders.
        seed: seed of all random choices.
        until: end of the history, UTC without a zone, to the millisecond.
    """

    orders: int
    seed: int
    until: datetime

    @property
    def purchases(self) -> int:
        """Number of purchase orders."""
        return round(PURCHASES_PER_SALE * self.orders)

    def size_of(self, base: int, least: int) -> int:
        """Rows of a reference table that has `base` rows at 5,000 orders, and never fewer than `least`."""
        return max(least, round(base * math.sqrt(self.orders / _BASE_ORDERS)))

    @cached_property
    def reference_tables(self) -> dict[str, pa.Table]:
        """The reference tables by name, with the declared columns and types."""
        rng = vocabulary.generator(self.seed, "reference")
        founded = _moment(self._founded)
        addresses, counterparties = self.size_of(30, 6), self.size_of(20, 4)
        designs, employees = self.size_of(250, 10), self.size_of(20, 8)
        # Half of the designs exist from the start; the others are added over the year, in the order of their keys.
        later = np.sort([rng.random() for _ in range(designs // 2)])
        design_stamps = [founded] * (designs - len(later)) + list(map(_moment, self._opening_hours.moments(later)))
        employees_values = [vocabulary.staff(rng) for _ in range(employees)]
        # A name that breaks careless quoting is always present, however small the company.
        employees_values[0] |= {"first_name": "Niamh", "last_name": "O'Brien"}
        employees_values[0]["email_address"] = vocabulary.email_address("Niamh", "O'Brien")
        rows: dict[str, list[dict[str, Any]]] = {
            "address": [vocabulary.address(rng) for _ in range(addresses)],
            "counterparty": [
                {**vocabulary.counterparty(rng), "legal_address_id": rng.randint(1, addresses)}
                for _ in range(counterparties)
            ],
            "currency": [{"currency_code": code} for code in vocabulary.CURRENCIES],
            "department": [
                {"department_name": name, "location": location, "manager": manager}
                for name, location, manager in vocabulary.DEPARTMENTS
            ],
            "design": [{**vocabulary.design(rng, stamp.date()), "created_at": stamp} for stamp in design_stamps],
            "staff": [
                {**values, "department_id": rng.randint(1, len(vocabulary.DEPARTMENTS))} for values in employees_values
            ],
            "payment_type": [{"payment_type_name": name} for name in totesys.PAYMENT_TYPE_NAMES],
        }
        return {name: _reference_table(name, values, founded) for name, values in rows.items()}

    def order_tables(self) -> Iterator[dict[str, pa.Table]]:
        """The event tables by name, one chunk of the history at a time, in chronological order."""
        total = self.orders + self.purchases
        for number, start in enumerate(range(0, total, ROWS_AT_ONCE)):
            stop = min(start + ROWS_AT_ONCE, total)
            yield self._chunk(np.random.default_rng([self.seed, number]), start, stop)

    def _chunk(self, rng: np.random.Generator, start: int, stop: int) -> dict[str, pa.Table]:
        rows, total = stop - start, self.orders + self.purchases
        purchases_before, purchases_after = start * self.purchases // total, stop * self.purchases // total
        is_sale = np.arange(rows) >= purchases_after - purchases_before
        rng.shuffle(is_sale)
        created = self._opening_hours.moments((start + np.sort(rng.random(rows)) * rows) / total)
        created_day = created // _DAY

        price = np.where(is_sale, rng.integers(200, 401, rows), rng.integers(300, 100_000, rows))  # pence
        quantity = np.where(is_sale, rng.integers(1_000, 100_000, rows), rng.integers(1, 1_000, rows))
        counterparty = 1 + _skewed(rng, rows, self.reference_tables["counterparty"].num_rows)
        currency = 1 + rng.choice(len(_CURRENCY_SHARES), rows, p=_CURRENCY_SHARES)
        # Both ends of the range are half as likely as the days between them.
        delivery_day = created_day + np.rint(rng.random(rows) * LONGEST_DELIVERY).astype(np.int64)
        payment_day = created_day + np.rint(rng.random(rows) * LONGEST_CREDIT).astype(np.int64)
        paid_at = payment_day * _DAY + _PAYMENT_RUN + payment_day * 389 % 1000  # the same for a whole day
        is_working_day = np.is_busday(payment_day.astype("datetime64[D]"))
        paid = is_working_day & (created < paid_at) & (paid_at <= self._end)

        deal = np.arange(start + 1, stop + 1)  # the key of both transaction and payment
        sales_before = start - purchases_before
        order = np.where(is_sale, sales_before + np.cumsum(is_sale), purchases_before + np.cumsum(~is_sale))
        every = {
            "created_at": created,
            "last_updated": created,
            "staff_id": 1 + rng.integers(0, self.reference_tables["staff"].num_rows, rows),
            "counterparty_id": counterparty,
            "currency_id": currency,
            "agreed_delivery_date": delivery_day,
            "agreed_payment_date": payment_day,
            "agreed_delivery_location_id": 1 + rng.integers(0, self.reference_tables["address"].num_rows, rows),
        }
        sale = {
            "sales_order_id": order,
            "design_id": 1 + _skewed(rng, rows, np.searchsorted(self._design_stamps, created, side="right")),
            "units_sold": quantity,
            "unit_price": price,
        }
        purchase = {
            "purchase_order_id": order,
            "item_code": rng.integers(0, len(self._item_codes), rows),
            "item_quantity": quantity,
            "item_unit_price": price,
        }
        transaction = {
            "transaction_id": deal,
            "transaction_type": np.where(is_sale, 0, 1),
            "sales_order_id": np.where(is_sale, order, 0),
            "purchase_order_id": np.where(is_sale, 0, order),
            "created_at": created,
            "last_updated": created,
        }
        payment = {
            "payment_id": deal,
            "created_at": created,
            "last_updated": np.where(paid, paid_at, created),
            "transaction_id": deal,
            "counterparty_id": counterparty,
            "payment_amount": quantity * price,
            "currency_id": currency,
            "payment_type_id": np.where(is_sale, SALES_RECEIPT, PURCHASE_PAYMENT),
            "paid": paid,
            "payment_date": payment_day,
            "company_ac_number": np.full(rows, vocabulary.account_number(0)),
            "counterparty_ac_number": self._account_numbers[counterparty],
        }
        return {
            "sales_order": self._table("sales_order", every | sale, is_sale),
            "purchase_order": self._table("purchase_order", every | purchase, ~is_sale),
            "transaction": self._table("transaction", transaction),
            "payment": self._table("payment", payment),
        }

    def _table(
        self, name: str, values: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.bool_] | None = None
    ) -> pa.Table:
        """Rows of an event table, with the numbers converted to the declared column types."""
        schema = arrow_schema(totesys.SOURCE_TABLES[name].columns)
        kept = {column: numbers if rows is None else numbers[rows] for column, numbers in values.items()}
        count = len(kept[schema.names[0]])
        # A nullable column that the company does not fill is null, as in `_reference_table`.
        unknown = {field.name for field in schema if field.nullable} - kept.keys()
        columns = [
            pa.nulls(count, field.type) if field.name in unknown else self._column(field, kept[field.name])
            for field in schema
        ]
        return pa.table(columns, schema)

    def _column(self, field: pa.Field, values: npt.NDArray[Any]) -> pa.Array:
        if pa.types.is_decimal(field.type):
            return _money(values, field.type)
        if field.name == "item_code":
            return self._item_codes.take(pa.array(values))
        if field.name == "transaction_type":
            return pa.array(totesys.TRANSACTION_TYPES).take(pa.array(values))
        if pa.types.is_string(field.type):  # dates, which the source keeps as text
            return pa.array(values.astype("datetime64[D]")).cast(field.type)
        if pa.types.is_timestamp(field.type):
            return pa.array(values).cast(pa.timestamp("ms")).cast(field.type)
        return pa.array(values, mask=values == 0 if field.nullable else None).cast(field.type)

    @cached_property
    def _opening_hours(self) -> "_OpeningHours":
        return _OpeningHours(_milliseconds(self.until - HISTORY), self._end)

    @cached_property
    def _founded(self) -> int:
        """An afternoon before the first trading day."""
        first = np.datetime64(self.until - HISTORY, "D")
        day = np.busday_offset(first, -1, roll="forward").astype(np.int64)
        return int(day) * _DAY + _FOUNDED_AT

    @cached_property
    def _end(self) -> int:
        return _milliseconds(self.until)

    @cached_property
    def _design_stamps(self) -> Integers:
        stamps: Integers = (
            self.reference_tables["design"]["created_at"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
        )
        return stamps

    @cached_property
    def _item_codes(self) -> pa.Array:
        rng = vocabulary.generator(self.seed, "items")
        return pa.array([vocabulary.text_code(rng, 7) for _ in range(self.size_of(400, 40))])

    @cached_property
    def _account_numbers(self) -> Integers:
        last = self.reference_tables["counterparty"].num_rows
        return np.array([vocabulary.account_number(key) for key in range(last + 1)])


class _OpeningHours:
    """The company's opening hours between two moments: weekdays from 08:00 to 19:00 UTC."""

    def __init__(self, start: int, end: int) -> None:
        days = np.arange(start // _DAY, end // _DAY + 1)
        days = days[np.is_busday(days.astype("datetime64[D]"))]
        opens = np.maximum(days * _DAY + _OPENING, start)
        lengths = np.minimum(days * _DAY + _CLOSING, end) - opens
        self._opens, lengths = opens[lengths > 0], lengths[lengths > 0]
        self._elapsed = np.concatenate(([0], np.cumsum(lengths)))

    def moments(self, fractions: npt.NDArray[np.float64]) -> Integers:
        """The moments at which these fractions of all opening hours have elapsed, in milliseconds since 1970."""
        elapsed = (fractions * self._elapsed[-1]).astype(np.int64)
        day = np.searchsorted(self._elapsed[1:-1], elapsed, side="right")
        moments: Integers = self._opens[day] + elapsed - self._elapsed[day]
        return moments


def _skewed(rng: np.random.Generator, rows: int, below: int | Integers) -> Integers:
    """Random integers from 0 to `below` - 1, lower ones more often: some customers and designs are popular."""
    return (rng.random(rows) ** 1.5 * below).astype(np.int64)


def _money(hundredths: Integers, type_: pa.Decimal128Type) -> pa.Array:
    """Decimals of scale 2 from non-negative integers of hundredths, built from their bytes without any float."""
    words = np.zeros((len(hundredths), 2), dtype="<i8")
    words[:, 0] = hundredths
    return pa.Array.from_buffers(type_, len(hundredths), [None, pa.py_buffer(words)])


def _reference_table(name: str, values: list[dict[str, Any]], founded: datetime) -> pa.Table:
    """Rows of a reference table, with keys from 1 up; rows without timestamps get those of the company's start."""
    key = totesys.key_of(totesys.SOURCE_TABLES[name])
    rows = [{key: number, "created_at": founded} | row for number, row in enumerate(values, start=1)]
    stamped = [row | {"last_updated": row["created_at"]} for row in rows]
    return pa.Table.from_pylist(stamped, schema=arrow_schema(totesys.SOURCE_TABLES[name].columns))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=int(milliseconds))
