"""Foreign keys step aside for bulk loads, and come back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import DatabaseError
from totes_dagster.postgres.lock_waits import LONG_WAIT
from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse.bulk_load import SetAside, pays_off, set_aside_where_it_pays
from totes_dagster_tests.unit.warehouses import NewWarehouse

DECLARED = sum(len(fact.foreign_key_constraints) for fact in FACTS.values())
"""How many foreign keys the facts have."""

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


@given(incoming=st.integers(0, 10**7), present=st.integers(0, 10**9), more=st.integers(0, 10**6))
def test_more_rows_to_come_or_fewer_there_never_speak_against_it(incoming: int, present: int, more: int) -> None:
    if pays_off(incoming, present):
        assert pays_off(incoming + more, max(0, present - more))


def test_the_foreign_keys_of_the_fact_that_it_pays_for_go_and_come_back(warehouse: NewWarehouse) -> None:
    before = warehouse.ask(FOREIGN_KEYS)
    assert len(before) == DECLARED
    with warehouse.begin() as transaction:
        incoming = {"fact_payment": 10_000, "fact_sales_order": 9_999}
        assert set_aside_where_it_pays(transaction, incoming) is SetAside.SOMETHING
        transaction.commit()
    assert warehouse.ask(FOREIGN_KEYS) == [key for key in before if not key[0].endswith("fact_payment")]
    warehouse.restore(FACTS["fact_payment"])
    assert warehouse.ask(FOREIGN_KEYS) == before
    assert all(validated for *_, validated in before)


def test_foreign_keys_that_are_not_worth_it_stay(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        assert set_aside_where_it_pays(transaction, {"fact_payment": 9_999}) is SetAside.NOTHING
        assert set_aside_where_it_pays(transaction, {}) is SetAside.NOTHING
        transaction.commit()
    assert len(warehouse.ask(FOREIGN_KEYS)) == DECLARED


def test_a_second_drop_finds_nothing_left_to_drop(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        assert set_aside_where_it_pays(transaction, {"fact_payment": 10_000}) is SetAside.SOMETHING
        assert set_aside_where_it_pays(transaction, {"fact_payment": 10_000}) is SetAside.NOTHING


@pytest.mark.parametrize("warehouse", ["public"], indirect=True)
def test_while_somebody_reads_nothing_is_dropped_and_others_can_read_on(warehouse: NewWarehouse) -> None:
    with warehouse.connect() as reader:
        reader.execute("select from fact_payment")
        with warehouse.begin() as transaction:
            assert set_aside_where_it_pays(transaction, {"fact_payment": 10_000}) is SetAside.BUSY
        assert warehouse.ask("select count(*) from fact_payment") == [(0,)]
    assert len(warehouse.ask(FOREIGN_KEYS)) == DECLARED


def test_the_next_statement_is_not_hurried(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        set_aside_where_it_pays(transaction, {"fact_payment": 9_999})
        assert transaction.fetch("select current_setting('lock_timeout')") == (LONG_WAIT,)


def test_what_breaks_a_reference_is_refused_when_the_keys_come_back(warehouse: NewWarehouse) -> None:
    with warehouse.begin() as transaction:
        set_aside_where_it_pays(transaction, {"fact_payment": 10_000})
        transaction.commit()
    warehouse.run(
        "insert into fact_payment values (1, 1, '2023-01-01', '00:00', '2023-01-01', '00:00', 404, 1, 1, 1, 1, true, "
        "'2023-01-01', false, 1)"
    )
    with pytest.raises(DatabaseError, match="violates foreign key constraint"):
        warehouse.restore(FACTS["fact_payment"])


EVERYTHING = """
    select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), convalidated,
           obj_description(oid, 'pg_constraint')
    from pg_constraint where conrelid <> 0 order by 1, 2
"""
"""Every constraint of every table, with all that can be said of it."""


def bulk_load_nothing(warehouse: NewWarehouse) -> int:
    """Drop the foreign keys of payments, and put them back; return how many were away."""
    count = "select count(*) from pg_constraint where contype = 'f'"
    ((before,),) = warehouse.ask(count)
    with warehouse.begin() as transaction:
        assert set_aside_where_it_pays(transaction, {"fact_payment": 10_000}) is SetAside.SOMETHING
        transaction.commit()
    ((left,),) = warehouse.ask(count)
    warehouse.restore(FACTS["fact_payment"])
    return before - left


def test_what_is_not_declared_survives_a_bulk_load(warehouse: NewWarehouse) -> None:
    warehouse.run(
        """
        create table customer (customer_id integer primary key);
        create table dispute (payment bigint references fact_payment, staff integer references dim_staff);
        alter table fact_payment add column customer integer references customer;
        alter table fact_payment add constraint known_customer foreign key (counterparty_id) references customer
            not valid;
        alter table fact_payment add constraint positive check (payment_amount > 0) not valid;
        create index amounts on fact_payment (payment_amount);
        comment on constraint known_customer on fact_payment is 'by finance';
        """
    )
    before = warehouse.ask(EVERYTHING)
    bulk_load_nothing(warehouse)
    assert warehouse.ask(EVERYTHING) == before


AGAIN = (
    "alter table fact_payment drop constraint fact_payment_currency_id_fkey, "
    "add foreign key (currency_id) references dim_currency"
)
ALTERED = {
    "renamed": "alter table fact_payment rename constraint fact_payment_currency_id_fkey to currency_is_known",
    "deferrable": "alter table fact_payment alter constraint fact_payment_currency_id_fkey deferrable",
    "explained": "comment on constraint fact_payment_currency_id_fkey on fact_payment is 'ISO 4217'",
    "cascading": f"{AGAIN} on update cascade",
    "not valid": f"{AGAIN} not valid",
}


@pytest.mark.parametrize("statement", ALTERED.values(), ids=ALTERED)
def test_a_foreign_key_that_its_owner_altered_stays_as_it_is(warehouse: NewWarehouse, statement: str) -> None:
    warehouse.run(statement)
    before = warehouse.ask(EVERYTHING)
    assert len([row for row in before if row[2].startswith("FOREIGN KEY")]) == DECLARED
    assert bulk_load_nothing(warehouse) == len(FACTS["fact_payment"].foreign_key_constraints) - 1
    assert warehouse.ask(EVERYTHING) == before


def test_a_declared_foreign_key_comes_back_where_others_refer_from_the_same_column(warehouse: NewWarehouse) -> None:
    warehouse.run(
        """
        create table customer (customer_id integer primary key);
        alter table fact_payment drop constraint fact_payment_counterparty_id_fkey;
        alter table fact_payment add constraint fact_payment_counterparty_id_fkey
            foreign key (counterparty_id) references customer;
        """
    )
    bulk_load_nothing(warehouse)
    references = (
        "select conname::text, confrelid::regclass::text from pg_constraint where contype = 'f' "
        "and conrelid = 'fact_payment'::regclass and pg_get_constraintdef(oid) ~ 'counterparty_id' order by 1"
    )
    (named_so, theirs), (numbered, ours) = warehouse.ask(references)
    assert (named_so, numbered) == ("fact_payment_counterparty_id_fkey", "fact_payment_counterparty_id_fkey1")
    assert (theirs.rpartition(".")[2], ours.rpartition(".")[2]) == ("customer", "dim_counterparty")
