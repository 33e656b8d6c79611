"""What somebody reads who is woken by an alert."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.orchestration.alerts.incidents import Alert, Incident, Kind
from totes_dagster.orchestration.alerts.wording import duration, message_of, moment, summary
from totes_dagster.orchestration.resources.alerts import SUBJECT_LIMIT

AT = datetime(2026, 11, 26, 2, 23, 11, tzinfo=UTC).timestamp()
UI = "https://dagster.example.com"

REFRESH = Incident(
    kind=Kind.RUN,
    subject="refresh",
    since=AT,
    run_id="a1b2c3",
    step="ingest",
    why="LoginRefusedError: Cannot connect to totesys: no password supplied. Check the user.",
)
STALE = Incident(
    kind=Kind.FRESHNESS, subject="warehouse", since=AT - 1800, failures=0, why="dim_date: last loaded at 01:53 UTC."
)
CHECK = Incident(
    kind=Kind.CHECK,
    subject="matches_source",
    since=AT,
    run_id="d4",
    failures=0,
    why="fact_payment: 2 of 9 rows differ.",
)


def test_a_failed_run_says_what_why_since_when_and_where_to_look() -> None:
    message = message_of(Alert(incident=REFRESH), UI)
    assert message.subject == (
        "totes: refresh failed: LoginRefusedError: Cannot connect to totesys: no password supplied. Check..."
    )
    assert message.text == (
        "Refresh failed.\n"
        "\n"
        "What:  the job refresh, at its step ingest\n"
        "Why:   LoginRefusedError: Cannot connect to totesys: no password supplied. Check the user.\n"
        "Since: 2026-11-26 02:23:11 UTC\n"
        "See:   https://dagster.example.com/runs/a1b2c3\n"
        "\n"
        "Nothing is lost: the next run that succeeds carries on where this one stopped. Further failures of "
        "refresh are not reported; its recovery is.\n"
    )
    assert message.attributes == {
        "kind": "run",
        "state": "open",
        "subject": "refresh",
        "incident": "run:refresh:a1b2c3",
    }


def test_a_recovery_says_how_long_it_took_and_how_often_it_failed() -> None:
    incident = REFRESH.model_copy(update={"failures": 3})
    message = message_of(Alert(incident=incident, recovered_at=AT + 1500, recovered_by="e5f6"), UI)
    assert message.subject == "totes: refresh works again after 25 minutes"
    assert message.text == (
        "Refresh works again.\n"
        "\n"
        "What:  the job refresh, at its step ingest\n"
        "Why:   LoginRefusedError: Cannot connect to totesys: no password supplied. Check the user.\n"
        "From:  2026-11-26 02:23:11 UTC; 3 runs failed\n"
        "Until: 2026-11-26 02:48:11 UTC, for 25 minutes\n"
        "See:   https://dagster.example.com/runs/a1b2c3\n"
        "       https://dagster.example.com/runs/e5f6, which succeeded\n"
        "\n"
        "There is nothing to do.\n"
    )
    assert message.attributes["state"] == "recovered"
    assert message.attributes["incident"] == "run:refresh:a1b2c3"


@pytest.mark.parametrize(
    ("incident", "recovered_at", "subject", "see"),
    [
        (STALE, None, "totes: the warehouse is not fresh: dim_date: last loaded at 01:53 UTC.", f"{UI}/automation"),
        (STALE, AT, "totes: the warehouse is fresh again after 30 minutes", f"{UI}/automation"),
        (CHECK, None, "totes: the check matches_source failed: fact_payment: 2 of 9 rows differ.", f"{UI}/runs/d4"),
        (CHECK, AT + 86400 * 3, "totes: the check matches_source passes again after 3 days", f"{UI}/runs/d4"),
        (
            REFRESH.model_copy(update={"step": "", "why": "It died."}),
            None,
            "totes: refresh failed: It died.",
            f"{UI}/runs/a1b2c3",
        ),
    ],
)
def test_every_kind_of_incident_has_its_words(
    incident: Incident, recovered_at: float | None, subject: str, see: str
) -> None:
    message = message_of(Alert(incident=incident, recovered_at=recovered_at), UI)
    assert message.subject == subject
    assert f"See:   {see}\n" in message.text
    assert f"Why:   {incident.why}\n" in message.text


@given(why=st.text(), subject=st.text(min_size=1))
def test_every_subject_is_one_that_sns_takes(why: str, subject: str) -> None:
    sent = message_of(Alert(incident=REFRESH.model_copy(update={"why": why, "subject": subject})), UI).subject
    assert 0 < len(sent) <= SUBJECT_LIMIT < 100
    assert sent.isascii()
    assert sent.isprintable()


def test_what_is_open_is_summed_up_in_one_line() -> None:
    assert summary((), AT) == "No open incidents."
    assert summary((REFRESH,), AT) == "1 incident open since 02:23 UTC: refresh (LoginRefusedError)."
    assert summary((REFRESH, STALE, CHECK), AT + 86400) == (
        "3 incidents open since 01:53 UTC on 26 November: refresh (LoginRefusedError), warehouse (dim_date), "
        "matches_source (fact_payment)."
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "120 minutes"),
        (7200, "2 hours"),
        (172800, "2 days"),
    ],
)
def test_durations_are_said_in_a_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_moments_of_another_day_have_their_date() -> None:
    assert moment(AT, AT) == "02:23 UTC"
    assert moment(AT, AT + 86400) == "02:23 UTC on 26 November"
