"""What an alert says: a subject for a small screen, and a text for whoever is woken by it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from totes_dagster.orchestration.alerts.incidents import BY_HAND, Alert, Incident, Kind
from totes_dagster.orchestration.resources.alerts import SUBJECT_LIMIT, Message

_CALLED = {BY_HAND: "a materialisation by hand"}

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

_TO_DO = {
    Kind.RUN: "Nothing is lost: the next run that succeeds carries on where this one stopped. Further failures of "
    "{subject} are not reported; that it works again is.",
    Kind.FRESHNESS: "What analysts see is as old as said above, and consistent in itself. That it is fresh again will "
    "be reported.",
    Kind.CHECK: "What the check found is in the run, with a sample. That it passes again will be reported.",
}


def message_of(alert: Alert, ui_url: str) -> Message:
    """The message that tells of an alert.

    Args:
        alert: what happened.
        ui_url: the address of Dagster's UI, for links.
    """
    incident = alert.incident
    text = _opened(incident, ui_url) if alert.recovered_at is None else _recovered(alert, alert.recovered_at, ui_url)
    return Message(
        subject=_fitted(f"totes: {headline(alert)}"),
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
        return f"{_said(incident, _FAILED)}: {incident.why}"
    return f"{_said(incident, _RECOVERED)} after {duration(alert.recovered_at - incident.since)}"


def summary(incidents: Sequence[Incident], at: float) -> str:
    """The incidents that are open at a moment, in one line."""
    if not incidents:
        return "No open incidents."
    since = min(incident.since for incident in incidents)
    listed = ", ".join(f"{_called(incident)} ({incident.why.partition(':')[0].rstrip('.')})" for incident in incidents)
    return f"{len(incidents)} incident{'s' * (len(incidents) > 1)} open since {moment(since, at)}: {listed}."


def moment(then: float, at: float) -> str:
    """A moment for people: the time of day and, if it is another day's than that at which it is said, the date."""
    when = datetime.fromtimestamp(then, UTC)
    form = "%H:%M UTC" if when.date() == datetime.fromtimestamp(at, UTC).date() else "%H:%M UTC on %d %B"
    return f"{when:{form}}"


def duration(seconds: float) -> str:
    """How long something took, for people."""
    for unit, length in (("days", 24 * 3600), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _opened(incident: Incident, ui_url: str) -> str:
    return "\n".join(
        (
            f"{_sentence(_said(incident, _FAILED))}",
            "",
            f"What:  {_what(incident)}",
            f"Why:   {incident.why}",
            f"Since: {_stamp(incident.since)}{_times(incident)}",
            f"See:   {_link(incident.run_id, ui_url)}",
            "",
            _TO_DO[incident.kind].format(subject=_called(incident)),
            "",
        )
    )


def _recovered(alert: Alert, recovered_at: float, ui_url: str) -> str:
    incident = alert.incident
    return "\n".join(
        (
            f"{_sentence(_said(incident, _RECOVERED))}",
            "",
            f"What:  {_what(incident)}",
            f"Why:   {incident.why}",
            f"From:  {_stamp(incident.since)}{_times(incident)}",
            f"Until: {_stamp(recovered_at)}, for {duration(recovered_at - incident.since)}",
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
        return f"the {incident.subject}, which was not loaded for too long"
    called = _called(incident) if incident.subject in _CALLED else f"the job {incident.subject}"
    return f"{called}, at its step {incident.step}" if incident.step else called


def _times(incident: Incident) -> str:
    return f"; {incident.failures} runs failed" if incident.failures > 1 else ""


def _said(incident: Incident, words: dict[Kind, str]) -> str:
    return words[incident.kind].format(subject=_called(incident))


def _called(incident: Incident) -> str:
    return _CALLED.get(incident.subject, incident.subject)


def _link(run_id: str, ui_url: str) -> str:
    return f"{ui_url}/runs/{run_id}" if run_id else f"{ui_url}/automation"


def _stamp(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _fitted(subject: str) -> str:
    """A subject as SNS takes it: printable ASCII, and not too long."""
    plain = re.sub(r"[^ -~]", "?", subject)
    return plain if len(plain) <= SUBJECT_LIMIT else f"{plain[: SUBJECT_LIMIT - 3].rstrip()}..."
