"""Pauses between changes."""

from random import Random

from totes_dagster.simulator.pauses import exponential_pauses


def test_pauses_have_the_mean_that_was_asked_for_and_follow_from_the_seed() -> None:
    pauses = exponential_pauses(5, Random(1))
    drawn = [next(pauses) for _ in range(2000)]
    assert 4.5 < sum(drawn) / len(drawn) < 5.5
    assert len(set(drawn)) == len(drawn)
    again = exponential_pauses(5, Random(1))
    assert drawn[:5] == [next(again) for _ in range(5)]
    assert next(exponential_pauses(0, Random(1))) == 0
