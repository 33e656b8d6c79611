"""Finds out why a run failed, in one line from its events, without secrets.

The platform's own errors contain no secrets, but the exceptions of libraries may, and an alert leaves the platform.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from dagster import DagsterEvent, DagsterEventType, DagsterInstance

from totes_dagster.config import settings
from totes_dagster.errors import one_line
from totes_dagster.orchestration.internals.records import SerializableErrorInfo

LONGEST = 1000
"""The most characters of a reason."""

_UNKNOWN = "The run gives no reason."
_FROM_OUTSIDE = "This run has been marked as failed from outside the execution context."

_DIED = re.compile(r"Run execution process for \S+ ((?:was terminated|unexpectedly exited)[^.]*\.)")
_WORKER_GONE = re.compile(r"Detected run worker status (.*?)(?: Run worker logs:.*)?$")
"""What Dagster writes when it finds a run without its process. The logs in it may be long, and contain anything."""

_NAMED_SECRET = re.compile(
    r"""((?:password|passwd|pwd|secret|token)\w*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&]+)""", re.I
)
"""A secret that follows its name, as in connection strings and printed dictionaries."""

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")


def why_failed(instance: DagsterInstance, run_id: str) -> tuple[str, str]:
    """The step that failed first in a run, empty if none did, and the reason."""
    of_type = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type) if entry.dagster_event]
    step = next((event for event in events if event.is_step_failure), None)
    if step:
        return step.step_key or "", reason_of(_step_reason(step))
    run = next((event for event in events if event.is_run_failure), None)
    return "", reason_of(_run_reason(run, instance, run_id) if run else _UNKNOWN)


def reason_of(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Reduce an error's text to one line of limited length, without the secrets that can be recognised in it."""
    for secret in sorted(set(_secrets(environment)), key=len, reverse=True):
        text = text.replace(secret, "***")
    # Cut first, because the pattern is slow on long texts. What is cut off here would be cut off below, too.
    line = _NAMED_SECRET.sub(r"\1***", one_line(" ".join(text.split())[: 4 * LONGEST]))
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _step_reason(event: DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _error_reason(data.error) if data.error else _UNKNOWN


def _run_reason(event: DagsterEvent, instance: DagsterInstance, run_id: str) -> str:
    # Dagster leaves these out of a run that is marked as failed from outside.
    data = event.job_failure_data if event.event_specific_data else None
    if data and data.error:
        return _error_reason(data.error)
    message = one_line(event.message or _UNKNOWN)
    gone = _WORKER_GONE.match(message)
    if gone:
        return f"Its process died: {gone[1]}"
    if message != _FROM_OUTSIDE:
        return message
    for entry in instance.all_logs(run_id, DagsterEventType.ENGINE_EVENT):
        died = _DIED.match(entry.dagster_event.message or "" if entry.dagster_event else "")
        if died:
            return f"Its process died: it {died[1]}"
    return message


def _error_reason(error: SerializableErrorInfo) -> str:
    """An exception's class and message; if Dagster wrapped it around another, the other's."""
    while error.cause and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    name = error.cls_name or ""
    # The message is as Python prints it, with the class's module in front.
    _, named, message = error.message.partition(name)
    return f"{name}{message}" if named else error.message


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """The secrets in the environment, as they are and as they are encoded in URLs."""
    for name in _SECRETS:
        if environment.get(name):
            yield environment[name]
    for name in (settings.TOTESYS_URL, settings.WAREHOUSE_URL):
        with suppress(ValueError):  # not a valid URL
            password = urlsplit(environment.get(name, "")).password or ""
            if password:
                yield from (password, unquote(password), quote(unquote(password)), quote(unquote(password), safe=""))
