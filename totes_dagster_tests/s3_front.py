"""An HTTP server in front of an S3 server: passes requests on, or does to them what S3 does and moto does not."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_OF_ONE_CONNECTION = {"connection", "transfer-encoding", "content-length", "server", "date"}


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What a client gets; where `lost`, the connection is closed instead, and where `never`, nothing ever comes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    never: bool = False


def refusal(status: int, code: str, message: str, more: str = "", **headers: str) -> Answer:
    """A refusal as S3 words it."""
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    declared = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode(), declared)


PassOn = Callable[[Request], Answer]
Decide = Callable[[Request, PassOn], Answer]


@contextmanager
def in_front_of(endpoint: str, decide: Decide) -> Iterator[str]:
    """Serve for as long as the block runs; the endpoint to ask, and what decides what becomes of each request."""
    target = urlsplit(endpoint).netloc
    over = threading.Event()
    connections: list[socket.socket] = []

    def pass_on(request: Request) -> Answer:
        connection = http.client.HTTPConnection(target, timeout=30)
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_ONE_CONNECTION}
            return Answer(answer.status, answer.read(), kept)
        finally:
            connection.close()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.append(self.connection)

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = decide(Request(self.command, self.path, dict(self.headers), body), pass_on)
            if answer.never:
                over.wait()
            if answer.never or answer.lost:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body if self.command != "HEAD" else b"")

        do_GET = do_HEAD = do_PUT = do_POST = respond  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
        for connection in connections:  # of clients that keep them for their next request
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
