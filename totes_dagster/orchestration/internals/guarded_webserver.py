"""Dagster's webserver for use behind a load balancer: operators may do everything in it, and all others only look.

The load balancer logs users in at a Cognito user pool, but cannot tell one user from another. It passes on the access
token of each, in which the pool lists the user's groups. Whoever is in the operators' group is an operator. For all
others, a request is what it is for everybody with `dagster-webserver --read-only`.

The signature of the token is not verified, because the pool's keys are on the internet, which a webserver without a way
there cannot reach. Only the load balancer may be able to ask this webserver: see to it with a security group. A request
from the same host is an operator's: it comes by port forwarding, which AWS allows only to those who have the right to.

Tried with Dagster 1.13.27.
"""

import base64
import ipaddress
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import HTTPConnection

ACCESS_TOKEN = "x-amzn-oidc-accesstoken"  # the name of a header  # noqa: S105  # nosec B105
"""The header with the access token, which the load balancer adds once it knows who the user is."""


@dataclass(frozen=True)
class Operators:
    """Who may do everything.

    Attributes:
        group: the operators' group in the user pool.
        issuer: what the pool's tokens name as their issuer.
        client: id of the pool's client that the load balancer logs users in with.
    """

    group: str
    issuer: str
    client: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Operators":
        """As the environment names them.

        Raises:
            KeyError: it does not.
        """
        names = ("DAGSTER_OPERATORS_GROUP", "DAGSTER_OPERATORS_ISSUER", "DAGSTER_OPERATORS_CLIENT")
        return cls(*(environment[name] for name in names))

    def include(self, connection: HTTPConnection) -> bool:
        """Whether a request is an operator's."""
        if connection.client and _is_loopback(connection.client.host):
            return True
        tokens = connection.headers.getlist(ACCESS_TOKEN)
        # Two would mean that the client sent one itself.
        return len(tokens) == 1 and self.group in self._groups_in(tokens[0])

    def _groups_in(self, token: str) -> list[str]:
        claims = _claims(token)
        expected = {"token_use": "access", "iss": self.issuer, "client_id": self.client}  # nosec B105
        if any(claims.get(name) != value for name, value in expected.items()):
            return []
        groups = claims.get("cognito:groups")
        return groups if isinstance(groups, list) else []


def _claims(token: str) -> dict[str, Any]:
    """The claims of a JSON web token; none if it is not one."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's webserver, read-only but for operators."""

    def __init__(self, process_context: WorkspaceProcessContext, operators: Operators) -> None:
        super().__init__(process_context)
        self._context = process_context
        self._operators = operators

    def _make_request_context(self, conn: HTTPConnection) -> WorkspaceRequestContext:
        return WorkspaceRequestContext(
            instance=self._context.instance,
            current_workspace=self._context.get_current_workspace(),
            process_context=self._context,
            version=self._context.version,
            source=conn,
            read_only=not self._operators.include(conn),
        )


@click.command()
@click.option("--workspace", required=True, help="The workspace file.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=3000, show_default=True, type=int, help="The port to listen at.")
def main(*, workspace: str, host: str, port: int) -> None:
    """Run Dagster's webserver, in which only operators may change anything.

    DAGSTER_OPERATORS_GROUP, DAGSTER_OPERATORS_ISSUER and DAGSTER_OPERATORS_CLIENT say who they are: the group in the
    Cognito user pool, the issuer that the pool's tokens name, and the id of the load balancer's client.
    """
    try:
        operators = Operators.from_environment()
    except KeyError as missing:
        raise click.ClickException(f"{missing.args[0]} is not set, so nobody would be an operator.") from None
    # As Ctrl-C, which ends it with 0, as it does Dagster's own webserver: ECS takes anything else for a failure.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        with WorkspaceProcessContext(
            instance, WorkspaceFileTarget([workspace]), version=__version__
        ) as process_context:
            app = GuardedWebserver(process_context, operators).create_asgi_app()
            # A header must not decide which host a request comes from.
            uvicorn.run(app, host=host, port=port, log_level="warning", proxy_headers=False)
