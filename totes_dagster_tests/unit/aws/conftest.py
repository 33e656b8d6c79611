"""A standard output to look into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster.aws import metrics
from totes_dagster.config.settings import METRICS_NAMESPACE
from totes_dagster_tests.printed import NAMESPACE, Printed, printed_to


@pytest.fixture(autouse=True)
def nothing_was_warned_of() -> None:
    """A process logs each reason once, and this one has many tests."""
    metrics._warn.cache_clear()


@pytest.fixture
def stdout(tmp_path: Path) -> Iterator[Printed]:
    """What this process takes for its standard output."""
    with printed_to(tmp_path / "stdout", asked=False) as printed:
        yield printed


@pytest.fixture
def printed(stdout: Printed, monkeypatch: pytest.MonkeyPatch) -> Printed:
    """The same, with metrics asked for."""
    monkeypatch.setenv(METRICS_NAMESPACE, NAMESPACE)
    return stdout
