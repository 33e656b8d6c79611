"""Actions that a change capture must cope with, though the real company was never seen to do them.

Deletions and restored rows, transactions that commit late or never, savepoints, rows that are inserted before those
that they refer to. Some are possible only if the source does not enforce a reference.
"""

from collections.abc import Mapping
from random import Random
from typing import TypeVar

import psycopg
from psycopg.sql import SQL

from totes_dagster.simulator.actions import Act, Action
from totes_dagster.simulator.ledger import Ids, Ledger, OpenTransaction, delete, insert, update
from totes_dagster.simulator.orders import (
    SALE,
    Deal,
    Edit,
    NothingToActOnError,
    another_date,
    draft,
    draw_edit,
    draw_kind,
    draw_new_quantity,
    pick,
    pick_deal,
)
from totes_dagster.simulator.reference import add_design

_T = TypeVar("_T")

_MOST_OPEN = 3
_SETS_NULL = "n"


class HarshBusiness:
    """Performs the harsh actions; remembers what the database cannot show: deleted orders, rows yet to be inserted."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._deleted: list[Deal] = []
        self._coming_designs: list[int] = []
        self._coming_orders: list[Deal] = []
        self.acts: Mapping[Action, Act] = {
            Action.PAYMENT_PAID: self._payment_paid,
            Action.ORDER_EDITED: self._order_edited,
            Action.ORDERS_EDITED_TOGETHER: self._orders_edited_together,
            Action.ORDER_EDITED_IN_SAVEPOINT: self._order_edited_in_savepoint,
            Action.ORDER_DELETED: self._order_deleted,
            Action.ORDER_DELETED_ALONE: self._order_deleted_alone,
            Action.ORDER_RESTORED: self._order_restored,
            Action.TRANSACTION_OPENED: self._transaction_opened,
            Action.TRANSACTION_COMMITTED: self._transaction_committed,
            Action.TRANSACTION_ROLLED_BACK: self._transaction_rolled_back,
            Action.ORDER_BEFORE_DESIGN: self._order_before_design,
            Action.LATE_DESIGN: self._late_design,
            Action.PAYMENT_BEFORE_ORDER: self._payment_before_order,
            Action.LATE_ORDER: self._late_order,
        }

    # Edits

    def _payment_paid(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            payment = pick(self._ledger, "payment", SQL("NOT paid"))
            key = payment["payment_id"]
            update(self._ledger.connection, "payment", key, {"paid": True, "last_updated": self._ledger.now()})
        return f"payment {key:,}: {payment['payment_amount']:,} paid", {"payment": (key,)}

    def _order_edited(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            edit = self._draw_edit()
            edit.write(self._ledger.connection, self._ledger.now())
        return f"{edit.deal}: {edit.what}", edit.deal.ids

    def _order_edited_in_savepoint(self) -> tuple[str, Ids]:
        connection = self._ledger.connection
        with self._ledger.transaction():
            in_vain = self._draw_edit()
            edit = self._draw_edit(in_vain.deal)
            with connection.transaction() as savepoint:
                in_vain.write(connection, self._ledger.now())
                raise psycopg.Rollback(savepoint)
            with connection.transaction():
                edit.write(connection, self._ledger.now())
        return f"{edit.deal}: {edit.what}, in a savepoint", edit.deal.ids

    def _orders_edited_together(self) -> tuple[str, Ids]:
        kind = draw_kind(self._rng)
        with self._ledger.transaction():
            first = pick(self._ledger, kind.table)
            rows = self._ledger.rows(kind.table, self._rng.randint(5, 30), values={"start": first[kind.key]})
            keys = [row[kind.key] for row in rows]
            now = self._ledger.now()
            changes = {"agreed_delivery_date": another_date(self._rng, now, ""), "last_updated": now}
            update(self._ledger.connection, kind.table, keys, changes)
        return f"{len(keys)} {kind}s from {keys[0]:,} on: one delivery date", {kind.table: tuple(keys)}

    def _draw_edit(self, deal: Deal | None = None) -> Edit:
        deal = deal or pick_deal(self._ledger, draw_kind(self._rng))
        if self._rng.random() < 0.4:  # noqa: PLR2004
            return draw_new_quantity(self._rng, deal)
        return draw_edit(self._ledger, self._rng, deal)

    # Deletions

    def _order_deleted(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            deal = pick_deal(self._ledger, draw_kind(self._rng))
            for table in ("payment", "transaction", deal.kind.table):
                delete(self._ledger.connection, table, deal.ids[table][0])
        self._deleted.append(deal)
        return f"{deal}: deleted with its transaction and payment", deal.ids

    def _order_deleted_alone(self) -> tuple[str, Ids]:
        kind = draw_kind(self._rng)
        with self._ledger.transaction():
            if self._ledger.delete_rule("transaction", kind.key) != _SETS_NULL:
                raise NothingToActOnError(f"The source does not set transaction.{kind.key} to null with its order.")
            deal = pick_deal(self._ledger, kind)
            delete(self._ledger.connection, kind.table, deal.key)
        touched = {kind.table: (deal.key,), "transaction": deal.ids["transaction"]}
        return f"{deal}: deleted alone; its transaction now has no order", touched

    def _order_restored(self) -> tuple[str, Ids]:
        deal = self._choose(self._deleted, "No deleted order can be restored.")
        with self._ledger.transaction():
            deal.insert(self._ledger.connection)
        self._deleted.remove(deal)
        return f"{deal}: restored with its transaction and payment", deal.ids

    # Transactions that commit late or never

    def _transaction_opened(self) -> tuple[str, Ids]:
        if len(self._ledger.open_transactions) >= _MOST_OPEN:
            raise NothingToActOnError(f"{_MOST_OPEN} transactions are already open: commit one first.")
        with self._ledger.transaction():
            placed, description = draft(self._ledger, self._rng, draw_kind(self._rng))
            edit = self._draw_edit()
        edited = edit.deal
        connection = self._ledger.begin()
        try:
            placed.insert(connection)
            edit.write(connection, self._ledger.now())
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
        with self._ledger.transaction() as transaction:
            deal, description = draft(self._ledger, self._rng, draw_kind(self._rng))
            deal.insert(self._ledger.connection)
            raise psycopg.Rollback(transaction)
        return f"rolled back: {description}", deal.ids

    # Rows inserted before those that they refer to

    def _order_before_design(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            self._require_unenforced("sales_order", "design_id")
            key = self._ledger.new_key("design")
            deal, description = draft(self._ledger, self._rng, SALE, design_id=key)
            deal.insert(self._ledger.connection)
        self._coming_designs.append(key)
        return f"{description}, of the future design {key:,}", deal.ids

    def _late_design(self) -> tuple[str, Ids]:
        key = self._choose(self._coming_designs, "No order is waiting for its design.")
        with self._ledger.transaction():
            described = add_design(self._ledger, self._rng, key)
        self._coming_designs.remove(key)
        return described

    def _payment_before_order(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            self._require_unenforced("payment", "transaction_id")
            deal, _ = draft(self._ledger, self._rng, draw_kind(self._rng))
            insert(self._ledger.connection, "payment", deal.payment)
        self._coming_orders.append(deal)
        key = deal.payment["payment_id"]
        return f"payment {key:,}: in advance, for the future {deal}", {"payment": (key,)}

    def _late_order(self) -> tuple[str, Ids]:
        deal = self._choose(self._coming_orders, "No payment is waiting for its order.")
        with self._ledger.transaction():
            deal.stamped(self._ledger.now()).insert_order(self._ledger.connection)
        self._coming_orders.remove(deal)
        return f"{deal}: placed, after its payment", deal.ids

    def _require_unenforced(self, table: str, column: str) -> None:
        if self._ledger.delete_rule(table, column) is not None:
            raise NothingToActOnError(f"The source enforces {table}.{column}: it must refer to an existing row.")

    def _choose(self, candidates: list[_T], failure: str) -> _T:
        if not candidates:
            raise NothingToActOnError(failure)
        return self._rng.choice(candidates)
