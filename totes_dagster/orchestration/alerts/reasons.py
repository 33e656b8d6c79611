"""Why a run failed, in one line: what its events say, without the secrets that somebody else's exception may quote.

The platform's own errors show none. Others are written by whoever raises them, and an alert leaves the platform.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from dagster import DagsterEvent, DagsterEventType, DagsterInstance
from dagster_shared.error import SerializableErrorInfo

from totes_dagster.config import settings
from totes_dagster.errors import one_line

LONGEST = 1000
"""Characters of a reason."""

_UNKNOWN = "The run does not say why."
_FROM_OUTSIDE = "This run has been marked as failed from outside the execution context."

_DIED = re.compile(r"Run execution process for \S+ ((?:was terminated|unexpectedly exited)[^.]*\.)")
_WORKER_GONE = re.compile(r"Detected run worker status (.*?)(?: Run worker logs:.*)?$")
"""What is said by whoever finds a run without its process; the logs may be long, and hold anything."""

_GIVEN = re.compile(r"""((?:password|passwd|pwd|secret|token)\w*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&]+)""", re.I)
"""A secret that is given by its name, as in connection strings and in what is printed of dictionaries."""

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")


def why_failed(instance: DagsterInstance, run_id: str) -> tuple[str, str]:
    """The step that failed first in a run, empty if none did, and why."""
    of_type = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type) if entry.dagster_event]
    step = next((event for event in events if event.is_step_failure), None)
    if step:
        return step.step_key or "", reason_of(_of_step(step))
    run = next((event for event in events if event.is_run_failure), None)
    return "", reason_of(_of_run(run, instance, run_id) if run else _UNKNOWN)


def reason_of(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Somebody's words in one line that shows no secret, as far as that can be seen, and is not too long."""
    for secret in sorted(set(_secrets(environment)), key=len, reverse=True):
        text = text.replace(secret, "***")
    # The patterns take their time with texts of any length; what is cut off here would be cut off below.
    line = _GIVEN.sub(r"\1***", one_line(" ".join(text.split())[: 4 * LONGEST]))
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _of_step(event: DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _of_error(data.error) if data.error else _UNKNOWN


def _of_run(event: DagsterEvent, instance: DagsterInstance, run_id: str) -> str:
    # Dagster leaves these out where a run is marked as failed from outside.
    data = event.job_failure_data if event.event_specific_data else None
    if data and data.error:
        return _of_error(data.error)
    said = one_line(event.message or _UNKNOWN)
    gone = _WORKER_GONE.match(said)
    if gone:
        return f"Its process died: {gone[1]}"
    if said != _FROM_OUTSIDE:
        return said
    for entry in instance.all_logs(run_id, DagsterEventType.ENGINE_EVENT):
        died = _DIED.match(entry.dagster_event.message or "" if entry.dagster_event else "")
        if died:
            return f"Its process died: it {died[1]}"
    return said


def _of_error(error: SerializableErrorInfo) -> str:
    """An exception's class and message; of those that Dagster wraps around another, the other's."""
    while error.cause and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    name = error.cls_name or ""
    # The message is as Python prints it, with the class's module in front.
    _, named, message = error.message.partition(name)
    return f"{name}{message}" if named else error.message


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """The secrets of the environment, as they are and as URLs spell them."""
    for name in _SECRETS:
        if environment.get(name):
            yield environment[name]
    for name in (settings.TOTESYS_URL, settings.WAREHOUSE_URL):
        with suppress(ValueError):  # of a URL that is none
            password = urlsplit(environment.get(name, "")).password or ""
            if password:
                yield from (password, unquote(password), quote(unquote(password)), quote(unquote(password), safe=""))
