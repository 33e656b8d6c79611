"""The daily business of the real company: orders, payments in the morning, edits that do not change `last_updated`.

What the real company was never seen to do belongs to `harsh`; changes of reference tables, to `reference`.
"""

from collections.abc import Mapping
from functools import partial
from random import Random

from psycopg.sql import SQL

from totes_dagster.simulator import vocabulary
from totes_dagster.simulator.actions import Act, Action
from totes_dagster.simulator.ledger import Ids, Ledger, update
from totes_dagster.simulator.orders import (
    PURCHASE,
    SALE,
    NothingToActOnError,
    OrderKind,
    draft,
    draw_edit,
    draw_kind,
    pick,
    pick_deal,
)
from totes_dagster.simulator.reference import add_design

_NAMED = 3  # keys that a description lists at most


class EverydayBusiness:
    """Performs the actions of everyday business."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self.acts: Mapping[Action, Act] = {
            Action.NEW_SALES_ORDER: partial(self._new_order, SALE),
            Action.NEW_PURCHASE_ORDER: partial(self._new_order, PURCHASE),
            Action.ORDER_EDITED_SILENTLY: self._order_edited_silently,
            Action.DESIGN_EDITED_SILENTLY: self._design_edited_silently,
            Action.PAYMENT_RUN: self._payment_run,
            Action.NEW_DESIGN: self._new_design,
        }

    def _new_order(self, kind: OrderKind) -> tuple[str, Ids]:
        with self._ledger.transaction():
            deal, description = draft(self._ledger, self._rng, kind)
            deal.insert(self._ledger.connection)
        return description, deal.ids

    def _order_edited_silently(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            edit = draw_edit(self._ledger, self._rng, pick_deal(self._ledger, draw_kind(self._rng)))
            edit.write(self._ledger.connection)
        return f"{edit.deal}: {edit.what}, last_updated unchanged", edit.deal.ids

    def _design_edited_silently(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            design = pick(self._ledger, "design")
            key, folder = design["design_id"], design["file_location"]
            while folder == design["file_location"]:
                folder = vocabulary.design(self._rng, self._ledger.now().date())["file_location"]
            update(self._ledger.connection, "design", key, {"file_location": folder})
        return f"design {key:,}: file moved to {folder}, last_updated unchanged", {"design": (key,)}

    def _payment_run(self) -> tuple[str, Ids]:
        today = self._ledger.now().date().isoformat()
        with self._ledger.transaction():
            due = SQL("NOT paid AND payment_date = %(today)s")
            keys = [row["payment_id"] for row in self._ledger.rows("payment", None, due, {"today": today})]
            if not keys:
                raise NothingToActOnError(f"No unpaid payment is due on {today}.")
            update(self._ledger.connection, "payment", keys, {"paid": True, "last_updated": self._ledger.now()})
        named = ", ".join(f"{key:,}" for key in keys[:_NAMED]) + (" …" if len(keys) > _NAMED else "")
        return f"payments due today: {len(keys):,} paid, with one timestamp ({named})", {"payment": tuple(keys)}

    def _new_design(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            return add_design(self._ledger, self._rng)
