"""The company's life: each action does what it says, and nothing else."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from totes_dagster.errors import DatabaseError
from totes_dagster.local.seeding import create_schema, seed
from totes_dagster.local.simulator import Action, Event, NothingToActOnError, Simulator
from totes_dagster_tests.local.source import ORDER_COLUMNS, RULES, Database, Rows, broken, contents, fetch

THE_THREE = [{"sales_order", "transaction", "payment"}, {"purchase_order", "transaction", "payment"}]
FIRST = {
    Action.ORDER_RESTORED: Action.ORDER_DELETED,
    Action.TRANSACTION_COMMITTED: Action.TRANSACTION_OPENED,
    Action.LATE_DESIGN: Action.ORDER_BEFORE_DESIGN,
    Action.LATE_ORDER: Action.PAYMENT_BEFORE_ORDER,
}


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


def is_an_edit_of_an_order(it: Difference, *, stamped: bool) -> bool:
    orders = {name: columns for name, columns in it.changed_columns.items() if name != "payment"}
    (columns,) = orders.values()
    payment = it.changed_columns.get("payment", set())
    return (
        it.is_only(changed=len(it.changed))
        and columns & ORDER_COLUMNS != set()
        and ("last_updated" in columns) == stamped
        and payment <= {"payment_amount", "last_updated"}
        and (not payment or ("last_updated" in payment) == stamped)
    )


EFFECTS: dict[Action, Callable[[Difference], bool]] = {
    Action.NEW_SALES_ORDER: lambda it: it.is_only(added=3) and it.added_tables == THE_THREE[0],
    Action.NEW_PURCHASE_ORDER: lambda it: it.is_only(added=3) and it.added_tables == THE_THREE[1],
    Action.PAYMENT_PAID: lambda it: (
        it.is_only(changed=1) and it.changed_columns == {"payment": {"paid", "last_updated"}}
    ),
    Action.ORDER_EDITED: lambda it: is_an_edit_of_an_order(it, stamped=True),
    Action.ORDER_EDITED_SILENTLY: lambda it: is_an_edit_of_an_order(it, stamped=False),
    Action.ORDER_EDITED_IN_SAVEPOINT: lambda it: is_an_edit_of_an_order(it, stamped=True),
    Action.ORDERS_EDITED_TOGETHER: lambda it: (
        len(it.changed) >= 5 and all("last_updated" in columns for columns in it.changed.values())
    ),
    Action.DESIGN_EDITED_SILENTLY: lambda it: (
        it.is_only(changed=1)
        and "file_name" in it.changed_columns["design"] - {"last_updated"}
        and "last_updated" not in it.changed_columns["design"]
    ),
    Action.ORDER_DELETED: lambda it: it.is_only(removed=3) and {name for name, _ in it.removed} in THE_THREE,
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
def test_every_action_does_what_it_says_and_nothing_else(source: str, simulator: Simulator, action: Action) -> None:
    for _ in range(3):
        if action in FIRST:
            simulator.perform(FIRST[action])
        before = contents(source)
        event = simulator.perform(action)
        difference = Difference(before, contents(source))
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


def test_a_deleted_order_comes_back_as_it_was(source: str, simulator: Simulator) -> None:
    before = contents(source)
    deleted = simulator.perform(Action.ORDER_DELETED)
    restored = simulator.perform(Action.ORDER_RESTORED)
    assert restored.ids == deleted.ids
    assert contents(source) == before


def test_a_transaction_committed_late_brings_older_stamps(source: str, simulator: Simulator) -> None:
    opened = simulator.perform(Action.TRANSACTION_OPENED)
    time.sleep(0.002)  # stamps are milliseconds
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
    # The transaction itself and the savepoint that was rolled back have the two numbers before.
    assert fetch(source, f"SELECT pg_xact_status('{after[0] - 1}')") == [("aborted",)]
    assert fetch(source, f"SELECT pg_xact_status('{after[0] - 2}')") == [("committed",)]


def test_open_transactions_are_in_nobodys_way_and_closing_commits_them(source: str, simulator: Simulator) -> None:
    opened = [simulator.perform(Action.TRANSACTION_OPENED) for _ in range(3)]
    with pytest.raises(NothingToActOnError, match="open already"):
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
                connection.execute(f"alter table {table} add column note text")  # type: ignore[call-overload]
        done.set()

    thread = threading.Thread(target=change_every_table)
    thread.start()
    simulator.run(50, done)  # ends when they are done, or never
    thread.join()


def test_the_company_is_whole_after_any_life(source: str) -> None:
    with Simulator(source, seed=5) as simulator:
        events = [simulator.step() for _ in range(200)]
    assert broken(source, RULES) == {}
    assert len({event.action for event in events}) > 12
    business = sum(event.action in {Action.NEW_SALES_ORDER, Action.NEW_PURCHASE_ORDER} for event in events)
    assert business > 50


def test_a_life_repeats_itself_from_the_same_seed(database: Database) -> None:
    lives: list[list[Event]] = []
    for number in (3, 3, 4):
        url = database("totesys")
        seed(url, orders=60)
        with Simulator(url, seed=number) as simulator:
            lives.append([simulator.step() for _ in range(100)])
    assert lives[0] == lives[1] != lives[2]


def test_an_empty_source_is_said_to_be_empty(database: Database) -> None:
    url = database("totesys")
    create_schema(url)
    with Simulator(url) as simulator, pytest.raises(NothingToActOnError, match="no counterparty"):
        simulator.perform(Action.NEW_SALES_ORDER)


def test_a_source_that_is_not_there_or_not_seeded_is_named_without_its_password(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"at 127\.0\.0\.1 cannot be simulated") as raised:
        Simulator("postgresql://somebody:opensesame@127.0.0.1:1/totesys")
    assert "opensesame" not in str(raised.value)
    with pytest.raises(DatabaseError, match="does not exist"):
        Simulator(database("totesys"))


def test_a_run_lives_at_its_pace_until_it_is_stopped(simulator: Simulator) -> None:
    stop = threading.Event()
    events: list[Event] = []
    timer = threading.Timer(0.6, stop.set)
    timer.start()
    simulator.run(50, stop, events.append)
    timer.join()
    assert 10 <= len(events) <= 31


def test_a_run_survives_the_loss_of_its_connections(
    database: Database, source: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    events: list[Event] = []

    def interfere(event: Event) -> None:
        events.append(event)
        if len(events) == 10:
            fetch(
                source,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        if len(events) == 40:
            stop.set()

    simulator.perform(Action.TRANSACTION_OPENED)
    caplog.set_level("INFO")
    simulator.run(1000, stop, interfere)
    simulator.close()
    assert len(events) == 40
    assert "is away" in caplog.text
    assert "is back" in caplog.text
    assert broken(source, RULES) == {}
