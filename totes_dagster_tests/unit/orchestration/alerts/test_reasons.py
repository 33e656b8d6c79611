"""Why a run failed, in one line without secrets, whatever it failed of."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from dagster import DagsterInstance, DagsterRunStatus, Failure, job, op, resource
from dagster._utils import get_run_crash_explanation
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.orchestration.alerts.reasons import LONGEST, reason_of, why_failed
from totes_dagster_tests.watcher import create

PASSWORD = "p@ss/w0rd?&#%"
URL = f"postgresql://reader:{quote(PASSWORD, safe='')}@source.example.com/totesys"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def why(instance: DagsterInstance, work: Callable[[], object]) -> tuple[str, str]:
    """What is said of a run whose only step does this."""

    @op(name="ingest")
    def step() -> None:
        work()

    @job
    def refresh() -> None:
        step()

    return why_failed(instance, refresh.execute_in_process(instance=instance, raise_on_error=False).run_id)


def raised(error: BaseException, cause: BaseException | None = None) -> Callable[[], object]:
    def work() -> None:
        raise error from cause

    return work


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (raised(Failure("LoginRefusedError: Check the user.")), "LoginRefusedError: Check the user."),
        (raised(Failure()), "Failure: None."),
        (raised(Failure("two\n\n  lines")), "two lines."),
        (raised(KeyError("unit_price")), "KeyError: 'unit_price'."),
        (raised(ValueError()), "ValueError."),
        (raised(ValueError("outer"), cause=KeyError("inner")), "ValueError: outer."),
        (raised(ExceptionGroup("many", [KeyError("one")])), "ExceptionGroup: many (1 sub-exception)."),
        (raised(SystemExit(3)), "SystemExit: 3."),
        (raised(ValueError(f"cannot connect to {URL}")), "ValueError: cannot connect to postgresql://***@"),
        (raised(ValueError("user=me password='a b' host=x")), "ValueError: user=me password=*** host=x."),
        (raised(ValueError("\x1b[31mred\x1b[0m\0")), "ValueError: ?[31mred?[0m?."),
    ],
)
def test_a_step_is_told_with_what_it_raised(instance: DagsterInstance, work: Callable[[], object], said: str) -> None:
    step, reason = why(instance, work)
    assert step == "ingest"
    assert reason.startswith(said)
    assert said.endswith("@") or reason == said


def test_a_run_that_fails_before_any_step_is_told_with_what_was_raised(instance: DagsterInstance) -> None:
    @resource
    def broken() -> None:
        raise KeyError("TOTESYS_URL")

    @op(required_resource_keys={"totesys"})
    def ingest() -> None:
        pass

    @job(resource_defs={"totesys": broken})
    def refresh() -> None:
        ingest()

    run_id = refresh.execute_in_process(instance=instance, raise_on_error=False).run_id
    assert why_failed(instance, run_id) == ("", "KeyError: 'TOTESYS_URL'.")


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (-9, "Its process died: it was terminated by signal 9 (SIGKILL)."),
        (1, "Its process died: it unexpectedly exited with code 1."),
    ],
)
def test_a_run_whose_process_died_says_so(instance: DagsterInstance, exit_code: int, said: str) -> None:
    # As the code server does it that finds the process gone.
    run_id = create(instance, DagsterRunStatus.STARTED)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_engine_event("Started process for run.", run)
    instance.report_engine_event(get_run_crash_explanation(f"Run execution process for {run_id}", exit_code), run)
    instance.report_run_failed(run)
    assert why_failed(instance, run_id) == ("", said)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Exceeded maximum runtime of 3600 seconds.", "Exceeded maximum runtime of 3600 seconds."),
        (
            "Detected run worker status FAILED: 'Task arn:x failed.\nStop code: EssentialContainerExited.\n"
            f"Container 'run' failed - exit code 137.\nRun worker logs:\n{SECRET_KEY}'. Marking run x as failed.",
            "Its process died: FAILED: 'Task arn:x failed. Stop code: EssentialContainerExited. Container 'run' "
            "failed - exit code 137.",
        ),
        (None, "This run has been marked as failed from outside the execution context."),
    ],
)
def test_a_run_that_was_given_up_says_why(instance: DagsterInstance, message: str | None, said: str) -> None:
    run_id = create(instance, DagsterRunStatus.STARTED)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run, message)
    assert why_failed(instance, run_id) == ("", said)


def test_a_run_that_was_deleted_says_nothing_and_breaks_nothing(instance: DagsterInstance) -> None:
    assert why_failed(instance, "no-such-run") == ("", "The run gives no reason.")


@pytest.mark.parametrize("spelling", [PASSWORD, quote(PASSWORD), quote(PASSWORD, safe="")])
def test_secrets_of_the_environment_are_not_shown_however_they_come(spelling: str) -> None:
    environment = {"TOTESYS_URL": URL, "WAREHOUSE_URL": "postgresql://[", "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    assert reason_of(f"signed {SECRET_KEY} for {spelling}!", environment) == "signed *** for ***!"


@pytest.mark.parametrize(
    "text",
    [
        "{'password': 'hidden'}",
        "PGPASSWORD=hidden",
        'token: "hid hidden"',
        "https://me:hidden@example.com/",
        "secret=hidden",
    ],
)
def test_what_is_named_as_a_secret_is_not_shown(text: str) -> None:
    assert "hid" not in reason_of(text, {})
    assert "***" in reason_of(text, {})


def test_the_platforms_own_advice_is_left_as_it_is() -> None:
    advice = (
        'LoginRefusedError: Cannot connect to totesys: password authentication failed for user "reader". Check the '
        "user, the password and the database in TOTESYS_URL or in its secret."
    )
    assert reason_of(advice, {"TOTESYS_URL": URL}) == advice


@given(st.text())
def test_every_reason_is_one_printable_line_of_a_bounded_length(text: str) -> None:
    reason = reason_of(text, {})
    assert reason.isprintable()
    assert 0 < len(reason) <= LONGEST
    assert len(reason_of(text * LONGEST, {})) <= LONGEST
