"""The made-up exchange rates are plausible, repeatable, and there on the same days as the real ones."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from totes_dagster.simulator.euro_rates import EuroRates, closing_days, easter_sunday, is_working_day, published_at


@pytest.mark.parametrize(
    "easter",
    [date(1999, 4, 4), date(2000, 4, 23), date(2008, 3, 23), date(2024, 3, 31), date(2026, 4, 5), date(2038, 4, 25)],
)
def test_easter_is_when_it_was(easter: date) -> None:
    assert easter_sunday(easter.year) == easter


def test_the_closing_days_of_a_year() -> None:
    days = [(1, 1), (4, 3), (4, 6), (5, 1), (12, 25), (12, 26)]
    assert closing_days(2026) == {date(2026, month, day) for month, day in days}
    assert not is_working_day(date(2026, 4, 3))
    assert not is_working_day(date(2026, 4, 11))
    assert is_working_day(date(2026, 4, 10))


def test_rates_depend_on_the_seed_alone_and_not_on_what_was_asked_before() -> None:
    day, later = date(2025, 6, 2), date(2026, 6, 2)
    one, other = EuroRates(7), EuroRates(7)
    assert one.rate("USD", day) == (other.rate("USD", later), other.rate("GBP", day), other.rate("USD", day))[2]
    assert one.rate("USD", day) != EuroRates(8).rate("USD", day)


@pytest.mark.parametrize(("code", "level"), [("USD", "1.1"), ("GBP", "0.85")])
def test_rates_stay_near_their_level_and_change_a_little_each_day(code: str, level: str) -> None:
    rates = EuroRates()
    days = [date(2020, 1, 1) + timedelta(days=number) for number in range(2000)]
    walk = [rate for day in days if (rate := rates.rate(code, day)) is not None]
    assert len(walk) > 1350
    assert all(abs(rate / Decimal(level) - 1) < Decimal("0.3") for rate in walk)
    assert all(abs(after / before - 1) < Decimal("0.03") for before, after in pairwise(walk))
    assert len(set(walk)) > 100


def test_there_are_no_rates_before_the_euro_on_closing_days_or_of_unknown_currencies() -> None:
    rates = EuroRates()
    assert rates.rate("USD", date(1998, 12, 31)) is None
    assert rates.rate("USD", date(2026, 5, 1)) is None
    assert rates.rate("XXX", date(2026, 5, 4)) is None


def test_rates_are_published_in_the_afternoon_in_frankfurt() -> None:
    assert published_at(date(2026, 1, 5)) == datetime(2026, 1, 5, 15, tzinfo=UTC)
    assert published_at(date(2026, 7, 6)) == datetime(2026, 7, 6, 14, tzinfo=UTC)
