"""Orders of the simulated company, always together with their transaction and payment.

Everything here keeps one rule: payment_amount = quantity times price, exactly. When orders change belongs to the
modules of the actions.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

from psycopg.sql import SQL, Composable, Identifier, Literal

from totes_dagster.errors import TotesError
from totes_dagster.simulator import vocabulary
from totes_dagster.simulator.company import LONGEST_CREDIT, LONGEST_DELIVERY, PURCHASE_PAYMENT, SALES_RECEIPT
from totes_dagster.simulator.ledger import ANY, Connection, Ids, Ledger, Row, insert, update


class NothingToActOnError(TotesError):
    """The source in its present state has no row for an action, or does not allow it."""


@dataclass(frozen=True)
class OrderKind:
    """The differences between sales and purchases."""

    table: str
    key: str
    transaction_type: str
    payment_type_id: int
    quantity: str
    price: str
    quantities: tuple[int, int]
    pence: tuple[int, int]
    wording: str

    def __str__(self) -> str:
        return self.table.replace("_", " ")


SALE = OrderKind(
    table="sales_order",
    key="sales_order_id",
    transaction_type="SALE",
    payment_type_id=SALES_RECEIPT,
    quantity="units_sold",
    price="unit_price",
    quantities=(1_000, 99_999),
    pence=(200, 400),
    wording="bags for",
)
PURCHASE = OrderKind(
    table="purchase_order",
    key="purchase_order_id",
    transaction_type="PURCHASE",
    payment_type_id=PURCHASE_PAYMENT,
    quantity="item_quantity",
    price="item_unit_price",
    quantities=(1, 999),
    pence=(300, 99_999),
    wording="items from",
)


@dataclass(frozen=True)
class Deal:
    """An order, its transaction and its payment."""

    kind: OrderKind
    order: Row
    transaction: Row
    payment: Row

    @property
    def key(self) -> int:
        """Key of the order."""
        return int(self.order[self.kind.key])

    @property
    def ids(self) -> Ids:
        """Keys of the three rows."""
        return {
            self.kind.table: (self.key,),
            "transaction": (self.transaction["transaction_id"],),
            "payment": (self.payment["payment_id"],),
        }

    def __str__(self) -> str:
        return f"{self.kind} {self.key:,}"

    def insert_order(self, connection: Connection) -> None:
        """Insert the order and its transaction, without the payment."""
        insert(connection, self.kind.table, self.order)
        insert(connection, "transaction", self.transaction)

    def insert(self, connection: Connection) -> None:
        """Insert all three."""
        self.insert_order(connection)
        insert(connection, "payment", self.payment)

    def stamped(self, moment: datetime) -> "Deal":
        """The same deal, with the order's and the transaction's timestamps at this moment."""
        stamps = {"created_at": moment, "last_updated": moment}
        return replace(self, order=self.order | stamps, transaction=self.transaction | stamps)


def draft(ledger: Ledger, rng: Random, kind: OrderKind, design_id: int | None = None) -> tuple[Deal, str]:
    """A new order, not yet written, and its one-line description.

    Args:
        ledger: allocates the keys, and finds the rows to refer to.
        rng: source of all other random choices.
        kind: sale or purchase.
        design_id: design of a sale, which need not exist; random by default.

    Raises:
        NothingToActOnError: a table that the order refers to has no free row.
    """
    counterparty = pick(ledger, "counterparty")
    quantity, price = rng.randint(*kind.quantities), Decimal(rng.randint(*kind.pence)).scaleb(-2)
    stamp = ledger.now()
    stamps: Row = {"created_at": stamp, "last_updated": stamp}
    order = {
        kind.key: ledger.new_key(kind.table),
        **stamps,
        "staff_id": pick(ledger, "staff")["staff_id"],
        "counterparty_id": counterparty["counterparty_id"],
        kind.quantity: quantity,
        kind.price: price,
        "currency_id": pick(ledger, "currency")["currency_id"],
        "agreed_delivery_date": _date_within(rng, stamp, LONGEST_DELIVERY),
        "agreed_payment_date": _date_within(rng, stamp, LONGEST_CREDIT),
        "agreed_delivery_location_id": pick(ledger, "address")["address_id"],
    }
    if kind is SALE:
        order["design_id"] = pick(ledger, "design")["design_id"] if design_id is None else design_id
    else:
        order["item_code"] = vocabulary.text_code(rng, 7)
    transaction = {
        "transaction_id": ledger.new_key("transaction"),
        "transaction_type": kind.transaction_type,
        kind.key: order[kind.key],
        **stamps,
    }
    payment = {
        "payment_id": ledger.new_key("payment"),
        **stamps,
        "transaction_id": transaction["transaction_id"],
        "counterparty_id": order["counterparty_id"],
        "payment_amount": quantity * price,
        "currency_id": order["currency_id"],
        "payment_type_id": kind.payment_type_id,
        "paid": False,
        "payment_date": order["agreed_payment_date"],
        "company_ac_number": vocabulary.account_number(0),
        "counterparty_ac_number": vocabulary.account_number(order["counterparty_id"]),
    }
    deal = Deal(kind, order, transaction, payment)
    return deal, f"{deal}: {quantity:,} {kind.wording} {counterparty['counterparty_legal_name']}"


def pick(ledger: Ledger, table: str, condition: Composable = ANY) -> Row:
    """A random row of those that meet a condition and that no open transaction has locked.

    Raises:
        NothingToActOnError: there is none.
    """
    row = ledger.pick(table, condition)
    if row is None:
        raise NothingToActOnError(f"There is no {table} that is free and meets the action's condition.")
    return row


def pick_deal(ledger: Ledger, kind: OrderKind) -> Deal:
    """A random order, with its transaction and payment.

    Raises:
        NothingToActOnError: there is no free order, or the one drawn lacks its transaction or payment.
    """
    order = pick(ledger, kind.table)
    where = SQL("{} = %(referred)s")
    transactions = ledger.rows("transaction", 1, where.format(Identifier(kind.key)), {"referred": order[kind.key]})
    payments = transactions and ledger.rows(
        "payment",
        1,
        where.format(Identifier("transaction_id")),
        {"referred": transactions[0]["transaction_id"]},
    )
    if not payments:
        raise NothingToActOnError(f"The {kind} {order[kind.key]:,} has no free transaction or payment.")
    return Deal(kind, order, transactions[0], payments[0])


@dataclass(frozen=True)
class Edit:
    """A change of an existing order, not yet written.

    Args:
        deal: the order, with its transaction and payment.
        what: a description of the change.
        order: new values of the order.
        payment: new values of the payment; empty if it does not change.
    """

    deal: Deal
    what: str
    order: Row
    payment: Row = field(default_factory=dict)

    def write(self, connection: Connection, stamp: datetime | None = None) -> None:
        """Write the new values, and set `last_updated` to the stamp; without one, `last_updated` does not change."""
        stamps = {"last_updated": stamp} if stamp else {}
        update(connection, self.deal.kind.table, self.deal.key, self.order | stamps)
        if self.payment:
            update(connection, "payment", self.deal.payment["payment_id"], self.payment | stamps)


def draw_edit(ledger: Ledger, rng: Random, deal: Deal) -> Edit:
    """An edit as the real company makes them: of one of the four values that it was seen to change.

    Raises:
        NothingToActOnError: there is no other value to choose.
    """
    order, kind = deal.order, deal.kind
    product = "design" if kind is SALE else "item code"
    what = rng.choice(("member of staff", product, "delivery date", "delivery location"))
    changes: Row
    match what:
        case "member of staff":
            changes = {"staff_id": _another(ledger, "staff", order["staff_id"])}
        case "design":
            changes = {"design_id": _another(ledger, "design", order["design_id"])}
        case "item code":
            changes = {"item_code": vocabulary.text_code(rng, 7)}
        case "delivery date":
            changes = {"agreed_delivery_date": another_date(rng, ledger.now(), order["agreed_delivery_date"])}
        case _:
            changes = {"agreed_delivery_location_id": _another(ledger, "address", order["agreed_delivery_location_id"])}
    return Edit(deal, f"another {what}", changes)


def draw_new_quantity(rng: Random, deal: Deal) -> Edit:
    """An edit of the quantity, and so of the payment's amount, which the real company was never seen to make."""
    order, kind = deal.order, deal.kind
    quantity = rng.randint(*kind.quantities)
    quantity += quantity == order[kind.quantity]
    return Edit(deal, "another quantity", {kind.quantity: quantity}, {"payment_amount": quantity * order[kind.price]})


def draw_kind(rng: Random) -> OrderKind:
    """Sale or purchase, at random, in about the real company's proportion."""
    return rng.choices((SALE, PURCHASE), weights=(7, 3))[0]


def another_date(rng: Random, moment: datetime, than: str) -> str:
    """A random date in the next two weeks, in ISO 8601, that differs from a given one."""
    today: date = moment.date()
    days = rng.randint(1, 14)
    drawn = (today + timedelta(days=days)).isoformat()
    return drawn if drawn != than else (today + timedelta(days=days + 1)).isoformat()


def _another(ledger: Ledger, table: str, than: int) -> int:
    key = f"{table}_id"
    return int(pick(ledger, table, SQL("{} <> {}").format(Identifier(key), Literal(than)))[key])


def _date_within(rng: Random, moment: datetime, days: int) -> str:
    # Both ends of the range are half as likely as the days between them.
    return (moment.date() + timedelta(days=round(rng.random() * days))).isoformat()
