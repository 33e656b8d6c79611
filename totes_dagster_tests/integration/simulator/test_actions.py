"""Each action of the simulator does what it says, and nothing else."""

import threading
from collections.abc import Callable

import psycopg
import pytest

from totes_dagster.simulator.seeding import seed
from totes_dagster.simulator.simulator import Action, NothingToActOnError, Simulator
from totes_dagster_tests.integration.simulator.company import FRIDAY, UNENFORCED, Clock
from totes_dagster_tests.source import EDITED_COLUMNS, RULES, Database, Rows, broken, contents, fetch

THE_THREE = [{"sales_order", "transaction", "payment"}, {"purchase_order", "transaction", "payment"}]
FIRST = {
    Action.ORDER_RESTORED: Action.ORDER_DELETED,
    Action.TRANSACTION_COMMITTED: Action.TRANSACTION_OPENED,
    Action.LATE_DESIGN: Action.ORDER_BEFORE_DESIGN,
    Action.LATE_ORDER: Action.PAYMENT_BEFORE_ORDER,
}
FOUR_PAYMENTS_DUE = f"""
    UPDATE payment SET paid = false, payment_date = '{FRIDAY:%Y-%m-%d}' WHERE payment_id < 5 RETURNING payment_id"""


class Difference:
    """What differs between two states of the source."""

    def __init__(self, before: Rows, after: Rows) -> None:
        self.added = {(name, key) for name, rows in after.items() for key in rows.keys() - before[name].keys()}
        self.removed = {(name, key) for name, rows in before.items() for key in rows.keys() - after[name].keys()}
        self.changed = {
            (name, key): {column for column in row if row[column] != before[name][key][column]}
            for name, rows in after.items()
            for key, row in rows.items()
            if key in before[name] and row != before[name][key]
        }

    @property
    def added_tables(self) -> set[str]:
        return {name for name, _ in self.added}

    @property
    def changed_columns(self) -> dict[str, set[str]]:
        columns: dict[str, set[str]] = {}
        for (name, _), changed in self.changed.items():
            columns.setdefault(name, set()).update(changed)
        return columns

    def is_only(self, *, added: int = 0, removed: int = 0, changed: int = 0) -> bool:
        return (len(self.added), len(self.removed), len(self.changed)) == (added, removed, changed)


def is_a_silent_edit_of_an_order(it: Difference) -> bool:
    (columns,) = it.changed_columns.values()
    return it.is_only(changed=1) and len(columns) == 1 and columns <= EDITED_COLUMNS


def is_a_stamped_edit_of_an_order(it: Difference) -> bool:
    orders = {name: columns for name, columns in it.changed_columns.items() if name != "payment"}
    (columns,) = orders.values()
    if "payment" in it.changed_columns:
        quantity = columns <= {"units_sold", "item_quantity", "last_updated"} and len(columns) == 2
        return quantity and it.changed_columns["payment"] == {"payment_amount", "last_updated"}
    return it.is_only(changed=1) and "last_updated" in columns and len(columns & EDITED_COLUMNS) == 1


EFFECTS: dict[Action, Callable[[Difference], bool]] = {
    Action.NEW_SALES_ORDER: lambda it: it.is_only(added=3) and it.added_tables == THE_THREE[0],
    Action.NEW_PURCHASE_ORDER: lambda it: it.is_only(added=3) and it.added_tables == THE_THREE[1],
    Action.PAYMENT_PAID: lambda it: (
        it.is_only(changed=1) and it.changed_columns == {"payment": {"paid", "last_updated"}}
    ),
    Action.ORDER_EDITED: is_a_stamped_edit_of_an_order,
    Action.ORDER_EDITED_SILENTLY: is_a_silent_edit_of_an_order,
    Action.ORDER_EDITED_IN_SAVEPOINT: is_a_stamped_edit_of_an_order,
    Action.ORDERS_EDITED_TOGETHER: lambda it: (
        len(it.changed) >= 5 and all("last_updated" in columns for columns in it.changed.values())
    ),
    Action.DESIGN_EDITED_SILENTLY: lambda it: (
        it.is_only(changed=1) and it.changed_columns == {"design": {"file_location"}}
    ),
    Action.PAYMENT_RUN: lambda it: (
        it.is_only(changed=len(it.changed)) and it.changed_columns == {"payment": {"paid", "last_updated"}}
    ),
    Action.ORDER_DELETED: lambda it: it.is_only(removed=3) and {name for name, _ in it.removed} in THE_THREE,
    Action.ORDER_DELETED_ALONE: lambda it: (
        it.is_only(removed=1, changed=1)
        and {name: columns for (name, _), columns in it.changed.items()}
        in ({"transaction": {"sales_order_id"}}, {"transaction": {"purchase_order_id"}})
    ),
    Action.ORDER_RESTORED: lambda it: it.is_only(added=3) and it.added_tables in THE_THREE,
    Action.TRANSACTION_OPENED: lambda it: it.is_only(),
    Action.TRANSACTION_COMMITTED: lambda it: len(it.added) == 3 and len(it.changed) in {1, 2},
    Action.TRANSACTION_ROLLED_BACK: lambda it: it.is_only(),
    Action.ORDER_BEFORE_DESIGN: lambda it: it.is_only(added=3) and it.added_tables == THE_THREE[0],
    Action.LATE_DESIGN: lambda it: it.is_only(added=1) and it.added_tables == {"design"},
    Action.PAYMENT_BEFORE_ORDER: lambda it: it.is_only(added=1) and it.added_tables == {"payment"},
    Action.LATE_ORDER: lambda it: it.is_only(added=2) and "transaction" in it.added_tables,
    Action.NEW_STAFF: lambda it: it.is_only(added=1) and it.added_tables == {"staff"},
    Action.NEW_DESIGN: lambda it: it.is_only(added=1) and it.added_tables == {"design"},
    Action.NEW_ADDRESS: lambda it: it.is_only(added=1) and it.added_tables == {"address"},
    Action.NEW_COUNTERPARTY: lambda it: it.is_only(added=1) and it.added_tables == {"counterparty"},
    Action.NEW_CURRENCY: lambda it: it.is_only(added=1) and it.added_tables == {"currency"},
    Action.DEPARTMENT_EDITED: lambda it: (
        it.is_only(changed=1)
        and it.changed_columns["department"] - {"last_updated"} in ({"department_name"}, {"location"})
    ),
    Action.ADDRESS_EDITED: lambda it: it.is_only(changed=1) and "phone" in it.changed_columns["address"],
}


@pytest.mark.parametrize("action", list(Action))
def test_every_action_does_what_it_says_and_nothing_else(database: Database, action: Action) -> None:
    url = database("totesys")
    seed(url, orders=60, until=FRIDAY, enforced=action not in UNENFORCED)
    with Simulator(url, seed=1, clock=Clock(FRIDAY)) as simulator:
        for _ in range(3):
            if action in FIRST:
                simulator.perform(FIRST[action])
            if action is Action.PAYMENT_RUN:
                fetch(url, FOUR_PAYMENTS_DUE)
            before = contents(url)
            event = simulator.perform(action)
            difference = Difference(before, contents(url))
            assert EFFECTS[action](difference), (event, vars(difference))
            touched = {(table, key) for table, keys in event.ids.items() for key in keys}
            assert difference.added | difference.removed | difference.changed.keys() <= touched
            assert event.action is action
            assert str(event)
            assert "\n" not in str(event)


@pytest.mark.parametrize("action", list(FIRST))
def test_what_presupposes_another_action_refuses_without_it(source: str, simulator: Simulator, action: Action) -> None:
    before = contents(source)
    with pytest.raises(NothingToActOnError):
        simulator.perform(action)
    assert contents(source) == before


@pytest.mark.parametrize("action", [Action.ORDER_BEFORE_DESIGN, Action.PAYMENT_BEFORE_ORDER])
def test_what_an_enforced_reference_rules_out_is_left_out(source: str, simulator: Simulator, action: Action) -> None:
    before = contents(source)
    with pytest.raises(NothingToActOnError, match="The source enforces"):
        simulator.perform(action)
    assert contents(source) == before


def test_an_order_is_deleted_alone_only_where_its_transaction_lets_it_go(older_source: str) -> None:
    before = contents(older_source)
    with Simulator(older_source) as simulator, pytest.raises(NothingToActOnError, match="does not set transaction"):
        simulator.perform(Action.ORDER_DELETED_ALONE)
    assert contents(older_source) == before


def test_a_deleted_order_comes_back_as_it_was(source: str, simulator: Simulator) -> None:
    before = contents(source)
    deleted = simulator.perform(Action.ORDER_DELETED)
    restored = simulator.perform(Action.ORDER_RESTORED)
    assert restored.ids == deleted.ids
    assert contents(source) == before


def test_a_transaction_committed_late_brings_older_stamps(source: str) -> None:
    with Simulator(source, seed=1, clock=Clock(FRIDAY)) as simulator:
        opened = simulator.perform(Action.TRANSACTION_OPENED)
        newer = simulator.perform(Action.NEW_SALES_ORDER)
        committed = simulator.perform(Action.TRANSACTION_COMMITTED)
    assert committed.ids == opened.ids
    rows = contents(source)
    late = rows["payment"][max(committed.ids["payment"])]
    assert late["created_at"] < rows["sales_order"][newer.ids["sales_order"][0]]["created_at"]


def test_an_edit_in_a_savepoint_is_written_by_a_subtransaction(source: str, simulator: Simulator) -> None:
    event = simulator.perform(Action.ORDER_EDITED_IN_SAVEPOINT)
    table, (key,) = next((table, keys) for table, keys in event.ids.items() if table.endswith("_order"))
    (after,) = fetch(source, f"SELECT xmin::text::bigint FROM {table} WHERE {table}_id = {key}")
    # The transaction itself and the savepoint that was rolled back have numbers before, as autovacuum may have.
    before = [fetch(source, f"SELECT pg_xact_status('{after[0] - distance}')") for distance in range(1, 6)]
    assert [("aborted",)] in before
    assert [("committed",)] in before


def test_open_transactions_are_in_nobodys_way_and_closing_commits_them(source: str, simulator: Simulator) -> None:
    opened = [simulator.perform(Action.TRANSACTION_OPENED) for _ in range(3)]
    with pytest.raises(NothingToActOnError, match="already open"):
        simulator.perform(Action.TRANSACTION_OPENED)
    for _ in range(20):
        for action in (Action.ORDER_EDITED, Action.PAYMENT_PAID, Action.ORDER_DELETED, Action.NEW_PURCHASE_ORDER):
            simulator.perform(action)
    simulator.close()
    rows = contents(source)
    assert all(max(event.ids["payment"]) in rows["payment"] for event in opened)
    assert broken(source, RULES) == {}


def test_whoever_changes_a_table_gets_their_turn(source: str, simulator: Simulator) -> None:
    """They wait for the open transaction, and everybody else for them."""
    simulator.perform(Action.TRANSACTION_OPENED)
    done = threading.Event()

    def change_every_table() -> None:
        with psycopg.connect(source) as connection:
            for table in ("sales_order", "purchase_order", "transaction", "payment"):
                connection.execute(f"alter table {table} add column note text")
        done.set()

    thread = threading.Thread(target=change_every_table)
    thread.start()
    simulator.run(50, done)  # ends when they are done, or never
    thread.join()
