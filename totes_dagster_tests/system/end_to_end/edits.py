"""What somebody may do to the source by hand, beside the simulated company's own life: by name, a few statements each.

All of it is legal SQL on the source, and some of it brings rows that cannot become rows of the warehouse.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from totes_dagster_tests.system.end_to_end.chronicle import SOUND

_NEVER = 700_000
"""Keys from here on are of rows that never were."""

_RENAMED = 800_000

EDITS: dict[str, tuple[str, ...]] = {
    "an order is edited": ("update sales_order set units_sold = units_sold + 1 where sales_order_id = {sales_order}",),
    "all orders are edited": ("update purchase_order set item_quantity = item_quantity + 1",),
    "a payment is touched": ("update payment set paid = paid where payment_id = {payment}",),
    "a member of staff marries": ("update staff set last_name = last_name || '!' where staff_id = {staff}",),
    "all designs are touched": ("update design set design_name = design_name",),
    "an order is deleted alone": ("delete from sales_order where sales_order_id = {sales_order}",),
    "many payments are deleted": ("delete from payment where payment_id % 3 = {payment} % 3",),
    "a transaction is deleted alone": ("delete from transaction where transaction_id = {transaction}",),
    "an order is given another number": (
        f"update sales_order set sales_order_id = {_RENAMED} + sales_order_id "
        f"where sales_order_id = {{sales_order}} and sales_order_id < {_NEVER}",
    ),
    "an order is of no design": (
        f"update sales_order set design_id = {_NEVER} + sales_order_id where sales_order_id = {{sales_order}}",
    ),
    "a payment is for no transaction": (
        f"update payment set transaction_id = {_NEVER} + payment_id where payment_id = {{payment}}",
    ),
    "a missing design arrives": (
        "insert into design select design_id, now(), 'Late', '/late', 'late.png', now() from sales_order "
        "where design_id not in (select design_id from design) limit 1",
    ),
    "a day that is none": (
        "update sales_order set agreed_payment_date = '2023-02-30' where sales_order_id = {sales_order}",
    ),
    "words for a day": (
        "update purchase_order set agreed_delivery_date = 'soon' where purchase_order_id = {purchase_order}",
    ),
    "no day at all": ("update payment set payment_date = '' where payment_id = {payment}",),
    "a moment that never comes": ("update payment set last_updated = 'infinity' where payment_id = {payment}",),
    "orders are corrected": (
        "update sales_order set agreed_payment_date = '2024-02-29', units_sold = units_sold + 1 "
        f"where not ({SOUND['sales_order']})",
    ),
    "purchases are corrected": (
        f"update purchase_order set agreed_delivery_date = '1999-12-31' where not ({SOUND['purchase_order']})",
    ),
    "a payment is corrected": (
        "update payment set payment_date = '2031-01-01', last_updated = now()::timestamp(3) "
        f"where payment_id = (select payment_id from payment where not ({SOUND['payment']}) limit 1)",
    ),
}
"""Statements with places for keys; they leave the tables' definitions alone."""

EDITS_OF_TABLES = EDITS | {
    "payments are truncated": ("truncate payment",),
    "a column comes": ("alter table sales_order add column {new} text default 'given'",),
    "a column comes and is filled": (
        "alter table payment add column {new} numeric(6,3)",
        "update payment set {new} = payment_id / 8.0",
    ),
    "a table comes": ("create table {new} as select payment_id, payment_date from payment",),
    "a reference is no longer enforced": (
        "alter table sales_order drop constraint if exists sales_order_staff_id_fkey",
        f"update sales_order set staff_id = {_NEVER} where sales_order_id = {{sales_order}}",
    ),
    "tables are rewritten": ("cluster sales_order using sales_order_pkey", "cluster payment using payment_pkey"),
}
"""All of these, and such as wait for whoever reads the tables."""


class Editor:
    """Somebody with a connection to the source."""

    def __init__(self, source_url: str) -> None:
        self._source_url = source_url
        self._new = 0

    def edit(self, *statements: str, number: int) -> None:
        """Carry statements out in one transaction, if that is possible.

        Args:
            statements: of `EDITS_OF_TABLES`.
            number: which rows they are about.
        """
        self._new += 1
        with self._connection() as connection:
            for statement in statements:
                keys = {
                    table: _some_key(connection, table, number)
                    for table in ("sales_order", "purchase_order", "transaction", "payment", "staff")
                    if f"{{{table}}}" in statement
                }
                if None in keys.values():
                    return
                try:
                    connection.execute(statement.format(**keys, new=f"new_{self._new}"))
                except (errors.LockNotAvailable, errors.UniqueViolation):
                    connection.rollback()  # an open transaction holds the row, or another row has its number
                    return

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._source_url) as connection:
            connection.execute("set lock_timeout = '30ms'")
            yield connection


def _some_key(connection: psycopg.Connection, table: str, number: int) -> int | None:
    keys = connection.execute(f"select {table}_id from {table} order by 1").fetchall()
    return keys[number % len(keys)][0] if keys else None
