"""Changes of reference tables: staff, addresses, counterparties, currencies, departments and designs."""

from collections.abc import Mapping
from random import Random

from totes_dagster.simulator import vocabulary
from totes_dagster.simulator.actions import Act, Action
from totes_dagster.simulator.ledger import Ids, Ledger, Row, insert, update
from totes_dagster.simulator.orders import NothingToActOnError, pick


class ReferenceData:
    """Performs the actions on reference tables."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self.acts: Mapping[Action, Act] = {
            Action.NEW_STAFF: self._new_staff,
            Action.NEW_ADDRESS: self._new_address,
            Action.NEW_COUNTERPARTY: self._new_counterparty,
            Action.NEW_CURRENCY: self._new_currency,
            Action.DEPARTMENT_EDITED: self._department_edited,
            Action.ADDRESS_EDITED: self._address_edited,
        }

    def _new_staff(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            department_id = pick(self._ledger, "department")["department_id"]
            return _add(self._ledger, "staff", {**vocabulary.staff(self._rng), "department_id": department_id})

    def _new_address(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            return _add(self._ledger, "address", dict(vocabulary.address(self._rng)))

    def _new_counterparty(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            address_id = pick(self._ledger, "address")["address_id"]
            values = {**vocabulary.counterparty(self._rng), "legal_address_id": address_id}
            return _add(self._ledger, "counterparty", values)

    def _new_currency(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            known = {row["currency_code"] for row in self._ledger.rows("currency", None)}
            further = [code for code in vocabulary.FURTHER_CURRENCIES if code not in known]
            if not further:
                raise NothingToActOnError("Every currency that the company could add is in use.")
            return _add(self._ledger, "currency", {"currency_code": self._rng.choice(further)})

    def _department_edited(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            department = pick(self._ledger, "department")
            column, values = self._rng.choice(
                (("location", (*vocabulary.TOWNS, None)), ("department_name", vocabulary.DEPARTMENT_NAMES))
            )
            value = self._rng.choice([value for value in values if value != department[column]])
            return self._change("department", department["department_id"], {column: value})

    def _address_edited(self) -> tuple[str, Ids]:
        with self._ledger.transaction():
            address = pick(self._ledger, "address")
            moved = vocabulary.address(self._rng)
            # A telephone number has a random part, so the row certainly changes.
            changes = {name: moved[name] for name in ("address_line_1", "phone")}
            return self._change("address", address["address_id"], changes)

    def _change(self, table: str, key: int, changes: Row) -> tuple[str, Ids]:
        update(self._ledger.connection, table, key, changes | {"last_updated": self._ledger.now()})
        described = ", ".join(f"{name.replace('_', ' ')} {value or 'unknown'}" for name, value in changes.items())
        return f"{table} {key:,}: {described}", {table: (key,)}


def add_design(ledger: Ledger, rng: Random, key: int | None = None) -> tuple[str, Ids]:
    """Insert a new design, with a given key or a new one; return a one-line description, and the key."""
    return _add(ledger, "design", dict(vocabulary.design(rng, ledger.now().date())), key)


def _add(ledger: Ledger, table: str, values: Row, key: int | None = None) -> tuple[str, Ids]:
    key = ledger.new_key(table) if key is None else key
    stamp = ledger.now()
    insert(ledger.connection, table, {f"{table}_id": key, **values, "created_at": stamp, "last_updated": stamp})
    named = next(str(value) for value in values.values() if value)
    return f"{table} {key:,}: new, {named}", {table: (key,)}
