"""The sensor on a real instance and a real topic: what arrives when a job fails, and when it works again."""

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from totes_dagster.orchestration.alerts import incidents, observing
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.watcher import UI, Watcher, create, fail, run


def test_a_failed_run_is_told_of_once_and_its_recovery_once(watcher: Watcher, mailbox: Mailbox) -> None:
    first = fail(watcher.instance, why="LoginRefusedError: Check the user.")
    assert watcher.tick().startswith(
        "Published: refresh failed: LoginRefusedError: Check the user. 1 incident open since"
    )
    (opened,) = mailbox.arrived()
    assert opened.subject == "totes: refresh failed: LoginRefusedError: Check the user."
    for words in ("the job refresh, at its step work", "LoginRefusedError: Check the user.", f"{UI}/runs/{first}\n"):
        assert words in opened.text
    fail(watcher.instance)
    assert ": refresh (LoginRefusedError)." in watcher.tick()
    fail(watcher.instance)
    watcher.tick()
    assert mailbox.arrived() == []
    last = run(watcher.instance)
    assert watcher.tick().startswith("Published: refresh works again after")
    (recovered,) = mailbox.arrived()
    assert recovered.subject.startswith("totes: refresh works again after")
    for words in ("3 runs failed", "LoginRefusedError: Check the user.", f"{UI}/runs/{first}\n", f"{UI}/runs/{last}, "):
        assert words in recovered.text
    run(watcher.instance)
    assert watcher.tick() == "No open incidents."
    assert mailbox.arrived() == []
    fail(watcher.instance)
    watcher.tick()
    assert mailbox.told() == ["refresh open"]


def test_what_fails_and_recovers_between_two_looks_is_told_of_in_order(watcher: Watcher, mailbox: Mailbox) -> None:
    fail(watcher.instance)
    fail(watcher.instance, "reconcile")
    run(watcher.instance)
    fail(watcher.instance)
    watcher.tick()
    assert mailbox.told() == ["refresh open", "reconcile open", "refresh recovered", "refresh open"]


def test_runs_that_somebody_cancels_and_runs_in_progress_say_nothing(watcher: Watcher, mailbox: Mailbox) -> None:
    create(watcher.instance, DagsterRunStatus.CANCELED)
    create(watcher.instance, DagsterRunStatus.STARTED)
    assert watcher.tick() == "No open incidents."
    fail(watcher.instance)
    create(watcher.instance, DagsterRunStatus.CANCELED)
    watcher.tick()
    assert mailbox.told() == ["refresh open"]


def test_a_run_that_was_deleted_takes_nothing_with_it(watcher: Watcher, mailbox: Mailbox) -> None:
    watcher.instance.delete_run(fail(watcher.instance))
    assert watcher.tick() == "No open incidents."
    failed = fail(watcher.instance)
    watcher.tick()
    watcher.instance.delete_run(failed)
    watcher.tick()
    run(watcher.instance)
    watcher.tick()
    assert mailbox.told() == ["refresh open", "refresh recovered"]


def test_a_run_whose_process_is_gone_is_told_of(watcher: Watcher, mailbox: Mailbox) -> None:
    dead = watcher.instance.get_run_by_id(create(watcher.instance, DagsterRunStatus.STARTED))
    assert dead is not None
    watcher.instance.report_run_failed(dead, "Detected run worker status NOT_FOUND: 'None'. Marking run as failed.")
    watcher.tick()
    (opened,) = mailbox.arrived()
    assert opened.subject.startswith("totes: refresh failed: Its process died: NOT_FOUND")


def test_many_runs_at_once_are_all_seen(watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "RUNS_READ_FIRST", 1)
    fail(watcher.instance, "reconcile")
    for _ in range(3):
        fail(watcher.instance)
    for _ in range(3):
        run(watcher.instance)
    watcher.tick()
    assert mailbox.told() == ["reconcile open", "refresh open", "refresh recovered"]


def test_a_run_that_began_before_all_others_and_fails_after_them_is_seen(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = watcher.instance.get_run_by_id(create(watcher.instance, DagsterRunStatus.STARTED))
    assert slow is not None
    fail(watcher.instance, "reconcile")
    watcher.tick()
    monkeypatch.setattr(observing, "RUNS_READ_FIRST", 1)
    monkeypatch.setattr(incidents, "OVERLAP", 0.0)
    watcher.instance.report_run_failed(slow, "It took too long.")
    watcher.tick()
    assert mailbox.told() == ["reconcile open", "refresh open"]


def test_the_first_look_tells_of_what_is_broken_now_and_of_nothing_that_was(
    instance: DagsterInstance, mailbox: Mailbox
) -> None:
    fail(instance)
    run(instance)
    first = fail(instance, "reconcile")
    fail(instance, "reconcile")
    watcher = Watcher(instance, mailbox.topic)
    watcher.tick()
    (opened,) = mailbox.arrived()
    assert f"{UI}/runs/{first}\n" in opened.text
    assert "2 runs failed" in opened.text
    watcher.tick()
    assert mailbox.arrived() == []


@pytest.mark.parametrize("cursor", [None, "not a cursor", '{"version": 99}'])
def test_with_its_cursor_lost_it_starts_over_from_what_is_broken(
    watcher: Watcher, mailbox: Mailbox, cursor: str | None
) -> None:
    fail(watcher.instance)
    watcher.tick()
    fail(watcher.instance, "reconcile")
    run(watcher.instance, "reconcile")
    watcher.cursor = cursor
    watcher.tick()
    first, again = mailbox.arrived()
    # Subscribers can tell that it is the same.
    assert first.attributes == again.attributes
    run(watcher.instance)
    watcher.tick()
    assert mailbox.told() == ["refresh recovered"]
