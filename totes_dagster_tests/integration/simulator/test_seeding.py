"""The company as it is made: from a seed, whole, and in the declared schema."""

# ruff: noqa: DTZ001 - the source's stamps are UTC without a zone

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import create_engine

from totes_dagster.schema import totesys
from totes_dagster.simulator import company
from totes_dagster.simulator.seeding import SeedingError, create_schema, seed
from totes_dagster_tests.source import (
    CATALOGUE,
    EVENT_TABLES,
    RULES,
    RULES_OF_A_SEED,
    Database,
    broken,
    contents,
    fetch,
)

UNTIL = datetime(2026, 10, 30, 18)  # a Friday
DECLARED = "select conname from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace order by 1"


def test_one_seed_makes_one_company_and_another_seed_another(database: Database) -> None:
    urls = [database("totesys") for _ in range(3)]
    for url, number in zip(urls, (7, 7, 8), strict=True):
        seed(url, orders=300, seed=number, until=UNTIL)
    first, again, other = map(contents, urls)
    assert first == again
    assert all(first[name] != other[name] for name in (*EVENT_TABLES, "address", "counterparty", "design", "staff"))


def test_a_seeded_company_is_whole_also_where_chunks_of_its_history_meet(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company, "ROWS_AT_ONCE", 97)
    url = database("totesys")
    told: list[tuple[str, int]] = []
    rows = seed(url, orders=500, until=UNTIL, progress=lambda table, count: told.append((table, count)))

    assert {name: len(kept) for name, kept in contents(url).items()} == rows
    assert {name: sum(count for table, count in told if table == name) for name in rows} == rows
    assert (rows["sales_order"], rows["purchase_order"], rows["transaction"], rows["payment"]) == (500, 220, 720, 720)
    assert broken(url, RULES | RULES_OF_A_SEED) == {}
    for name, kept in contents(url).items():
        assert sorted(kept) == list(range(1, len(kept) + 1))
        stamps = [kept[key]["created_at"] for key in sorted(kept)]
        assert stamps == sorted(stamps)
        assert stamps[-1] <= UNTIL
        if name in EVENT_TABLES:
            assert stamps[-1] - stamps[0] > timedelta(days=350)


UNTILS = {
    "on a weekday before the payments": datetime(2026, 10, 30, 7, 55, 10),
    "on a weekday after the payments": datetime(2026, 10, 30, 7, 55, 13),
    "on a Sunday": datetime(2026, 11, 1, 23, 59, 59, 999_000),
    "on a Monday at noon": datetime(2026, 11, 2, 12),
}


@pytest.mark.parametrize("until", UNTILS.values(), ids=UNTILS)
def test_every_payment_that_was_due_on_a_weekday_is_paid_and_no_other(database: Database, until: datetime) -> None:
    url = database("totesys")
    seed(url, orders=2_000, until=until)
    assert broken(url, RULES | RULES_OF_A_SEED) == {}
    payments = list(contents(url)["payment"].values())
    for payment in payments:
        due = date.fromisoformat(payment["payment_date"])
        is_weekday = due.weekday() < 5
        is_over = datetime(due.year, due.month, due.day, 7, 55, 12) <= until
        assert payment["paid"] == (is_weekday and is_over and payment["created_at"].date() < due), payment
    assert 0.5 < sum(payment["paid"] for payment in payments) / len(payments) < 0.7
    assert max(payment["last_updated"] for payment in payments) <= until


def test_a_history_ends_now_unless_said_otherwise(database: Database) -> None:
    url = database("totesys")
    before = datetime.now(UTC).replace(tzinfo=None)
    seed(url, orders=20_000)
    stamps = [row["last_updated"] for table in contents(url).values() for row in table.values()]
    assert max(stamps) <= datetime.now(UTC).replace(tzinfo=None)
    # A quiet weekend, and the hours around it, are the longest time without an order.
    assert before - max(stamps) < timedelta(days=3)


@pytest.mark.parametrize("enforced", [True, False])
def test_the_older_form_of_the_source_lacks_four_references(database: Database, enforced: bool) -> None:
    url = database("totesys")
    create_schema(url, enforced=enforced)
    found = {name for (name,) in fetch(url, DECLARED)}
    newer = {
        "sales_order_design_id_fkey",
        "transaction_sales_order_id_fkey",
        "transaction_purchase_order_id_fkey",
        "payment_transaction_id_fkey",
    }
    assert found & newer == (newer if enforced else set())
    declared = sum(len(table.foreign_key_constraints) for table in totesys.SOURCE_TABLES.values())
    assert len(found - newer) == declared - len(newer)


def test_a_seeded_company_has_the_values_that_break_careless_code(database: Database) -> None:
    url = database("totesys")
    seed(url, orders=5000, until=UNTIL)
    rows = contents(url)
    expected = {
        "address": 30,
        "counterparty": 20,
        "currency": 3,
        "department": 8,
        "design": 250,
        "staff": 20,
        "payment_type": 4,
    }
    assert {name: len(rows[name]) for name in expected} == expected
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
