"""What every answer of the server is subject to: which requests are answered, and what browsers may do with a page."""

from collections.abc import Iterable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Pages load from this server only, and run no code that is written into a page or made of text."""

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""The names of this machine. A page of another site cannot use them: a browser would send that site's name, even if it
resolves to this machine."""


class Guard:
    """Refuses requests that are not for this server or would change something, and adds headers to all answers.

    Args:
        app: what answers the others.
        hosts: the host names that requests may be for, without a port.
        any_host: a path that is answered under any host name; load balancers check health under the server's address.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = LOCAL_HOSTS, any_host: str | None = None) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse(
                "This server only answers GET.\n", HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"}
            )
        host = Headers(scope=scope).get("host", "")
        if scope["path"] != self._any_host and _without_port(host).lower() not in self._hosts:
            return PlainTextResponse(
                "The request is for another host. Open the address that `totes dashboard` prints, or allow this host "
                "with --allow-host.\n",
                HTTPStatus.MISDIRECTED_REQUEST,
            )
        return None


def _without_port(host: str) -> str:
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return host[:end] if end > 0 else host
