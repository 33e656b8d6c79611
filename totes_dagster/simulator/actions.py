"""The actions of the simulated company, by name, and their relative frequencies.

What each action does belongs to `everyday`, `harsh` and `reference`; when it happens, to `simulator`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto

from totes_dagster.simulator.ledger import Ids

Act = Callable[[], tuple[str, Ids]]
"""Performs an action; returns a one-line description, and the keys of the rows affected."""


class Action(StrEnum):
    """An action of the simulated company."""

    # What the real company does

    NEW_SALES_ORDER = auto()
    NEW_PURCHASE_ORDER = auto()
    ORDER_EDITED_SILENTLY = auto()
    """`last_updated` does not change."""
    DESIGN_EDITED_SILENTLY = auto()
    """`last_updated` does not change."""
    PAYMENT_RUN = auto()
    """All payments due today are marked as paid, with the same timestamp."""
    NEW_DESIGN = auto()

    # What a change capture must cope with

    PAYMENT_PAID = auto()
    """A single payment, due or not."""
    ORDER_EDITED = auto()
    """`last_updated` changes; the edit may change the quantity, and with it the payment's amount."""
    ORDERS_EDITED_TOGETHER = auto()
    """Several rows get the same timestamp."""
    ORDER_EDITED_IN_SAVEPOINT = auto()
    """The row's writer is a subtransaction."""
    ORDER_DELETED = auto()
    """With its transaction and payment."""
    ORDER_DELETED_ALONE = auto()
    """Its transaction stays without an order; only if the source sets the reference to null."""
    ORDER_RESTORED = auto()
    """With its former keys and timestamps."""
    TRANSACTION_OPENED = auto()
    TRANSACTION_COMMITTED = auto()
    """Late: its rows have older timestamps than rows that were visible before."""
    TRANSACTION_ROLLED_BACK = auto()
    ORDER_BEFORE_DESIGN = auto()
    """Only if the source does not enforce the reference."""
    LATE_DESIGN = auto()
    PAYMENT_BEFORE_ORDER = auto()
    """Only if the source does not enforce the reference."""
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
    # The real company does these once or twice a day, which is too seldom for a viewer to see one.
    Action.ORDER_EDITED_SILENTLY: 4,
    Action.DESIGN_EDITED_SILENTLY: 1.5,
    Action.PAYMENT_RUN: 1,
}
"""Relative frequency of each action of the real company."""

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
"""Relative frequency of each action in harsh business, most of which is still ordinary business."""


@dataclass(frozen=True)
class Event:
    """An action that was performed.

    Args:
        action: its kind.
        description: a one-line description.
        ids: keys of the rows affected, by table; the rows of a rolled-back transaction are not in the database.
    """

    action: Action
    description: str
    ids: Ids = field(default_factory=dict)

    def __str__(self) -> str:
        return self.description
