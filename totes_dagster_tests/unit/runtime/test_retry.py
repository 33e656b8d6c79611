"""Retries: what may pass is tried again, less and less often, and everything else fails at once."""

import logging
import threading
from collections.abc import Callable

import pytest

from totes_dagster.errors import DatabaseBusyError, DatabaseUnavailableError, LakeError, TotesError
from totes_dagster.runtime.retry import Backoff, retried

SOON = Backoff(first=0.001, longest=0.008, patience=5)


class Work:
    """Work that fails with these errors, one after another, and then succeeds."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.attempts = 0

    def __call__(self) -> str:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def waits(caplog: pytest.LogCaptureFixture) -> list[float]:
    """How long each wait was announced to be."""
    return [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]  # type: ignore[misc]


def test_what_ends_well_is_done_once(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    assert retried("Load", work) == "done"
    assert work.attempts == 1
    assert not caplog.records


def test_what_passes_is_done_in_the_end_and_told_in_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(DatabaseUnavailableError("the server is starting up"), DatabaseBusyError("deadlock detected"))
    assert retried("Load", work, SOON) == "done"
    assert work.attempts == 3
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("Load failed, trying again in 0.0 s. DatabaseUnavailableError: the server is starting up")
    assert second.endswith("DatabaseBusyError: deadlock detected")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize(
    "error", [LakeError("there is no such bucket"), ZeroDivisionError(), KeyboardInterrupt(), OSError("broken pipe")]
)
def test_what_lasts_fails_at_once(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    work = Work(error)
    with pytest.raises(type(error)) as raised:
        retried("Load", work, SOON)
    assert raised.value is error
    assert work.attempts == 1
    assert not caplog.records


def test_what_lasts_fails_at_once_also_after_what_passed() -> None:
    lasting = LakeError("there is no such bucket")
    work = Work(DatabaseBusyError("deadlock detected"), lasting)
    with pytest.raises(LakeError) as raised:
        retried("Load", work, SOON)
    assert raised.value is lasting
    assert work.attempts == 2


def test_what_does_not_pass_fails_of_its_own_error_in_the_end() -> None:
    failures = [DatabaseUnavailableError(f"attempt {number}") for number in range(1000)]
    work = Work(*failures)
    with pytest.raises(DatabaseUnavailableError) as raised:
        retried("Load", work, Backoff(first=0.01, longest=0.04, patience=0.2))
    assert raised.value is failures[work.attempts - 1]
    assert 3 <= work.attempts <= 12


def test_waits_grow_to_a_limit_and_never_come_in_step(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        retried("Load", Work(*[DatabaseBusyError("deadlock detected")] * 6), SOON)
    said = waits(caplog)
    assert len(set(said)) == len(said) == 12
    for wait, least in zip(said, [0.001, 0.002, 0.004, 0.008, 0.008, 0.008] * 2, strict=True):
        assert least <= wait <= least + 0.001


def test_work_that_went_on_for_long_is_tried_again_too() -> None:
    """Patience is with the failure, not with the work."""
    backoff = Backoff(first=0.001, longest=0.001, patience=0.05)
    attempts = []

    def work() -> int:
        attempts.append(threading.Event().wait(2 * backoff.patience))
        if len(attempts) == 1:
            raise DatabaseUnavailableError("the server broke off")
        return len(attempts)

    assert retried("Load", work, backoff) == 2


def test_what_hangs_again_and_again_is_given_up() -> None:
    backoff = Backoff(first=0.001, longest=0.001, patience=0.05)
    attempts = []

    def work() -> None:
        attempts.append(threading.Event().wait(2 * backoff.patience))
        raise DatabaseUnavailableError("no answer in time")

    with pytest.raises(DatabaseUnavailableError):
        retried("Load", work, backoff)
    assert len(attempts) == 2


def test_the_environment_may_forbid_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0")
    work = Work(DatabaseBusyError("deadlock detected"))
    with pytest.raises(DatabaseBusyError):
        retried("Load", work)
    assert work.attempts == 1


def test_the_environment_may_ask_for_less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTES_RETRY_SECONDS", "0.7")
    work = Work(*[DatabaseBusyError("deadlock detected")] * 100)
    with pytest.raises(DatabaseBusyError):
        retried("Load", work)
    assert work.attempts <= 2


def test_only_errors_that_say_so_are_transient() -> None:
    def of(kind: type[TotesError]) -> list[type[TotesError]]:
        return [kind, *(each for sub in kind.__subclasses__() for each in of(sub))]

    is_one: Callable[[type[TotesError]], bool] = lambda kind: kind.transient  # noqa: E731
    transient = {kind.__name__ for kind in of(TotesError) if is_one(kind)}
    assert transient >= {"DatabaseUnavailableError", "DatabaseBusyError", "LakeUnavailableError"}
    assert not transient & {
        "DatabaseError",
        "LakeError",
        "SettingsError",
        "PartError",
        "ManifestError",
        "DiskFullError",
    }


def test_no_wait_is_shorter_than_an_error_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(DatabaseUnavailableError("come back later", retry_after=0.05), DatabaseUnavailableError("no hurry"))
    assert retried("Load", work, SOON) == "done"
    first, second = waits(caplog)
    assert first == 0.05
    assert second < 0.05


def test_what_would_have_to_wait_for_longer_than_patience_fails_at_once() -> None:
    work = Work(DatabaseUnavailableError("come back tomorrow", retry_after=24 * 60 * 60))
    with pytest.raises(DatabaseUnavailableError):
        retried("Load", work, SOON)
    assert work.attempts == 1


def test_attempts_may_be_limited() -> None:
    work = Work(*[DatabaseBusyError("deadlock detected")] * 100)
    with pytest.raises(DatabaseBusyError):
        retried("Load", work, Backoff(first=0.001, longest=0.001, attempts=3))
    assert work.attempts == 3
