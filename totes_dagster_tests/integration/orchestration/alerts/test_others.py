"""Runs that are not of the platform's jobs, on an instance that is shared with other code locations."""

from datetime import timedelta

import pytest
from dagster import DagsterInstance

from totes_dagster.orchestration.alerts import sensor
from totes_dagster.orchestration.alerts.incidents import Incident, Kind
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.watcher import OTHERS, UI, Watcher, fail, run


def fail_elsewhere(instance: DagsterInstance, name: str = "refresh") -> str:
    return run(instance, name, fails=True, jobs=OTHERS)


def test_failures_of_other_jobs_raise_no_alert_even_of_one_with_the_same_name(
    watcher: Watcher, mailbox: Mailbox
) -> None:
    fail_elsewhere(watcher.instance)
    fail_elsewhere(watcher.instance, "theirs")
    assert watcher.tick() == "No open incidents."
    assert mailbox.arrived() == []
    assert watcher.watch.seen == ()


def test_the_success_of_another_job_with_the_same_name_ends_no_incident(watcher: Watcher, mailbox: Mailbox) -> None:
    fail(watcher.instance)
    watcher.tick()
    fail_elsewhere(watcher.instance)
    run(watcher.instance, jobs=OTHERS)
    assert watcher.tick().startswith("1 incident open since ")
    (incident,) = watcher.watch.open
    assert incident.failures == 1
    run(watcher.instance)
    watcher.tick()
    assert mailbox.told() == ["refresh open", "refresh recovered"]


def test_a_prune_that_fails_is_one_of_the_platforms(watcher: Watcher, mailbox: Mailbox) -> None:
    fail(watcher.instance, "prune")
    watcher.tick()
    assert mailbox.told() == ["prune open"]


def test_a_warehouse_that_is_not_fresh_is_explained_by_the_platforms_own_refresh(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail(watcher.instance, why="LoginRefusedError: Check the user.")
    fail_elsewhere(watcher.instance)
    monkeypatch.setattr(sensor, "FRESH_FOR", timedelta(0))
    watcher.tick()
    (stale,) = [message for message in mailbox.arrived() if message.attributes["kind"] == "freshness"]
    assert "LoginRefusedError: Check the user." in stale.text
    assert f"{UI}/runs/{failed}\n" in stale.text


def test_incidents_of_other_jobs_that_an_earlier_version_opened_end_with_it(watcher: Watcher, mailbox: Mailbox) -> None:
    own = fail(watcher.instance)
    watcher.tick()
    others = [
        Incident(kind=Kind.RUN, subject=name, since=watcher.watch.read_until, run_id="1", why="A reason.")
        for name in ("__ASSET_JOB", "theirs")
    ]
    earlier = watcher.watch.model_copy(update={"open": (*watcher.watch.open, *others)})
    watcher.cursor = earlier.model_dump_json()
    assert watcher.tick().startswith("1 incident open since ")
    assert [incident.run_id for incident in watcher.watch.open] == [own]
    run(watcher.instance)
    assert watcher.tick().endswith("No open incidents.")
    assert mailbox.told() == ["refresh open", "refresh recovered"]
