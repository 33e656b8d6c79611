"""Where alerts arrive, and the runs that they are about."""

import itertools
from collections.abc import Iterator

import pytest
from dagster import DagsterInstance

from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.object_store import guarded
from totes_dagster_tests.tcp_postgres import server
from totes_dagster_tests.watcher import Watcher

__all__ = ["guarded", "server"]

_names = itertools.count(1)


@pytest.fixture
def mailbox(object_store: str, bucket: str) -> Mailbox:
    """A new topic, on the server that the environment points the AWS SDKs to."""
    return Mailbox(f"alerts-{next(_names)}", object_store)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def watcher(instance: DagsterInstance, mailbox: Mailbox) -> Watcher:
    """The sensor, which has looked once and found nothing."""
    watcher = Watcher(instance, mailbox.topic)
    assert watcher.tick() == "No open incidents."
    return watcher
