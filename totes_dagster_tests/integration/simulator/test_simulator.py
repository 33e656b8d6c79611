"""The company's life: each action does what it says, and nothing else."""

# ruff: noqa: DTZ001 - the source's stamps are UTC without a zone

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from totes_dagster.errors import DatabaseError
from totes_dagster.simulator.seeding import create_schema, seed
from totes_dagster.simulator.simulator import Action, Event, NothingToActOnError, Simulator
from totes_dagster_tests.source import (
    EDITED_COLUMNS,
    RULES,
    RULES_OF_EVERY_DAY,
    Database,
    Rows,
    broken,
    contents,
    fetch,
)

THE_THREE = [{"sales_order", "transaction", "payment"}, {"purchase_order", "transaction", "payment"}]
FIRST = {
    Action.ORDER_RESTORED: Action.ORDER_DELETED,
    Action.TRANSACTION_COMMITTED: Action.TRANSACTION_OPENED,
    Action.LATE_DESIGN: Action.ORDER_BEFORE_DESIGN,
    Action.LATE_ORDER: Action.PAYMENT_BEFORE_ORDER,
}
UNENFORCED = {Action.ORDER_BEFORE_DESIGN, Action.LATE_DESIGN, Action.PAYMENT_BEFORE_ORDER, Action.LATE_ORDER}
"""Actions that only the older form of the source allows."""
EVERYDAY = {
    Action.NEW_SALES_ORDER,
    Action.NEW_PURCHASE_ORDER,
    Action.NEW_DESIGN,
    Action.ORDER_EDITED_SILENTLY,
    Action.DESIGN_EDITED_SILENTLY,
    Action.PAYMENT_RUN,
}
FRIDAY = datetime(2026, 10, 30)
FOUR_PAYMENTS_DUE = f"""
    UPDATE payment SET paid = false, payment_date = '{FRIDAY:%Y-%m-%d}' WHERE payment_id < 5 RETURNING payment_id"""
SUNDAY = datetime(2026, 11, 1)


class Clock:
    """A clock that a test sets; it goes on by a millisecond each time that somebody looks."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment


@contextmanager
def company_at(database: Database, moment: datetime) -> Iterator[tuple[str, Simulator, Clock]]:
    """A company whose history ends at a moment, and the simulator that goes on from there."""
    url, clock = database("totesys"), Clock(moment)
    seed(url, orders=2_000, until=moment)
    with Simulator(url, seed=1, clock=clock) as simulator:
        yield url, simulator, clock


def due_on(url: str, day: datetime) -> set[int]:
    payments = contents(url)["payment"].items()
    return {key for key, row in payments if row["payment_date"] == day.date().isoformat() and not row["paid"]}


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
    # The transaction itself and the savepoint that was rolled back have the two numbers before.
    assert fetch(source, f"SELECT pg_xact_status('{after[0] - 1}')") == [("aborted",)]
    assert fetch(source, f"SELECT pg_xact_status('{after[0] - 2}')") == [("committed",)]


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


# Lives


def test_an_everyday_life_is_what_the_real_company_was_seen_to_do(database: Database) -> None:
    with company_at(database, FRIDAY) as (url, simulator, _):
        events = [simulator.step() for _ in range(300)]
        assert {event.action for event in events} == EVERYDAY
        assert broken(url, RULES | RULES_OF_EVERY_DAY) == {}


@pytest.mark.parametrize("enforced", [True, False])
def test_the_company_is_whole_after_a_harsh_life(database: Database, enforced: bool) -> None:
    url = database("totesys")
    seed(url, orders=60, until=FRIDAY, enforced=enforced)
    with Simulator(url, seed=5, harsh=True, clock=Clock(FRIDAY)) as simulator:
        events = [simulator.step() for _ in range(400)]
    assert broken(url, RULES) == {}
    seen = {event.action for event in events}
    assert len(seen) > 15
    assert bool(seen & UNENFORCED) is not enforced
    assert (Action.ORDER_DELETED_ALONE in seen) is enforced
    business = sum(event.action in {Action.NEW_SALES_ORDER, Action.NEW_PURCHASE_ORDER} for event in events)
    assert business > 100


@pytest.mark.parametrize("harsh", [False, True])
def test_a_life_repeats_itself_from_the_same_seed(database: Database, harsh: bool) -> None:
    lives: list[list[Event]] = []
    for number in (3, 3, 4):
        url = database("totesys")
        seed(url, orders=60, until=FRIDAY)
        with Simulator(url, seed=number, harsh=harsh, clock=Clock(FRIDAY)) as simulator:
            lives.append([simulator.step() for _ in range(100)])
    assert lives[0] == lives[1] != lives[2]


# The morning's payments


def test_the_first_thing_that_happens_in_the_morning_is_that_what_is_due_is_paid(database: Database) -> None:
    with company_at(database, FRIDAY) as (url, simulator, clock):
        due = due_on(url, FRIDAY)
        assert len(due) > 3
        clock.moment = FRIDAY + timedelta(hours=7, minutes=55, seconds=10)
        early = [simulator.step() for _ in range(3)]
        assert Action.PAYMENT_RUN not in {event.action for event in early}
        clock.moment = FRIDAY + timedelta(hours=7, minutes=55, seconds=11)
        event = simulator.step()
        assert event.action is Action.PAYMENT_RUN
        assert due <= set(event.ids["payment"])
        assert due_on(url, FRIDAY) == set()
        rows = contents(url)["payment"]
        assert len({rows[key]["last_updated"] for key in event.ids["payment"]}) == 1
        assert simulator.step().action is not Action.PAYMENT_RUN


def test_a_simulator_that_starts_later_in_the_day_catches_up_with_the_morning(database: Database) -> None:
    with company_at(database, FRIDAY) as (url, simulator, clock):
        clock.moment = FRIDAY + timedelta(hours=15)
        assert simulator.step().action is Action.PAYMENT_RUN
        assert due_on(url, FRIDAY) == set()


def test_where_the_morning_was_part_of_the_history_it_does_not_come_again(database: Database) -> None:
    with company_at(database, FRIDAY + timedelta(hours=7, minutes=56)) as (_, simulator, _):
        assert simulator.step().action is not Action.PAYMENT_RUN


def test_at_midnight_on_a_sunday_there_is_something_to_see_too(database: Database) -> None:
    with company_at(database, SUNDAY) as (url, simulator, _):
        assert due_on(url, SUNDAY)
        assert simulator.step().action is not Action.PAYMENT_RUN
        assert {simulator.step().action for _ in range(300)} == EVERYDAY
        assert broken(url, RULES | RULES_OF_EVERY_DAY) == {}


# A source that is not as it should be


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


class ImpatientEvent(threading.Event):
    """An event that nobody waits for; how long they would have is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


def test_a_run_pauses_at_random_and_keeps_its_rate_on_average(simulator: Simulator) -> None:
    stop = ImpatientEvent()

    def end_after(event: Event) -> None:
        if len(stop.waits) == 300:
            stop.set()

    simulator.run(0.1, stop, end_after)
    # Nobody has waited, so that each wait is the time from the first change to the next one.
    pauses = [after - before for before, after in pairwise([0.0, *stop.waits])]
    assert 8 < sum(pauses) / len(pauses) < 12
    assert sum(pause < 3 for pause in pauses) > 30
    assert sum(pause > 20 for pause in pauses) > 15


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
    assert "is unavailable" in caplog.text
    assert "is available again" in caplog.text
    assert broken(source, RULES) == {}
