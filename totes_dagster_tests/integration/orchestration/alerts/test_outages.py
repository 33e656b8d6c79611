"""Alerts that cannot be published: they come later, none is lost, and none that went out comes again."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dagster import DagsterInstance

from totes_dagster.errors import AlertError, SettingsError, TopicMissingError
from totes_dagster.orchestration.alerts import sensor
from totes_dagster.orchestration.resources.alerts import Alerts, Message
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.s3_front import Answer, PassOn, Request, in_front_of
from totes_dagster_tests.watcher import UI, Watcher, fail, run


@contextmanager
def outage(endpoint: str, monkeypatch: pytest.MonkeyPatch, after: int = 0, *, accepted: bool = False) -> Iterator[None]:
    """An SNS that takes some messages, and then none; if `accepted`, it is the answers that are lost."""
    published = 0

    def decide(request: Request, pass_on: PassOn) -> Answer:
        nonlocal published
        published += 1
        if published <= after:
            return pass_on(request)
        if accepted:
            pass_on(request)
        return Answer(lost=True)

    with monkeypatch.context() as patch, in_front_of(endpoint, decide) as front:
        patch.setenv("AWS_ENDPOINT_URL", front)
        yield


def test_an_outage_of_sns_delays_alerts_and_loses_and_doubles_none(
    watcher: Watcher, mailbox: Mailbox, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(watcher.instance)
    with outage(object_store, monkeypatch):
        said = watcher.tick()
        assert said.startswith("1 alert waits to be published. AlertError: Alerts cannot be published to arn:aws:sns:")
        with pytest.raises(AlertError, match="Alerts cannot be published"):
            watcher.tick()
        run(watcher.instance)
        fail(watcher.instance, "reconcile")
        assert watcher.tick().startswith("3 alerts wait to be published.")
        with pytest.raises(AlertError):
            watcher.tick()
    assert mailbox.arrived() == []
    watcher.tick()
    assert mailbox.told() == ["refresh open", "refresh recovered", "reconcile open"]
    assert watcher.tick().startswith("1 incident open since")
    assert mailbox.arrived() == []


def test_what_was_published_before_sns_went_away_is_not_published_again(
    watcher: Watcher, mailbox: Mailbox, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(watcher.instance)
    run(watcher.instance)
    fail(watcher.instance)
    with outage(object_store, monkeypatch, after=2):
        assert "1 alert waits to be published." in watcher.tick()
        assert mailbox.told() == ["refresh open", "refresh recovered"]
        for _ in range(2):
            with pytest.raises(AlertError):
                watcher.tick()
    watcher.tick()
    watcher.tick()
    assert mailbox.told() == ["refresh open"]


def test_what_waited_is_published_once_though_sns_comes_and_goes(
    watcher: Watcher, mailbox: Mailbox, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(watcher.instance)
    run(watcher.instance)
    with outage(object_store, monkeypatch):
        watcher.tick()
    with outage(object_store, monkeypatch, after=1):
        assert watcher.tick().startswith("Published: refresh failed: A reason. 1 alert waits to be published.")
    watcher.tick()
    assert mailbox.told() == ["refresh open", "refresh recovered"]


def test_what_sns_took_without_being_able_to_say_so_comes_again_as_the_same(
    watcher: Watcher, mailbox: Mailbox, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(watcher.instance)
    with outage(object_store, monkeypatch, accepted=True):
        watcher.tick()
    watcher.tick()
    first, *others = mailbox.arrived()
    assert others == [first] * len(others) != []


class Unforeseen(Alerts):
    """Alerts that break of what nobody thought of, when it comes to a recovery."""

    def publish(self, message: Message) -> None:
        if "works again" in message.subject:
            raise RuntimeError("unforeseen")
        super().publish(message)


def test_whatever_breaks_what_was_published_is_not_published_again_and_again(
    watcher: Watcher, mailbox: Mailbox
) -> None:
    watcher.kind = Unforeseen
    fail(watcher.instance)
    run(watcher.instance)
    assert watcher.tick().endswith("1 alert waits to be published. RuntimeError: unforeseen. No open incidents.")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="unforeseen"):
            watcher.tick()
    assert mailbox.told() == ["refresh open"]


def test_after_an_outage_no_evaluation_publishes_more_than_it_has_time_for(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensor, "ALERTS_PER_TICK", 2)
    for _ in range(2):
        fail(watcher.instance)
        run(watcher.instance)
    assert "2 alerts wait to be published." in watcher.tick()
    assert mailbox.told() == ["refresh open", "refresh recovered"]
    watcher.tick()
    assert mailbox.told() == ["refresh open", "refresh recovered"]
    assert watcher.tick() == "No open incidents."


def test_a_topic_that_is_gone_is_said_by_every_evaluation_that_has_something_to_tell(
    watcher: Watcher, mailbox: Mailbox
) -> None:
    watcher.topic = f"{mailbox.topic}-gone"
    assert watcher.tick() == "No open incidents."
    fail(watcher.instance)
    assert "TopicMissingError: Alerts cannot be published" in watcher.tick()
    with pytest.raises(TopicMissingError):
        watcher.tick()
    watcher.topic = mailbox.topic
    watcher.tick()
    assert mailbox.told() == ["refresh open"]


def test_settings_that_make_no_sense_are_said_before_there_is_anything_to_tell(instance: DagsterInstance) -> None:
    with pytest.raises(SettingsError, match="not the ARN of an SNS topic"):
        Watcher(instance, "alerts").tick()


def test_without_a_topic_everything_is_in_the_log(instance: DagsterInstance, caplog: pytest.LogCaptureFixture) -> None:
    watcher = Watcher(instance)
    watcher.tick()
    failed = fail(instance)
    watcher.tick()
    run(instance)
    watcher.tick()
    opened, recovered = [entry.getMessage() for entry in caplog.records if "resources.alerts" in entry.name]
    assert opened.startswith("totes: refresh failed: A reason.\n")
    assert f"{UI}/runs/{failed}" in opened
    assert recovered.startswith("totes: refresh works again after")
