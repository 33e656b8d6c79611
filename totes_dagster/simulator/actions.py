"""What can happen in the simulated company, by name, and how often each of it does.

What each action does belongs to `everyday`, `harsh` and `reference`; when it happens, to `simulator`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto

from totes_dagster.simulator.ledger import Ids

Act = Callable[[], tuple[str, Ids]]
"""What carries an action out: returns one line for people, and the keys of the rows concerned."""


class Action(StrEnum):
    """Something that can happen."""

    # What the real company does

    NEW_SALES_ORDER = auto()
    NEW_PURCHASE_ORDER = auto()
    ORDER_EDITED_SILENTLY = auto()
    """`last_updated` stays as it was."""
    DESIGN_EDITED_SILENTLY = auto()
    """`last_updated` stays as it was."""
    PAYMENT_RUN = auto()
    """All payments that are due today are paid, with one stamp."""
    NEW_DESIGN = auto()

    # What a change capture has to survive

    PAYMENT_PAID = auto()
    """One payment by itself, due or not."""
    ORDER_EDITED = auto()
    """`last_updated` moves; it may be the quantity, and with it the payment's amount."""
    ORDERS_EDITED_TOGETHER = auto()
    """Several rows share one stamp."""
    ORDER_EDITED_IN_SAVEPOINT = auto()
    """The row's writer is a subtransaction."""
    ORDER_DELETED = auto()
    """With its transaction and payment."""
    ORDER_DELETED_ALONE = auto()
    """Its transaction stays, of no order; only where the source sets its reference to null."""
    ORDER_RESTORED = auto()
    """With the keys, and the stamps, that it had."""
    TRANSACTION_OPENED = auto()
    TRANSACTION_COMMITTED = auto()
    """Late: the rows' stamps are older than those of rows that were visible before."""
    TRANSACTION_ROLLED_BACK = auto()
    ORDER_BEFORE_DESIGN = auto()
    """Only where the source does not enforce the reference."""
    LATE_DESIGN = auto()
    PAYMENT_BEFORE_ORDER = auto()
    """Only where the source does not enforce the reference."""
    LATE_ORDER = auto()
    NEW_STAFF = auto()
    NEW_ADDRESS = auto()
    NEW_COUNTERPARTY = auto()
    NEW_CURRENCY = auto()
    DEPARTMENT_EDITED = auto()
    ADDRESS_EDITED = auto()


EVERYDAY: Mapping[Action, float] = {
    Action.NEW_SALES_ORDER: 22,
    Action.NEW_PURCHASE_ORDER: 9,
    Action.NEW_DESIGN: 1,
    # The real company does these once or twice a day; as seldom as that, nobody who watches would see any.
    Action.ORDER_EDITED_SILENTLY: 4,
    Action.DESIGN_EDITED_SILENTLY: 1.5,
    Action.PAYMENT_RUN: 1,
}
"""How often each action of the real company happens, relative to the others."""

HARSH: Mapping[Action, float] = {
    Action.NEW_SALES_ORDER: 30,
    Action.NEW_PURCHASE_ORDER: 13,
    Action.ORDER_EDITED_SILENTLY: 4,
    Action.DESIGN_EDITED_SILENTLY: 1.5,
    Action.PAYMENT_RUN: 0.5,
    Action.NEW_DESIGN: 1.5,
    Action.PAYMENT_PAID: 25,
    Action.ORDER_EDITED: 7,
    Action.ORDERS_EDITED_TOGETHER: 1,
    Action.ORDER_EDITED_IN_SAVEPOINT: 1.5,
    Action.ORDER_DELETED: 2,
    Action.ORDER_DELETED_ALONE: 0.5,
    Action.ORDER_RESTORED: 1,
    Action.TRANSACTION_OPENED: 2,
    Action.TRANSACTION_COMMITTED: 2.5,
    Action.TRANSACTION_ROLLED_BACK: 1.5,
    Action.ORDER_BEFORE_DESIGN: 0.5,
    Action.LATE_DESIGN: 1,
    Action.PAYMENT_BEFORE_ORDER: 0.3,
    Action.LATE_ORDER: 0.6,
    Action.NEW_STAFF: 0.5,
    Action.NEW_ADDRESS: 0.7,
    Action.NEW_COUNTERPARTY: 0.7,
    Action.NEW_CURRENCY: 0.05,
    Action.DEPARTMENT_EDITED: 0.4,
    Action.ADDRESS_EDITED: 0.7,
}
"""How often every action happens in a harsh life: ordinary business most of the time."""


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
