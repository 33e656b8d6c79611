"""Foreign keys step aside for bulk loads, and come back as they were."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from totes_dagster.errors import DatabaseError
from totes_dagster.lock_waits import LONG_WAIT
from totes_dagster.schema.warehouse import FACTS
from totes_dagster.stages.constraints import (
    Dropped,
    add_missing_foreign_keys,
    drop_foreign_keys_where_it_pays,
    pays_off,
)
from totes_dagster_tests.stages.conftest import Warehouse

FOREIGN_KEYS = (
    "select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), convalidated from pg_constraint "
    "where contype = 'f' order by 1, 2"
)


@pytest.mark.parametrize(
    ("incoming", "present", "expected"),
    [
        (0, 0, False),
        (9_999, 0, False),
        (10_000, 0, True),
        (10_000, 1_000_000, False),
        (1_000_000, 5_000_000, True),
        (10_000, 319_999, True),
        (10_000, 320_000, False),
    ],
)
def test_it_pays_off_for_many_rows_into_not_many_more(incoming: int, present: int, *, expected: bool) -> None:
    assert pays_off(incoming, present) is expected


@settings(deadline=None)
@given(incoming=st.integers(0, 10**7), present=st.integers(0, 10**9), more=st.integers(0, 10**6))
def test_more_rows_to_come_or_fewer_there_never_speak_against_it(incoming: int, present: int, more: int) -> None:
    if pays_off(incoming, present):
        assert pays_off(incoming + more, max(0, present - more))


def test_the_foreign_keys_of_the_fact_that_it_pays_for_go_and_come_back(warehouse: Warehouse) -> None:
    before = warehouse.ask(FOREIGN_KEYS)
    assert len(before) == sum(len(fact.foreign_key_constraints) for fact in FACTS.values()) == 24
    with warehouse.begin() as transaction:
        incoming = {"fact_payment": 10_000, "fact_sales_order": 9_999}
        assert drop_foreign_keys_where_it_pays(transaction, incoming) is Dropped.SOME
        transaction.commit()
    assert warehouse.ask(FOREIGN_KEYS) == [key for key in before if not key[0].endswith("fact_payment")]
    with warehouse.begin() as transaction:
        add_missing_foreign_keys(transaction)
        transaction.commit()
    assert warehouse.ask(FOREIGN_KEYS) == before
    assert all(validated for *_, validated in before)


def test_foreign_keys_that_are_not_worth_it_stay(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction:
        assert drop_foreign_keys_where_it_pays(transaction, {"fact_payment": 9_999}) is Dropped.NONE
        assert drop_foreign_keys_where_it_pays(transaction, {}) is Dropped.NONE
        transaction.commit()
    assert len(warehouse.ask(FOREIGN_KEYS)) == 24


def test_a_second_drop_finds_nothing_left_to_drop(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction:
        assert drop_foreign_keys_where_it_pays(transaction, {"fact_payment": 10_000}) is Dropped.SOME
        assert drop_foreign_keys_where_it_pays(transaction, {"fact_payment": 10_000}) is Dropped.NONE


@pytest.mark.parametrize("warehouse", ["public"], indirect=True)
def test_while_somebody_reads_nothing_is_dropped_and_others_can_read_on(warehouse: Warehouse) -> None:
    with warehouse.connect() as reader:
        reader.execute("select from fact_payment")
        with warehouse.begin() as transaction:
            assert drop_foreign_keys_where_it_pays(transaction, {"fact_payment": 10_000}) is Dropped.BUSY
        assert warehouse.ask("select count(*) from fact_payment") == [(0,)]
    assert len(warehouse.ask(FOREIGN_KEYS)) == 24


def test_the_next_statement_is_not_hurried(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction:
        drop_foreign_keys_where_it_pays(transaction, {"fact_payment": 9_999})
        assert transaction.fetch("select current_setting('lock_timeout')") == (LONG_WAIT,)


def test_what_breaks_a_reference_is_refused_when_the_keys_come_back(warehouse: Warehouse) -> None:
    with warehouse.begin() as transaction:
        drop_foreign_keys_where_it_pays(transaction, {"fact_payment": 10_000})
        transaction.commit()
    warehouse.run(
        "insert into fact_payment values (1, 1, '2023-01-01', '00:00', '2023-01-01', '00:00', 404, 1, 1, 1, 1, true, "
        "'2023-01-01', false, 1)"
    )
    with (
        pytest.raises(DatabaseError, match="violates foreign key constraint"),
        warehouse.begin() as transaction,
    ):
        add_missing_foreign_keys(transaction)
