"""A warehouse that is not fresh, and checks that find an error: told of while they are so."""

from datetime import timedelta

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetMaterialization,
    DagsterInstance,
    DagsterRunStatus,
)

from totes_dagster.orchestration.alerts import sensor
from totes_dagster.orchestration.alerts.incidents import Watch
from totes_dagster.orchestration.specs import key_of_loaded
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.integration.mailbox import Mailbox
from totes_dagster_tests.watcher import UI, Watcher, create, fail


def materialise(instance: DagsterInstance, *tables: str) -> None:
    for name in tables or STAR_TABLES:
        instance.report_runless_asset_event(AssetMaterialization(key_of_loaded(name)))


def evaluate(instance: DagsterInstance, table: str, *, passed: bool, severity: AssetCheckSeverity) -> None:
    evaluation = AssetCheckEvaluation(
        key_of_loaded(table), "matches_source", passed, {}, severity=severity, description="2 of 9 rows differed."
    )
    instance.report_runless_asset_event(evaluation)


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
        later.setattr(sensor, "FRESH_FOR", timedelta(0))
        watcher.tick()
        watcher.tick()
    run_failed, stale = mailbox.arrived()
    assert run_failed.attributes["kind"] == "run"
    assert stale.subject.startswith("totes: the warehouse is not fresh: dim_")
    assert f" and {len(STAR_TABLES) - 1} more tables: last loaded at " in stale.text
    assert "LoginRefusedError: Check the user." in stale.text
    assert f"{UI}/runs/{failed}\n" in stale.text
    assert (stale.attributes["kind"], stale.attributes["state"]) == ("freshness", "open")
    watcher.tick()
    assert mailbox.told() == ["warehouse recovered"]


def test_one_table_that_is_behind_the_others_is_enough(
    watcher: Watcher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialise(watcher.instance, *list(STAR_TABLES)[1:])
    first = next(iter(STAR_TABLES))
    watcher.tick()
    assert list(watcher.watch.missing) == [first]
    # As it is half an hour later, when the others were loaded once more.
    watcher.cursor = _half_an_hour_older(watcher.watch)
    watcher.tick()
    (stale,) = mailbox.arrived()
    assert (
        f"Why:   {first}: never loaded. There was no refresh: check that its sensor and its schedule are on.\n"
        in stale.text
    )
    assert f"{UI}/automation\n" in stale.text
    materialise(watcher.instance, first)
    watcher.tick()
    assert mailbox.told() == ["warehouse recovered"]


def _half_an_hour_older(watch: Watch) -> str:
    missing = {name: since - 1800 for name, since in watch.missing.items()}
    return watch.model_copy(update={"missing": missing}).model_dump_json()


def test_a_new_instance_has_half_an_hour_to_load_the_warehouse_and_then_it_is_told_of(
    watcher: Watcher, mailbox: Mailbox
) -> None:
    for _ in range(2):
        watcher.tick()
    assert mailbox.arrived() == []
    assert list(watcher.watch.missing) == list(STAR_TABLES)
    watcher.cursor = _half_an_hour_older(watcher.watch)
    watcher.tick()
    assert mailbox.told() == ["warehouse open"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (DagsterRunStatus.STARTED, "has not ended yet."),
        (DagsterRunStatus.SUCCESS, "check that its sensor, its schedule and the daemon are on."),
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
        == "totes: the check matches_source failed: dim_staff: 2 of 9 rows differed. 1 more table failed too."
    )
    assert broken.attributes["kind"] == "check"
    evaluate(watcher.instance, "dim_staff", passed=True, severity=AssetCheckSeverity.ERROR)
    watcher.tick()
    assert mailbox.arrived() == []
    # What was repaired is a warning, and no reason to wake anybody.
    evaluate(watcher.instance, "fact_payment", passed=False, severity=AssetCheckSeverity.WARN)
    watcher.tick()
    assert mailbox.told() == ["matches_source recovered"]
