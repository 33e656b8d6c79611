"""A standard output to look into, and graphs of assets to run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from totes_dagster.aws import metrics
from totes_dagster.config.settings import METRICS_NAMESPACE
from totes_dagster_tests.integration.conftest import enforced, graph
from totes_dagster_tests.integration.orchestration.alerts.conftest import instance, mailbox, watcher
from totes_dagster_tests.printed import NAMESPACE, Printed
from totes_dagster_tests.system.deploy.test_deployed_dagster import home, server
from totes_dagster_tests.system.end_to_end.conftest import bucket, object_store

__all__ = ["bucket", "enforced", "graph", "home", "instance", "mailbox", "object_store", "server", "watcher"]


@pytest.fixture(autouse=True)
def nothing_was_warned_of() -> None:
    """Each reason is told of once in a process, which here has many tests."""
    metrics._warn.cache_clear()


@pytest.fixture
def stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Printed]:
    """What this process takes for its standard output."""
    path = tmp_path / "stdout"
    with path.open("ab") as file:
        monkeypatch.setattr(metrics, "STDOUT", file.fileno())
        yield Printed(path)


@pytest.fixture
def printed(stdout: Printed, monkeypatch: pytest.MonkeyPatch) -> Printed:
    """The same, with metrics asked for."""
    monkeypatch.setenv(METRICS_NAMESPACE, NAMESPACE)
    return stdout
