"""What the simulator says of the life that it begins."""

import pytest

from totes_dagster.simulator.simulator import described


@pytest.mark.parametrize(
    ("rate", "harsh", "said"),
    [
        (0.1, False, "The simulator changes totesys every 10 seconds on average: everyday business."),
        (0.3, False, "The simulator changes totesys every 3.33 seconds on average: everyday business."),
        (20, True, "The simulator changes totesys 20 times per second on average: harsh business"),
    ],
)
def test_pace_and_kind_of_a_life_are_said(rate: float, harsh: bool, said: str) -> None:
    assert described(rate, harsh=harsh).startswith(said)
