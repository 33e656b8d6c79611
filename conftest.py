"""What every run of tests begins with."""

import os
import signal

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow tests too, and try more of what is drawn")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out, unless all are asked for, or tests are named."""
    if config.getoption("--all") or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all"):
        os.environ.setdefault("TOTES_FAULTS", "many")
    # A shell that starts us in the background has SIGINT ignored. Children would inherit that, and Dagster, which takes
    # SIGTERM for SIGINT, could then be stopped by neither.
    signal.signal(signal.SIGINT, signal.default_int_handler)
