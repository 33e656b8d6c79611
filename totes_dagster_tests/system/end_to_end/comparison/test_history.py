"""The comparison finds versions that no load wrote, and misses those that one wrote and that are gone."""

from sqlalchemy import Table

from totes_dagster.schema.registry import FACTS
from totes_dagster.schema.star import natural_key_of, remodelled_columns
from totes_dagster_tests.system.end_to_end.comparison.comparing import (
    FACT,
    compared,
    copy_of,
    only,
    some_key,
    update_of,
    wrong,
)
from totes_dagster_tests.world import World

PAYMENT = FACTS["fact_payment"]


@FACT
def test_a_version_that_repeats_the_one_before_it_is_doubled(world: World, fact: Table) -> None:
    key = some_key(world, fact)
    name = natural_key_of(fact)
    brought_by = world.ask_one(f"select max(batch) from {fact.name} where {name} = %s", key)
    for batch in {brought_by, 1, 0}:
        differences = only(compared(world, copy_of(fact, key, **{name: key, "batch": batch})))
        assert differences.repeated == (key,)
        assert differences.count == 1
        assert differences.samples == (f"{name} {key}: a version repeats the one before it",)
        assert (differences.unaccounted, differences.repairable) == ((), ())


def test_a_deletion_that_is_said_twice_is_doubled(world: World) -> None:
    assert world.versions("fact_payment", 7) == ["live", "deleted"]
    columns = ", ".join(["is_deleted", "batch", *(column.name for column in remodelled_columns(PAYMENT))])
    twice = (
        f"insert into fact_payment ({columns}) select {columns} from fact_payment where payment_id = 7 and is_deleted"
    )
    assert only(compared(world, twice)).repeated == (7,)


def test_a_version_that_is_added_and_differs_is_not_doubled(world: World) -> None:
    twice = copy_of(PAYMENT, 9, payment_id=9, batch=1)
    back = update_of(PAYMENT, 9, PAYMENT.c.paid, "not paid")
    differences = compared(world, twice, back)["fact_payment"]
    assert (differences.different, differences.repeated) == ((9,), ())
    brought = _brought_by(world, 1)
    assert differences.unaccounted == (
        f"batch 1 brought {brought} versions of fact_payment, but {brought + 1} are there",
    )


def test_rows_that_were_adopted_with_the_warehouse_may_be_repeated(world: World) -> None:
    last = world.ask_one("select max(payment_record_id) from fact_payment where batch = 1")
    key = world.ask_one("select payment_id from fact_payment where payment_record_id = %s", last)
    adopted = (
        "update fact_payment set payment_record_id = payment_record_id + 1000 where batch > 1",
        "update fact_payment set batch = 0 where batch = 1",
        "update load_history set tables = jsonb_set(tables, '{fact_payment,new}', '0') where batch = 1",
        copy_of(PAYMENT, key, payment_id=key, payment_record_id=last + 1, batch=0),
    )
    assert world.versions("fact_payment", key) == ["live"]
    assert wrong(compared(world, *adopted)) == {}
    later = copy_of(PAYMENT, 9, payment_id=9, payment_record_id=5000, batch=0)
    assert only(compared(world, *adopted, later)).repeated == (9,)


def test_a_version_that_is_lost_is_unaccounted_for(world: World) -> None:
    found = compared(world, "delete from fact_payment where payment_id = 9 and batch = 1")
    assert wrong(found).keys() == {"fact_payment"}
    assert not found["fact_payment"]
    brought = _brought_by(world, 1)
    assert found["fact_payment"].unaccounted == (
        f"batch 1 brought {brought} versions of fact_payment, but {brought - 1} are there",
    )


def test_a_lost_version_does_not_hide_one_that_is_doubled_in_the_same_batch(world: World) -> None:
    lost, doubled = sorted(key for (key,) in world.ask("select payment_id from fact_payment where batch = 1"))[:2]
    differences = compared(
        world,
        f"delete from fact_payment where payment_id = {lost}",
        copy_of(PAYMENT, doubled, payment_id=doubled, batch=1),
    )["fact_payment"]
    assert differences.repeated == (doubled,)
    assert differences.missing == (lost,)
    brought = _brought_by(world, 1)
    assert differences.unaccounted == (
        f"batch 1 brought {brought} versions of fact_payment, but {brought - 1} are there",
    )


def test_a_version_of_a_batch_that_nobody_loaded_is_unaccounted_for(world: World) -> None:
    key = some_key(world, PAYMENT)
    found = compared(world, update_of(PAYMENT, key, PAYMENT.c.batch, "77"))
    assert "batch 77 was never loaded, but fact_payment has versions of it: 1" in (found["fact_payment"].unaccounted)
    assert len(found["fact_payment"].unaccounted) == 2


def test_a_history_that_is_lost_altogether_is_told_in_few_words(world: World) -> None:
    numbered = "update fact_payment set batch = 1000 + payment_record_id"
    lines = compared(world, numbered)["fact_payment"].unaccounted
    assert len(lines) == 21
    assert lines[-1].endswith("more batches have a wrong number of versions of fact_payment")


def _brought_by(world: World, batch: int) -> int:
    return int(world.ask_one("select tables -> 'fact_payment' ->> 'new' from load_history where batch = %s", batch))
