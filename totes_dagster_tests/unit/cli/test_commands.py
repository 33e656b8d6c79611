"""The command line as it is installed."""

import importlib.metadata

from totes_dagster.cli.commands import main


def test_totes_is_a_command() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="totes")
    assert script.load() is main
