"""What happens in the simulated company: every kind of change that a change capture has to get right.

One method per action; when they happen, and how often, is up to `simulator`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum, auto
from random import Random
from typing import TypeVar

import psycopg
from psycopg.sql import SQL

from totes_dagster.local import vocabulary
from totes_dagster.local.ledger import Ids, Ledger, OpenTransaction, Row, delete, insert, now, update
from totes_dagster.local.orders import (
    PURCHASE,
    SALE,
    Deal,
    NothingToActOnError,
    OrderKind,
    another_date,
    draft,
    draw_edit,
    pick,
    pick_deal,
)

_T = TypeVar("_T")

_MOST_OPEN = 3


class Action(StrEnum):
    """Something that can happen."""

    NEW_SALES_ORDER = auto()
    NEW_PURCHASE_ORDER = auto()
    PAYMENT_PAID = auto()
    ORDER_EDITED = auto()
    ORDER_EDITED_SILENTLY = auto()
    """`last_updated` stays as it was."""
    DESIGN_EDITED_SILENTLY = auto()
    """`last_updated` stays as it was."""
    ORDERS_EDITED_TOGETHER = auto()
    """Several rows share one stamp."""
    ORDER_EDITED_IN_SAVEPOINT = auto()
    """The row's writer is a subtransaction."""
    ORDER_DELETED = auto()
    ORDER_RESTORED = auto()
    """With the keys, and the stamps, that it had."""
    TRANSACTION_OPENED = auto()
    TRANSACTION_COMMITTED = auto()
    """Late: the rows' stamps are older than those of rows that were visible before."""
    TRANSACTION_ROLLED_BACK = auto()
    ORDER_BEFORE_DESIGN = auto()
    LATE_DESIGN = auto()
    PAYMENT_BEFORE_ORDER = auto()
    LATE_ORDER = auto()
    NEW_STAFF = auto()
    NEW_DESIGN = auto()
    NEW_ADDRESS = auto()
    NEW_COUNTERPARTY = auto()
    NEW_CURRENCY = auto()
    DEPARTMENT_EDITED = auto()
    ADDRESS_EDITED = auto()


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Args:
        action: of which kind.
        description: one line for people.
        ids: keys of the rows concerned, by table; nothing of a rolled-back transaction is in the database.
    """

    action: Action
    description: str
    ids: Ids = field(default_factory=dict)

    def __str__(self) -> str:
        return self.description


class Business:
    """The company at work. What it remembers is what the database cannot tell: deleted orders, rows yet to come."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._deleted: list[Deal] = []
        self._coming_designs: list[int] = []
        self._coming_orders: list[Deal] = []

    def perform(self, action: Action) -> Event:
        """Let one action happen.

        Raises:
            NothingToActOnError: there is nothing to do it to; nothing has changed.
        """
        act: Callable[[], tuple[str, Ids]] = getattr(self, f"_{action}")
        return Event(action, *act())

    def _new_sales_order(self) -> tuple[str, Ids]:
        return self._place(SALE)

    def _new_purchase_order(self) -> tuple[str, Ids]:
        return self._place(PURCHASE)

    def _place(self, kind: OrderKind, design_id: int | None = None) -> tuple[str, Ids]:
        deal, description = draft(self._ledger, self._rng, kind, design_id)
        with self._ledger.connection.transaction():
            deal.insert(self._ledger.connection)
        return description, deal.ids

    def _payment_paid(self) -> tuple[str, Ids]:
        payment = pick(self._ledger, "payment", SQL("NOT paid"))
        key = payment["payment_id"]
        update(self._ledger.connection, "payment", key, {"paid": True, "last_updated": now()})
        return f"payment {key:,}: {payment['payment_amount']:,} paid", {"payment": (key,)}

    def _order_edited(self) -> tuple[str, Ids]:
        return self._edit_order(stamped=True)

    def _order_edited_silently(self) -> tuple[str, Ids]:
        return self._edit_order(stamped=False)

    def _edit_order(self, *, stamped: bool) -> tuple[str, Ids]:
        deal = pick_deal(self._ledger, self._kind())
        what, write = draw_edit(self._ledger, self._rng, deal)
        with self._ledger.connection.transaction():
            write(self._ledger.connection, stamped)
        return f"{deal}: {what}{'' if stamped else ', with the old stamp'}", deal.ids

    def _order_edited_in_savepoint(self) -> tuple[str, Ids]:
        deal = pick_deal(self._ledger, self._kind())
        _, write_in_vain = draw_edit(self._ledger, self._rng, deal)
        what, write = draw_edit(self._ledger, self._rng, deal)
        connection = self._ledger.connection
        with connection.transaction():
            with connection.transaction() as savepoint:
                write_in_vain(connection, True)  # noqa: FBT003 - see draw_edit
                raise psycopg.Rollback(savepoint)
            with connection.transaction():
                write(connection, True)  # noqa: FBT003 - see draw_edit
        return f"{deal}: {what}, in a savepoint", deal.ids

    def _orders_edited_together(self) -> tuple[str, Ids]:
        kind = self._kind()
        first = pick(self._ledger, kind.table)
        rows = self._ledger.rows(kind.table, self._rng.randint(5, 30), values={"start": first[kind.key]})
        keys = [row[kind.key] for row in rows]
        changes = {"agreed_delivery_date": another_date(self._rng, ""), "last_updated": now()}
        update(self._ledger.connection, kind.table, keys, changes)
        return f"{len(keys)} {kind}s from {keys[0]:,} on: one delivery date", {kind.table: tuple(keys)}

    def _design_edited_silently(self) -> tuple[str, Ids]:
        key = pick(self._ledger, "design")["design_id"]
        # A file name has a random part: the row changes for certain.
        update(self._ledger.connection, "design", key, dict(vocabulary.design(self._rng, now().date())))
        return f"design {key:,}: drawn anew, with the old stamp", {"design": (key,)}

    def _order_deleted(self) -> tuple[str, Ids]:
        deal = pick_deal(self._ledger, self._kind())
        connection = self._ledger.connection
        with connection.transaction():
            for table in ("payment", "transaction", deal.kind.table):
                delete(connection, table, deal.ids[table][0])
        self._deleted.append(deal)
        return f"{deal}: deleted with its transaction and payment", deal.ids

    def _order_restored(self) -> tuple[str, Ids]:
        deal = self._choose(self._deleted, "No order has been deleted that could come back.")
        with self._ledger.connection.transaction():
            deal.insert(self._ledger.connection)
        self._deleted.remove(deal)
        return f"{deal}: back with its transaction and payment", deal.ids

    def _transaction_opened(self) -> tuple[str, Ids]:
        if len(self._ledger.open_transactions) >= _MOST_OPEN:
            raise NothingToActOnError(f"{_MOST_OPEN} transactions are open already: commit one first.")
        placed, description = draft(self._ledger, self._rng, self._kind())
        edited = pick_deal(self._ledger, self._kind())
        _, write = draw_edit(self._ledger, self._rng, edited)
        connection = self._ledger.connect()
        try:
            connection.autocommit = False
            placed.insert(connection)
            write(connection, True)  # noqa: FBT003 - see draw_edit
        except BaseException:
            connection.close()
            raise
        written = {
            table: placed.ids.get(table, ()) + edited.ids.get(table, ()) for table in {**placed.ids, **edited.ids}
        }
        description = f"{description}; {edited} edited"
        self._ledger.open_transactions.append(OpenTransaction(connection, description, written, edited.ids))
        return f"not committed yet: {description}", written

    def _transaction_committed(self) -> tuple[str, Ids]:
        transaction = self._choose(self._ledger.open_transactions, "No transaction is open.")
        try:
            transaction.connection.commit()
        finally:
            self._ledger.forget(transaction)
        return f"committed late: {transaction.description}", transaction.written

    def _transaction_rolled_back(self) -> tuple[str, Ids]:
        deal, description = draft(self._ledger, self._rng, self._kind())
        with self._ledger.connection.transaction() as transaction:
            deal.insert(self._ledger.connection)
            raise psycopg.Rollback(transaction)
        return f"rolled back: {description}", deal.ids

    def _order_before_design(self) -> tuple[str, Ids]:
        key = self._ledger.new_key("design")
        description, ids = self._place(SALE, design_id=key)
        self._coming_designs.append(key)
        return f"{description}, of design {key:,} to come", ids

    def _late_design(self) -> tuple[str, Ids]:
        key = self._choose(self._coming_designs, "No order waits for its design.")
        described = self._add("design", dict(vocabulary.design(self._rng, now().date())), key)
        self._coming_designs.remove(key)
        return described

    def _payment_before_order(self) -> tuple[str, Ids]:
        deal, _ = draft(self._ledger, self._rng, self._kind())
        insert(self._ledger.connection, "payment", deal.payment)
        self._coming_orders.append(deal)
        key = deal.payment["payment_id"]
        return f"payment {key:,}: in advance, for {deal} to come", {"payment": (key,)}

    def _late_order(self) -> tuple[str, Ids]:
        deal = self._choose(self._coming_orders, "No payment waits for its order.")
        with self._ledger.connection.transaction():
            deal.stamped_now().insert_order(self._ledger.connection)
        self._coming_orders.remove(deal)
        return f"{deal}: placed, after its payment", deal.ids

    def _new_staff(self) -> tuple[str, Ids]:
        department_id = pick(self._ledger, "department")["department_id"]
        return self._add("staff", {**vocabulary.staff(self._rng), "department_id": department_id})

    def _new_design(self) -> tuple[str, Ids]:
        return self._add("design", dict(vocabulary.design(self._rng, now().date())))

    def _new_address(self) -> tuple[str, Ids]:
        return self._add("address", dict(vocabulary.address(self._rng)))

    def _new_counterparty(self) -> tuple[str, Ids]:
        address_id = pick(self._ledger, "address")["address_id"]
        return self._add("counterparty", {**vocabulary.counterparty(self._rng), "legal_address_id": address_id})

    def _new_currency(self) -> tuple[str, Ids]:
        known = {row["currency_code"] for row in self._ledger.rows("currency", 1000)}
        further = [code for code in vocabulary.FURTHER_CURRENCIES if code not in known]
        code = self._choose(further, "Every currency that the company might take up is in use.")
        return self._add("currency", {"currency_code": code})

    def _department_edited(self) -> tuple[str, Ids]:
        department = pick(self._ledger, "department")
        column, values = self._rng.choice(
            (("location", (*vocabulary.TOWNS, None)), ("department_name", vocabulary.DEPARTMENT_NAMES))
        )
        value = self._rng.choice([value for value in values if value != department[column]])
        return self._change("department", department["department_id"], {column: value})

    def _address_edited(self) -> tuple[str, Ids]:
        address = pick(self._ledger, "address")
        moved = vocabulary.address(self._rng)
        # A telephone number has a random part: the row changes for certain.
        return self._change(
            "address", address["address_id"], {name: moved[name] for name in ("address_line_1", "phone")}
        )

    def _add(self, table: str, values: Row, key: int | None = None) -> tuple[str, Ids]:
        key = self._ledger.new_key(table) if key is None else key
        stamp = now()
        row = {f"{table}_id": key, **values, "created_at": stamp, "last_updated": stamp}
        insert(self._ledger.connection, table, row)
        named = next(str(value) for value in values.values() if value)
        return f"{table} {key:,}: new, {named}", {table: (key,)}

    def _change(self, table: str, key: int, changes: Row) -> tuple[str, Ids]:
        update(self._ledger.connection, table, key, changes | {"last_updated": now()})
        described = ", ".join(f"{name.replace('_', ' ')} {value or 'unknown'}" for name, value in changes.items())
        return f"{table} {key:,}: {described}", {table: (key,)}

    def _kind(self) -> OrderKind:
        return self._rng.choices((SALE, PURCHASE), weights=(7, 3))[0]

    def _choose(self, among: list[_T], otherwise: str) -> _T:
        if not among:
            raise NothingToActOnError(otherwise)
        return self._rng.choice(among)
