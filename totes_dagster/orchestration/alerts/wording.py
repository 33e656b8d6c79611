"""The texts of alerts: a subject that fits a small screen, and a message that says what to do."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from totes_dagster.orchestration.alerts.incidents import Alert, Incident, Kind
from totes_dagster.orchestration.resources.alerts import SUBJECT_LIMIT, Message

_FAILED = {
    Kind.RUN: "{subject} failed",
    Kind.FRESHNESS: "the {subject} is not fresh",
    Kind.CHECK: "the check {subject} failed",
}
_RECOVERED = {
    Kind.RUN: "{subject} works again",
    Kind.FRESHNESS: "the {subject} is fresh again",
    Kind.CHECK: "the check {subject} passes again",
}

_WHAT_NEXT = {
    Kind.RUN: "Nothing is lost: the next run that succeeds carries on where this one stopped. Further failures of "
    "{subject} are not reported; its recovery is.",
    Kind.FRESHNESS: "Analysts see consistent data, as of the time given above. The recovery will be reported.",
    Kind.CHECK: "The run shows what the check found, with a sample. The recovery will be reported.",
}


def message_of(alert: Alert, ui_url: str) -> Message:
    """The message to publish for an alert.

    Args:
        alert: what happened.
        ui_url: the address of Dagster's UI, for links.
    """
    incident = alert.incident
    if alert.recovered_at is None:
        text = _opened_text(incident, ui_url)
    else:
        text = _recovered_text(alert, alert.recovered_at, ui_url)
    return Message(
        subject=_sns_subject(f"totes: {headline(alert)}"),
        text=text,
        attributes={
            "kind": incident.kind.value,
            "state": alert.state,
            "subject": incident.subject,
            "incident": incident.name,
        },
    )


def headline(alert: Alert) -> str:
    """An alert in one line."""
    incident = alert.incident
    if alert.recovered_at is None:
        return f"{_phrase(incident, _FAILED)}: {incident.why}"
    return f"{_phrase(incident, _RECOVERED)} after {duration(alert.recovered_at - incident.since)}"


def summary(incidents: Sequence[Incident], at: float) -> str:
    """The incidents that are open, in one line; `at` is the current time."""
    if not incidents:
        return "No open incidents."
    since = min(incident.since for incident in incidents)
    listed = ", ".join(f"{incident.subject} ({incident.why.partition(':')[0].rstrip('.')})" for incident in incidents)
    return f"{len(incidents)} incident{'s' * (len(incidents) > 1)} open since {moment(since, at)}: {listed}."


def moment(then: float, at: float) -> str:
    """A time for readers: the time of day and, unless it is on the day of `at`, the date."""
    when = datetime.fromtimestamp(then, UTC)
    form = "%H:%M UTC" if when.date() == datetime.fromtimestamp(at, UTC).date() else "%H:%M UTC on %d %B"
    return f"{when:{form}}"


def duration(seconds: float) -> str:
    """A duration for readers, in a unit that suits its length."""
    for unit, length in (("days", 24 * 3600), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _opened_text(incident: Incident, ui_url: str) -> str:
    return "\n".join(
        (
            f"{_sentence(_phrase(incident, _FAILED))}",
            "",
            f"What:  {_what(incident)}",
            f"Why:   {incident.why}",
            f"Since: {_timestamp(incident.since)}{_failure_count(incident)}",
            f"See:   {_link(incident.run_id, ui_url)}",
            "",
            _WHAT_NEXT[incident.kind].format(subject=incident.subject),
            "",
        )
    )


def _recovered_text(alert: Alert, recovered_at: float, ui_url: str) -> str:
    incident = alert.incident
    return "\n".join(
        (
            f"{_sentence(_phrase(incident, _RECOVERED))}",
            "",
            f"What:  {_what(incident)}",
            f"Why:   {incident.why}",
            f"From:  {_timestamp(incident.since)}{_failure_count(incident)}",
            f"Until: {_timestamp(recovered_at)}, for {duration(recovered_at - incident.since)}",
            f"See:   {_link(incident.run_id, ui_url)}",
            *([f"       {_link(alert.recovered_by, ui_url)}, which succeeded"] if alert.recovered_by else []),
            "",
            "There is nothing to do.",
            "",
        )
    )


def _what(incident: Incident) -> str:
    if incident.kind is Kind.CHECK:
        return f"the asset check {incident.subject}"
    if incident.kind is Kind.FRESHNESS:
        return f"the {incident.subject}, which has not been loaded for too long"
    return f"the job {incident.subject}" + (f", at its step {incident.step}" if incident.step else "")


def _failure_count(incident: Incident) -> str:
    return f"; {incident.failures} runs failed" if incident.failures > 1 else ""


def _phrase(incident: Incident, templates: dict[Kind, str]) -> str:
    return templates[incident.kind].format(subject=incident.subject)


def _link(run_id: str, ui_url: str) -> str:
    return f"{ui_url}/runs/{run_id}" if run_id else f"{ui_url}/automation"


def _timestamp(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _sns_subject(subject: str) -> str:
    """A subject that SNS accepts: printable ASCII, and not too long."""
    plain = re.sub(r"[^ -~]", "?", subject)
    return plain if len(plain) <= SUBJECT_LIMIT else f"{plain[: SUBJECT_LIMIT - 3].rstrip()}..."
