"""Ranges of keys are descended into where they differ, and nowhere else."""

import pytest

from totes_dagster.reconcile import compare as comparison
from totes_dagster.schema.registry import FACTS
from totes_dagster_tests.system.end_to_end.comparison.comparing import (
    OUTERMOST_KEYS,
    RANGE,
    compared,
    keys_of,
    only,
    some_key,
    update_of,
    wrong,
)
from totes_dagster_tests.world import World

ORDER = FACTS["fact_sales_order"]
EDITED = "update fact_sales_order set units_sold = -1 where sales_order_id"


def test_equal_ranges_are_not_descended_into(world: World) -> None:
    found = compared(world)
    assert (found["fact_sales_order"].ranges, found["fact_sales_order"].ranges_descended) == (7, 0)
    assert (found["fact_payment"].ranges, found["fact_payment"].ranges_descended) == (1, 0)


def test_only_ranges_that_differ_are_descended_into(world: World) -> None:
    found = compared(world, f"{EDITED} = {RANGE}")
    assert only(found).different == (RANGE,)
    assert (only(found).ranges, only(found).ranges_descended) == (7, 1)
    lost = f"delete from fact_sales_order where sales_order_id = {5 * RANGE + 3}"
    found = compared(world, f"{EDITED} = {RANGE}", lost)
    assert (only(found).different, only(found).missing) == ((RANGE,), (5 * RANGE + 3,))
    assert only(found).ranges_descended == 2
    assert all(found[name].ranges_descended == 0 for name in FACTS if name != ORDER.name)


def test_keys_at_the_ends_of_ranges_are_compared(world: World) -> None:
    differences = only(compared(world, f"{EDITED} in {OUTERMOST_KEYS}"))
    assert differences.different == OUTERMOST_KEYS
    assert differences.ranges_descended == 6


def test_a_range_that_only_the_source_has_is_missing(world: World) -> None:
    lost = f"delete from fact_sales_order where sales_order_id between {5 * RANGE} and {6 * RANGE - 1}"
    differences = only(compared(world, lost))
    assert differences.missing == tuple(range(5 * RANGE, 5 * RANGE + 10))
    assert (differences.ranges, differences.ranges_descended) == (7, 1)


def test_a_range_that_only_the_warehouse_has_is_extra(world: World) -> None:
    key = some_key(world, ORDER)
    differences = only(compared(world, update_of(ORDER, key, ORDER.c.sales_order_id, str(4 * RANGE))))
    assert (differences.missing, differences.extra) == ((key,), (4 * RANGE,))
    assert differences.repairable == (key, 4 * RANGE)
    assert (differences.ranges, differences.ranges_descended) == (8, 2)


def test_much_that_differs_is_looked_at_piece_by_piece(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROWS_AT_ONCE", 2)
    found = compared(world, EDITED.removesuffix(" where sales_order_id"))
    assert list(only(found).different) == keys_of(world, ORDER)
    assert only(found).ranges_descended == 7
    assert wrong(compared(world)) == {}
