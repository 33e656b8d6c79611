"""A standard output to look into, and the alerts sensor."""

from totes_dagster_tests.integration.orchestration.alerts.conftest import instance, mailbox, watcher
from totes_dagster_tests.unit.aws.conftest import nothing_was_warned_of, printed, stdout

__all__ = ["instance", "mailbox", "nothing_was_warned_of", "printed", "stdout", "watcher"]
