"""Asks Dagster's webserver whether it could load the platform."""

import http.client
import json
from typing import Any

from totes_dagster.errors import one_line

HOST = "127.0.0.1"

_TIMEOUT = 5  # seconds; the question is repeated

_LOCATIONS = """
{
  workspaceOrError {
    ... on PythonError { message causes { message } }
    ... on Workspace {
      locationEntries {
        loadStatus
        locationOrLoadError { ... on PythonError { message causes { message } } }
      }
    }
  }
}
"""


def why_not_loaded(port: int) -> str | None:
    """Why a code location could not be loaded, in one line; empty if all are loaded, None if not known yet."""
    answer = _ask(port, _LOCATIONS)
    workspace = (answer or {}).get("data", {}).get("workspaceOrError")
    if not workspace:
        return None
    if "message" in workspace:
        return _reason(workspace)
    entries = workspace["locationEntries"]
    errors = [entry["locationOrLoadError"] for entry in entries if "message" in (entry["locationOrLoadError"] or {})]
    if errors:
        return _reason(errors[0])
    return "" if entries and all(entry["loadStatus"] == "LOADED" for entry in entries) else None


def _reason(error: dict[str, Any]) -> str:
    """The message of an error or, if other errors caused it, of the root cause."""
    messages = [error["message"], *(cause["message"] for cause in error["causes"])]
    return one_line(messages[-1])


def _ask(port: int, query: str) -> Any:
    """The webserver's answer to a GraphQL query; None if it does not answer, or refuses."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return json.load(response) if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
