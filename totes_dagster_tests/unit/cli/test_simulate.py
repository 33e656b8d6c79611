"""What `totes simulate` refuses."""

from click.testing import CliRunner

from totes_dagster.cli.commands import main


def test_a_harsh_life_of_no_rate_is_a_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["simulate", "--orders", "5", "--harsh"])
    assert result.exit_code == 2
    assert "Give --rate with --harsh" in result.output
