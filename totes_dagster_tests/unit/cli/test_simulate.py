"""What `totes simulate` says of the life that it begins."""

import pytest
from click.testing import CliRunner

from totes_dagster.cli.commands import main
from totes_dagster.simulator.simulator import described


@pytest.mark.parametrize(
    ("rate", "harsh", "said"),
    [
        (0.1, False, "The simulator changes totesys every 10 seconds on average: everyday business."),
        (0.3, False, "The simulator changes totesys every 3.33 seconds on average: everyday business."),
        (20, True, "The simulator changes totesys 20 times per second on average: a harsh life"),
    ],
)
def test_pace_and_kind_of_a_life_are_said(rate: float, harsh: bool, said: str) -> None:
    assert described(rate, harsh=harsh).startswith(said)


def test_a_harsh_life_of_no_rate_is_a_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["simulate", "--orders", "5", "--harsh"])
    assert result.exit_code == 2
    assert "Give --rate with --harsh" in result.output
