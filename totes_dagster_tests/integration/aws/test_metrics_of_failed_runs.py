"""What the alerts sensor prints: each failed run counts once, however often it is seen."""

import pytest
from dagster import DagsterInstance

from totes_dagster.orchestration.resources.alerts import Alerts, Message
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.printed import Printed, values
from totes_dagster_tests.watcher import Watcher, fail, run


class Outage(Alerts):
    """A topic that takes nothing."""

    def publish(self, message: Message) -> None:
        raise ConnectionError("It takes nothing.")


def counted(watcher: Watcher, printed: Printed) -> tuple[list[float], list[float]]:
    """The failed runs and the open incidents that a tick counts."""
    watcher.tick()
    points = printed.points()
    return values(points, "FailedRuns"), values(points, "OpenIncidents")


def test_a_look_that_finds_nothing_says_so(watcher: Watcher, printed: Printed) -> None:
    assert counted(watcher, printed) == ([0], [0])
    run(watcher.instance)
    assert counted(watcher, printed) == ([0], [0])


def test_each_failed_run_counts_once_though_looks_overlap(watcher: Watcher, printed: Printed) -> None:
    fail(watcher.instance)
    assert counted(watcher, printed) == ([1], [1])
    assert counted(watcher, printed) == ([0], [1])
    fail(watcher.instance)
    fail(watcher.instance, "reconcile")
    fail(watcher.instance, "reconcile")
    assert counted(watcher, printed) == ([3], [2])
    run(watcher.instance)
    assert counted(watcher, printed) == ([0], [1])
    fail(watcher.instance)
    run(watcher.instance)
    # Also one whose job worked again before anybody looked.
    assert counted(watcher, printed) == ([1], [1])
    assert counted(watcher, printed) == ([0], [1])


def test_a_run_that_a_tick_has_found_which_failed_itself_counts_with_the_next(
    watcher: Watcher, mailbox: Mailbox, printed: Printed
) -> None:
    fail(watcher.instance)
    watcher.kind = Outage
    assert counted(watcher, printed) == ([1], [1])  # the alert waits, and the cursor has moved
    fail(watcher.instance)
    for _ in range(2):
        with pytest.raises(ConnectionError):  # nothing new to tell, so the cursor stays
            watcher.tick()
        points = printed.points()
        assert (values(points, "FailedRuns"), values(points, "OpenIncidents")) == ([], [1])
    watcher.kind = Alerts
    assert counted(watcher, printed) == ([1], [1])
    assert counted(watcher, printed) == ([0], [1])
    assert mailbox.told() == ["refresh open"]


@pytest.mark.parametrize("cursor", [None, "not a cursor"])
def test_a_look_that_knows_of_none_before_it_counts_no_run_perhaps_again(
    watcher: Watcher, printed: Printed, cursor: str | None
) -> None:
    fail(watcher.instance)
    assert counted(watcher, printed) == ([1], [1])
    watcher.cursor = cursor
    assert counted(watcher, printed) == ([0], [1])
    fail(watcher.instance)
    assert counted(watcher, printed) == ([1], [1])


def test_a_run_that_is_reported_to_fail_a_second_time_counts_once(watcher: Watcher, printed: Printed) -> None:
    failed = watcher.instance.get_run_by_id(fail(watcher.instance))
    assert failed is not None
    assert counted(watcher, printed) == ([1], [1])
    watcher.instance.report_run_failed(failed, "It was given up for dead, too.")
    assert counted(watcher, printed) == ([0], [1])


def test_the_sensor_prints_nothing_unless_asked_to(
    instance: DagsterInstance, mailbox: Mailbox, stdout: Printed
) -> None:
    fail(instance)
    Watcher(instance, mailbox.topic).tick()
    assert stdout.text() == ""
