"""The sensor on a real instance and a real topic: what arrives, once when something breaks and once when it is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetMaterialization,
    DagsterInstance,
    DagsterRunStatus,
)

from totes_dagster.alerts import incidents, observing, sensor
from totes_dagster.alerts.incidents import Watch
from totes_dagster.assets.specs import key_of_loaded
from totes_dagster.errors import AlertError, SettingsError, TopicMissingError
from totes_dagster.resources.alerts import Alerts, Message
from totes_dagster.schema.warehouse import TABLES
from totes_dagster_tests.alerts.mailbox import Mailbox
from totes_dagster_tests.alerts.watcher import UI, Watcher, create, fail, run
from totes_dagster_tests.errors.s3_front import Answer, PassOn, Request, in_front_of


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


def told(mailbox: Mailbox) -> list[str]:
    """What arrived, in short."""
    return [f"{arrived.attributes['subject']} {arrived.attributes['state']}" for arrived in mailbox.arrived()]


def materialise(instance: DagsterInstance, *tables: str) -> None:
    for name in tables or TABLES:
        instance.report_runless_asset_event(AssetMaterialization(key_of_loaded(name)))


def evaluate(instance: DagsterInstance, table: str, *, passed: bool, severity: AssetCheckSeverity) -> None:
    evaluation = AssetCheckEvaluation(
        key_of_loaded(table), "matches_source", passed, {}, severity=severity, description="2 of 9 rows differed."
    )
    instance.report_runless_asset_event(evaluation)


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
    assert told(mailbox) == ["refresh open"]


def test_what_fails_and_recovers_between_two_looks_is_told_of_in_order(watcher: Watcher, mailbox: Mailbox) -> None:
    fail(watcher.instance)
    fail(watcher.instance, "reconcile")
    run(watcher.instance)
    fail(watcher.instance)
    watcher.tick()
    assert told(mailbox) == ["refresh open", "reconcile open", "refresh recovered", "refresh open"]


def test_runs_that_somebody_cancels_and_runs_in_progress_say_nothing(watcher: Watcher, mailbox: Mailbox) -> None:
    create(watcher.instance, DagsterRunStatus.CANCELED)
    create(watcher.instance, DagsterRunStatus.STARTED)
    assert watcher.tick() == "No open incidents."
    fail(watcher.instance)
    create(watcher.instance, DagsterRunStatus.CANCELED)
    watcher.tick()
    assert told(mailbox) == ["refresh open"]


def test_a_run_that_was_deleted_takes_nothing_with_it(watcher: Watcher, mailbox: Mailbox) -> None:
    watcher.instance.delete_run(fail(watcher.instance))
    assert watcher.tick() == "No open incidents."
    failed = fail(watcher.instance)
    watcher.tick()
    watcher.instance.delete_run(failed)
    watcher.tick()
    run(watcher.instance)
    watcher.tick()
    assert told(mailbox) == ["refresh open", "refresh recovered"]


def test_a_run_whose_process_is_gone_is_told_of(watcher: Watcher, mailbox: Mailbox) -> None:
    dead = watcher.instance.get_run_by_id(create(watcher.instance, DagsterRunStatus.STARTED))
    assert dead is not None
    watcher.instance.report_run_failed(dead, "Detected run worker status NOT_FOUND: 'None'. Marking run as failed.")
    watcher.tick()
    (opened,) = mailbox.arrived()
    assert opened.subject.startswith("totes: refresh failed: Its process died: NOT_FOUND")


def test_many_runs_at_once_are_all_seen(watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "_AT_ONCE", 1)
    fail(watcher.instance, "reconcile")
    for _ in range(3):
        fail(watcher.instance)
    for _ in range(3):
        run(watcher.instance)
    watcher.tick()
    assert told(mailbox) == ["reconcile open", "refresh open", "refresh recovered"]


def test_a_run_that_began_before_all_others_and_fails_after_them_is_seen(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = watcher.instance.get_run_by_id(create(watcher.instance, DagsterRunStatus.STARTED))
    assert slow is not None
    fail(watcher.instance, "reconcile")
    watcher.tick()
    monkeypatch.setattr(observing, "_AT_ONCE", 1)
    monkeypatch.setattr(incidents, "OVERLAP", 0.0)
    watcher.instance.report_run_failed(slow, "It took too long.")
    watcher.tick()
    assert told(mailbox) == ["reconcile open", "refresh open"]


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
    assert told(mailbox) == ["refresh recovered"]


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
    assert told(mailbox) == ["refresh open", "refresh recovered", "reconcile open"]
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
        assert told(mailbox) == ["refresh open", "refresh recovered"]
        for _ in range(2):
            with pytest.raises(AlertError):
                watcher.tick()
    watcher.tick()
    watcher.tick()
    assert told(mailbox) == ["refresh open"]


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
    assert told(mailbox) == ["refresh open", "refresh recovered"]


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
    assert told(mailbox) == ["refresh open"]


def test_after_an_outage_no_evaluation_publishes_more_than_it_has_time_for(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensor, "_AT_ONCE", 2)
    for _ in range(2):
        fail(watcher.instance)
        run(watcher.instance)
    assert "2 alerts wait to be published." in watcher.tick()
    assert told(mailbox) == ["refresh open", "refresh recovered"]
    watcher.tick()
    assert told(mailbox) == ["refresh open", "refresh recovered"]
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
    assert told(mailbox) == ["refresh open"]


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


def test_a_warehouse_that_is_loaded_in_time_is_fresh(watcher: Watcher, mailbox: Mailbox) -> None:
    materialise(watcher.instance)
    assert watcher.tick() == "No open incidents."
    assert watcher.watch.missing == {}
    assert mailbox.arrived() == []


def test_a_warehouse_that_was_not_loaded_for_too_long_is_told_of_until_it_is(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialise(watcher.instance)
    failed = fail(watcher.instance, why="LoginRefusedError: Check the user.")
    with monkeypatch.context() as later:
        later.setattr(sensor, "_FRESH_FOR", timedelta(0))
        watcher.tick()
        watcher.tick()
    run_failed, stale = mailbox.arrived()
    assert run_failed.attributes["kind"] == "run"
    assert stale.subject.startswith("totes: the warehouse is not fresh: dim_")
    assert " and 10 more tables: loaded last at " in stale.text
    assert "LoginRefusedError: Check the user." in stale.text
    assert f"{UI}/runs/{failed}\n" in stale.text
    assert (stale.attributes["kind"], stale.attributes["state"]) == ("freshness", "open")
    watcher.tick()
    assert told(mailbox) == ["warehouse recovered"]


def test_one_table_that_is_behind_the_others_is_enough(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialise(watcher.instance, *list(TABLES)[1:])
    first = next(iter(TABLES))
    watcher.tick()
    assert list(watcher.watch.missing) == [first]
    # As it is half an hour later, when the others were loaded once more.
    watcher.cursor = _half_an_hour_older(watcher.watch)
    watcher.tick()
    (stale,) = mailbox.arrived()
    assert (
        f"Why:   {first}: loaded never. There was no refresh: see that its sensor and its schedule are on.\n"
        in stale.text
    )
    assert f"{UI}/automation\n" in stale.text
    materialise(watcher.instance, first)
    watcher.tick()
    assert told(mailbox) == ["warehouse recovered"]


def _half_an_hour_older(watch: Watch) -> str:
    missing = {name: since - 1800 for name, since in watch.missing.items()}
    return watch.model_copy(update={"missing": missing}).model_dump_json()


def test_a_new_instance_has_half_an_hour_to_load_the_warehouse_and_then_it_is_told_of(
    watcher: Watcher, mailbox: Mailbox
) -> None:
    for _ in range(2):
        watcher.tick()
    assert mailbox.arrived() == []
    assert list(watcher.watch.missing) == list(TABLES)
    watcher.cursor = _half_an_hour_older(watcher.watch)
    watcher.tick()
    assert told(mailbox) == ["warehouse open"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (DagsterRunStatus.STARTED, "has not ended yet."),
        (DagsterRunStatus.SUCCESS, "see that its sensor, its schedule and the daemon are on."),
    ],
)
def test_a_warehouse_that_is_not_fresh_without_a_failure_says_what_the_refresh_does(
    watcher: Watcher, mailbox: Mailbox, status: DagsterRunStatus, said: str
) -> None:
    create(watcher.instance, status)
    watcher.cursor = _half_an_hour_older(watcher.watch)
    watcher.tick()
    (stale,) = mailbox.arrived()
    assert said in stale.text


def test_a_check_that_finds_an_error_is_told_of_until_it_finds_none(watcher: Watcher, mailbox: Mailbox) -> None:
    materialise(watcher.instance)
    evaluate(watcher.instance, "fact_payment", passed=False, severity=AssetCheckSeverity.ERROR)
    evaluate(watcher.instance, "dim_staff", passed=False, severity=AssetCheckSeverity.ERROR)
    watcher.tick()
    (broken,) = mailbox.arrived()
    assert (
        broken.subject
        == "totes: the check matches_source failed: dim_staff: 2 of 9 rows differed. So did 1 more table."
    )
    assert broken.attributes["kind"] == "check"
    evaluate(watcher.instance, "dim_staff", passed=True, severity=AssetCheckSeverity.ERROR)
    watcher.tick()
    assert mailbox.arrived() == []
    # What was repaired is a warning, and no reason to wake anybody.
    evaluate(watcher.instance, "fact_payment", passed=False, severity=AssetCheckSeverity.WARN)
    watcher.tick()
    assert told(mailbox) == ["matches_source recovered"]
