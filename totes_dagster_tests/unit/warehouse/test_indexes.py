"""Primary keys and indexes of empty facts step aside for bulk loads, and come back as they were."""

from pathlib import Path

import psycopg
import pytest
from psycopg.errors import UniqueViolation

from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.schema.registry import FACTS
from totes_dagster.warehouse.bulk_load import SetAside, set_aside_where_it_pays
from totes_dagster.warehouse.load import load_batches
from totes_dagster_tests.unit.warehouses import NewWarehouse

PAYMENT = FACTS["fact_payment"]

INDEXES = """
    select relname::text, pg_get_indexdef(indexrelid), indisprimary, indisclustered, indisreplident, reloptions,
           obj_description(indexrelid, 'pg_class'), array(
               select pg_get_constraintdef(oid) from pg_constraint where conindid = indexrelid and contype = 'p')
    from pg_index join pg_class on pg_class.oid = indexrelid
    where indrelid = 'fact_payment'::regclass order by 1
"""
"""Every index of payments, with all that can be said of it."""

ROW = (
    "insert into fact_payment (payment_record_id, payment_id, created_date, created_time, last_updated_date, "
    "last_updated_time, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, "
    "payment_date, is_deleted, batch) values "
    "(1, 1, '2023-01-01', '00:00', '2023-01-01', '00:00', 1, 1, 1, 1, 1, true, '2023-01-01', false, 0)"
)


def names(warehouse: NewWarehouse) -> list[str]:
    return [name for name, *_ in warehouse.ask(INDEXES)]


def set_aside(warehouse: NewWarehouse) -> list[str]:
    """Set aside what a bulk load of payments sets aside; return the names of the indexes that are left."""
    with warehouse.begin() as transaction:
        assert set_aside_where_it_pays(transaction, {PAYMENT.name: 10_000}) is SetAside.SOMETHING
        transaction.commit()
    return names(warehouse)


def test_those_of_an_empty_fact_go_and_come_back(warehouse: NewWarehouse) -> None:
    before = warehouse.ask(INDEXES)
    assert [name for name, *_ in before] == ["fact_payment_newest_idx", "fact_payment_pkey"]
    assert set_aside(warehouse) == []
    warehouse.restore(PAYMENT)
    assert warehouse.ask(INDEXES) == before


def test_those_of_a_fact_with_rows_stay(warehouse: NewWarehouse) -> None:
    warehouse.run(f"set session_replication_role = replica; {ROW}")
    before = warehouse.ask(INDEXES)
    set_aside(warehouse)
    assert warehouse.ask(INDEXES) == before


PRIMARY_KEY_STAYS = {
    "referred to": "create table dispute (payment bigint references fact_payment)",
    "grouped by": (
        "create view paid as select payment_record_id, payment_amount, count(*) from fact_payment "
        "group by payment_record_id"
    ),
    "published": "create publication changes for table fact_payment",
    "replica identity": "alter table fact_payment replica identity using index fact_payment_pkey",
    "explained": "comment on constraint fact_payment_pkey on fact_payment is 'by finance'",
    "renamed": "alter table fact_payment rename constraint fact_payment_pkey to payments_are_unique",
    "deferrable": (
        "alter table fact_payment drop constraint fact_payment_pkey, "
        "add constraint fact_payment_pkey primary key (payment_record_id) deferrable"
    ),
    "with a fill factor": "alter index fact_payment_pkey set (fillfactor = 70)",
}

INDEX_STAYS = {
    "clustered": "alter table fact_payment cluster on fact_payment_newest_idx",
    "explained": "comment on index fact_payment_newest_idx is 'by finance'",
    "renamed": "alter index fact_payment_newest_idx rename to newest",
    "with a fill factor": "alter index fact_payment_newest_idx set (fillfactor = 70)",
    "partial": (
        "drop index fact_payment_newest_idx; create index fact_payment_newest_idx on fact_payment "
        "(payment_id, batch desc, payment_record_id desc) where not is_deleted"
    ),
}

BOTH_STAY = {
    "inherited": "create table old_payment () inherits (fact_payment)",
}


@pytest.mark.parametrize(
    ("statement", "staying"),
    [
        *((statement, 1) for statement in (*PRIMARY_KEY_STAYS.values(), *INDEX_STAYS.values())),
        *((statement, 2) for statement in BOTH_STAY.values()),
    ],
    ids=[
        *(f"primary key {how}" for how in PRIMARY_KEY_STAYS),
        *(f"index {how}" for how in INDEX_STAYS),
        *(f"fact {how}" for how in BOTH_STAY),
    ],
)
def test_what_others_altered_or_rely_on_stays(warehouse: NewWarehouse, statement: str, staying: int) -> None:
    warehouse.run(statement)
    before = warehouse.ask(INDEXES)
    assert len(set_aside(warehouse)) == staying
    warehouse.restore(PAYMENT)
    assert warehouse.ask(INDEXES) == before


def test_while_somebody_reads_the_primary_key_remains_a_unique_index_until_the_next_load(
    warehouse: NewWarehouse,
) -> None:
    before = warehouse.ask(INDEXES)
    set_aside(warehouse)
    with warehouse.connect() as reader:
        reader.execute("select from fact_payment")
        warehouse.restore(PAYMENT)
        assert names(warehouse) == [name for name, *_ in before]
    assert warehouse.ask("select count(*) from pg_constraint where conname = 'fact_payment_pkey'") == [(0,)]
    with pytest.raises(UniqueViolation), warehouse.connect() as writer:
        writer.execute(f"set session_replication_role = replica; {ROW}; {ROW}")
    warehouse.restore()
    assert warehouse.ask(INDEXES) == before


def test_a_name_that_others_have_taken_in_the_meantime_is_left_to_them(warehouse: NewWarehouse) -> None:
    set_aside(warehouse)
    warehouse.run("create view fact_payment_newest_idx as select 1 as one")
    warehouse.restore(PAYMENT)
    assert names(warehouse) == ["fact_payment_pkey"]
    assert warehouse.ask("select one from fact_payment_newest_idx") == [(1,)]


def test_an_owners_index_on_the_same_columns_serves(warehouse: NewWarehouse) -> None:
    warehouse.run("alter index fact_payment_newest_idx rename to newest")
    warehouse.restore(PAYMENT)
    assert names(warehouse) == ["fact_payment_pkey", "newest"]


def test_a_fact_whose_owner_wants_no_primary_key_gets_none(warehouse: NewWarehouse) -> None:
    warehouse.run(
        "alter table fact_payment drop constraint fact_payment_pkey; set session_replication_role = replica; "
        f"{ROW}; {ROW}"
    )
    warehouse.restore()
    assert names(warehouse) == ["fact_payment_newest_idx"]


def test_a_user_who_may_not_create_it_again_drops_nothing(warehouse: NewWarehouse) -> None:
    before = warehouse.ask(INDEXES)
    role = f"loader_{warehouse.database.name}_{abs(hash(warehouse.schema))}"
    schema = psycopg.sql.Identifier(warehouse.schema).as_string(None)
    warehouse.run(
        f"create role {role}; grant usage on schema {schema} to {role}; "
        f"grant select, insert, update, delete on all tables in schema {schema} to {role}; "
        f"alter table fact_payment owner to {role}"
    )
    with warehouse.begin() as transaction:
        transaction.execute(f"set local role {role}")
        assert set_aside_where_it_pays(transaction, {PAYMENT.name: 10_000}) is SetAside.SOMETHING
        transaction.commit()
    assert warehouse.ask(INDEXES) == before
    warehouse.run(f"reassign owned by {role} to current_user; drop owned by {role}; drop role {role}")


STATISTICS = "select reltuples::bigint from pg_class where oid = 'fact_payment'::regclass"


def test_a_fact_that_was_filled_has_statistics_and_others_are_left_alone(warehouse: NewWarehouse) -> None:
    warehouse.run(f"set session_replication_role = replica; {ROW}")
    warehouse.restore()
    assert warehouse.ask(STATISTICS) == [(-1,)]
    warehouse.restore(*FACTS.values())
    assert warehouse.ask(STATISTICS) == [(1,)]


def test_an_index_that_no_load_came_to_is_built_by_the_next_that_finds_nothing_to_load(
    warehouse: NewWarehouse, tmp_path: Path
) -> None:
    before = warehouse.ask(INDEXES)
    warehouse.run("drop index fact_payment_newest_idx")
    zones = [Zone((tmp_path / name).as_uri()) for name in ("ingestion", "processed")]
    assert list(load_batches(warehouse, Lake(*zones))) == []
    assert warehouse.ask(INDEXES) == before
