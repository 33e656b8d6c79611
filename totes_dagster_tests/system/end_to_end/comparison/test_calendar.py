"""The calendar is compared with the whole years from its own first to its own last."""

import pytest

from totes_dagster.schema.dimensions import dim_date
from totes_dagster_tests.system.end_to_end.comparison.comparing import compared, number_of, only, some_key, wrong
from totes_dagster_tests.world import World


def test_a_gap_is_found(world: World) -> None:
    day = some_key(world, dim_date)
    differences = only(compared(world, f"delete from dim_date where date_id = '{day}'"))
    assert differences.missing == (number_of(day),)
    assert differences.samples == (f"date_id {day}: not in the warehouse",)


@pytest.mark.parametrize("end", ["min", "max"])
def test_a_first_or_last_day_that_is_missing_is_found(world: World, end: str) -> None:
    day = world.ask_one(f"select {end}(date_id) from dim_date")
    assert only(compared(world, f"delete from dim_date where date_id = '{day}'")).missing == (number_of(day),)


def test_a_day_that_is_described_wrongly_is_found(world: World) -> None:
    day = some_key(world, dim_date)
    differences = only(compared(world, f"update dim_date set day_name = 'Doomsday' where date_id = '{day}'"))
    assert differences.different == (number_of(day),)
    assert differences.samples == (
        f"date_id {day}: day_name is 'Doomsday' in the warehouse, '{day:%A}' in the calendar",
    )


def test_many_centuries_are_compared(world: World) -> None:
    far = "insert into dim_date select '1700-03-01', 1700, 3, 1, 1, 'Monday', 'March', 1"
    first = world.ask_one("select min(date_id) from dim_date")
    differences = only(compared(world, far))
    days = world.ask_one("select %s::date - '1700-01-01'::date", first)
    assert len(differences.missing) == days - 1
    assert (differences.missing[0], differences.missing[-1]) == (17000101, (first.year - 1) * 10000 + 1231)
    assert 17000301 not in differences.missing


def test_a_calendar_without_a_day_lacks_those_that_the_facts_name(world: World) -> None:
    days = world.ask_one("select count(*) from dim_date")
    differences = only(compared(world, "delete from dim_date"))
    assert len(differences.missing) == days


@pytest.mark.parametrize("day", ["infinity", "0044-03-15 BC", "10000-01-01"])
def test_a_day_of_no_year_of_the_calendar_is_left_alone(world: World, day: str) -> None:
    assert wrong(compared(world, f"insert into dim_date select '{day}', 1, 1, 1, 1, '', '', 1")) == {}
