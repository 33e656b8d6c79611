"""The simulated company: what a seeded source looks like, and what each action of its life does to it."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from sqlalchemy import create_engine

from totes_dagster.errors import DatabaseError
from totes_dagster.local import company
from totes_dagster.local.seeding import SeedingError, create_schema, seed
from totes_dagster.local.simulator import Action, Event, NothingToActOnError, Simulator
from totes_dagster.schema import totesys

Database = Callable[..., str]
Rows = dict[str, dict[int, dict[str, Any]]]

EVENT_TABLES = {"sales_order", "purchase_order", "transaction", "payment"}
ORDER_COLUMNS = {"units_sold", "item_quantity", "agreed_delivery_date", "agreed_delivery_location_id"}

RULES = {
    "sales order with transaction and payment": """
        SELECT sales_order_id FROM sales_order o LEFT JOIN (transaction t JOIN payment p USING (transaction_id))
        USING (sales_order_id) WHERE payment_id IS NULL OR transaction_type <> 'SALE' OR payment_type_id <> 1
        OR p.payment_amount <> o.units_sold * o.unit_price OR p.currency_id <> o.currency_id
        OR p.counterparty_id <> o.counterparty_id""",
    "purchase order with transaction and payment": """
        SELECT purchase_order_id FROM purchase_order o LEFT JOIN (transaction t JOIN payment p USING (transaction_id))
        USING (purchase_order_id) WHERE payment_id IS NULL OR transaction_type <> 'PURCHASE' OR payment_type_id <> 3
        OR p.payment_amount <> o.item_quantity * o.item_unit_price OR p.currency_id <> o.currency_id
        OR p.counterparty_id <> o.counterparty_id""",
    "transaction with exactly one order": """
        SELECT transaction_id FROM transaction t LEFT JOIN sales_order s USING (sales_order_id)
        LEFT JOIN purchase_order p USING (purchase_order_id)
        WHERE num_nonnulls(t.sales_order_id, t.purchase_order_id) <> 1
        OR num_nonnulls(s.created_at, p.created_at) <> 1""",
    "dates": """
        SELECT agreed_delivery_date FROM sales_order WHERE agreed_delivery_date !~ '^\\d{4}-\\d\\d-\\d\\d$'
        UNION ALL SELECT payment_date FROM payment WHERE payment_date !~ '^\\d{4}-\\d\\d-\\d\\d$'""",
    "stamps": "SELECT payment_id FROM payment WHERE last_updated < created_at",
}
RULES_OF_A_SEED = {
    "design of a sales order is there by then": """
        SELECT sales_order_id FROM sales_order o LEFT JOIN design d USING (design_id)
        WHERE d.design_id IS NULL OR d.created_at > o.created_at""",
    "transaction of a payment": """
        SELECT payment_id FROM payment LEFT JOIN transaction t USING (transaction_id) WHERE t.transaction_id IS NULL""",
    "opening hours": """
        SELECT created_at FROM sales_order
        WHERE extract(isodow FROM created_at) > 5 OR extract(hour FROM created_at) NOT BETWEEN 8 AND 17""",
}
CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "enums": """
        SELECT typname, enumlabel FROM pg_enum JOIN pg_type t ON t.oid = enumtypid ORDER BY typname, enumsortorder""",
}


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def broken(url: str, rules: dict[str, str]) -> dict[str, list[Any]]:
    """Rows that break a rule, by rule."""
    return {rule: rows for rule, query in rules.items() if (rows := fetch(url, query))}


def contents(url: str) -> Rows:
    """Every committed row, by table and key."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return {
            name: {
                row[totesys.key_of(table)]: row
                for row in connection.execute(SQL("SELECT * FROM {}").format(Identifier(name)))
            }
            for name, table in totesys.TABLES.items()
        }


@pytest.fixture
def source(database: Database) -> str:
    url = database("totesys")
    seed(url, orders=60)
    return url


@pytest.fixture
def simulator(source: str) -> Iterator[Simulator]:
    with Simulator(source, seed=1) as simulator:
        yield simulator


# Seeding


def test_one_seed_makes_one_company_and_another_seed_another(database: Database) -> None:
    urls = [database("totesys") for _ in range(3)]
    for url, number in zip(urls, (7, 7, 8), strict=True):
        seed(url, orders=300, seed=number)
    first, again, other = map(contents, urls)
    assert first == again
    assert all(first[name] != other[name] for name in (*EVENT_TABLES, "address", "counterparty", "design", "staff"))


def test_a_seeded_company_is_whole_also_where_chunks_of_its_history_meet(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company, "_CHUNK", 97)
    url = database("totesys")
    told: list[tuple[str, int]] = []
    rows = seed(url, orders=500, progress=lambda table, count: told.append((table, count)))

    assert {name: len(kept) for name, kept in contents(url).items()} == rows
    assert {name: sum(count for table, count in told if table == name) for name in rows} == rows
    assert (rows["sales_order"], rows["purchase_order"], rows["transaction"], rows["payment"]) == (500, 220, 720, 720)
    assert broken(url, RULES | RULES_OF_A_SEED) == {}
    for name, kept in contents(url).items():
        assert sorted(kept) == list(range(1, len(kept) + 1))
        stamps = [kept[key]["created_at"] for key in sorted(kept)]
        assert stamps == sorted(stamps)
        assert stamps[-1] <= company.DEFAULT_UNTIL
        if name in EVENT_TABLES:
            assert stamps[-1] - stamps[0] > timedelta(days=350)
            assert len(set(stamps)) < len(stamps)
    paid = [payment["paid"] for payment in contents(url)["payment"].values()]
    assert 0.7 < sum(paid) / len(paid) < 0.95


def test_a_seeded_company_has_the_values_that_break_careless_code(database: Database) -> None:
    url = database("totesys")
    seed(url, orders=5000)
    rows = contents(url)
    assert {name: len(kept) for name, kept in rows.items() if name not in EVENT_TABLES} == {
        "address": 30,
        "counterparty": 20,
        "currency": 3,
        "department": 8,
        "design": 250,
        "staff": 20,
        "payment_type": 4,
    }
    assert [row["currency_code"] for row in rows["currency"].values()] == ["GBP", "USD", "EUR"]
    assert [row["location"] for row in rows["department"].values()].count(None) == 1
    assert "O'Brien" in {row["last_name"] for row in rows["staff"].values()}
    assert not all(row["city"].isascii() for row in rows["address"].values())
    lines = {row["address_line_2"] for row in rows["address"].values()}
    assert None in lines
    assert "" in lines
    assert all(row["email_address"].isascii() and " " not in row["email_address"] for row in rows["staff"].values())


def test_a_company_without_orders_has_its_reference_tables(database: Database) -> None:
    url = database("totesys")
    rows = seed(url, orders=0)
    assert rows["sales_order"] == 0
    assert rows["design"] == len(contents(url)["design"]) > 0


@pytest.mark.parametrize("make", [create_schema, lambda url: seed(url, orders=10)])
def test_the_schema_of_a_seeded_source_is_the_declared_one(database: Database, make: Callable[[str], object]) -> None:
    made, declared = database("made"), database("declared")
    make(made)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(declared))
    totesys.metadata.create_all(engine)
    engine.dispose()
    for query in CATALOGUE.values():
        assert fetch(made, query) == fetch(declared, query) != []


def test_a_database_that_is_not_empty_is_left_as_it_is(source: str) -> None:
    before = contents(source)
    with pytest.raises(SeedingError, match="already exists"):
        seed(source, orders=5)
    assert contents(source) == before


def test_a_seeding_that_fails_halfway_leaves_nothing(database: Database) -> None:
    url = database("totesys")

    def give_up(table: str, count: int) -> None:
        if table == "payment":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed(url, orders=5, progress=give_up)
    assert fetch(url, CATALOGUE["columns"]) == []


def test_an_unreachable_database_is_reported_without_its_password() -> None:
    with pytest.raises(SeedingError, match="Connection refused") as raised:
        seed("postgresql://somebody:opensesame@127.0.0.1:1/totesys", orders=5)
    assert "opensesame" not in str(raised.value)


# Life

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
