"""An S3 server of bad luck: stands before a real one, and lets a chosen request go wrong in a chosen way.

It passes bytes, one request after the other, and knows of HTTP only where a request and its answer end.
"""

import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from io import BufferedRWPair
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from totes_dagster_tests.system.faults.points import Fault, Journal

_ERRORS = {
    Fault.INTERNAL_ERROR: "500 InternalError",
    Fault.SLOW_DOWN: "503 SlowDown",
    Fault.SLOW_DOWN_FOR_GOOD: "503 SlowDown",
}
_MADE_UP = re.compile(r"\b[0-9a-f]{12,}\b")
"""Parts of an ingest have names that are different each time."""


class S3Proxy:
    """A port of this machine that behaves like an S3 server, but for the fault that waits in the journal.

    Args:
        endpoint: URL of the real server.
        journal: asked at every request.
    """

    def __init__(self, endpoint: str, journal: Journal) -> None:
        behind = urlsplit(endpoint)
        assert behind.hostname
        assert behind.port
        self._behind = (behind.hostname, behind.port)
        self._journal = journal
        self._server = _Server(0, self._serve)
        self._port = int(self._server.server_address[1])
        self._clients: set[socket.socket] = set()

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.go_down()

    def go_down(self) -> None:
        """Break all connections off, and let nobody in any more, as when there is no server."""
        self._server.shutdown()
        self._server.server_close()
        for client in tuple(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Let clients in again."""
        self._server = _Server(self._port, self._serve)
        self.__enter__()

    @property
    def url(self) -> str:
        """The endpoint that leads through here."""
        return f"http://127.0.0.1:{self._port}"

    def _serve(self, client: BufferedRWPair, connection: socket.socket) -> None:
        self._clients.add(connection)
        try:
            with socket.create_connection(self._behind) as server, server.makefile("rwb") as behind:
                while (request := _read(client)) and self._pass(request, client, connection, behind):
                    pass
        finally:
            self._clients.remove(connection)

    def _pass(self, request: bytes, client: BufferedRWPair, connection: socket.socket, behind: BufferedRWPair) -> bool:
        """Pass a request on, and its answer back, as far as the fault lets it come; whether the connection lives on."""
        method, target, _ = request.split(b" ", 2)
        fault = self._journal.reach("lake", request_of(method.decode(), target.decode()))
        if fault in {Fault.KILLED_BEFORE, Fault.INTERRUPTED_BEFORE}:
            self._journal.interrupt()
        if fault in {Fault.KILLED_BEFORE, Fault.CLOSED_BEFORE}:
            return False
        if fault is Fault.RESET:
            # Closing a connection that must not linger resets it.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if fault in _ERRORS:
            answer = _refusal(_ERRORS[fault], with_body=method != b"HEAD")
        else:
            behind.write(request)
            behind.flush()
            answer = _read(behind, with_body=method != b"HEAD")
        if fault in {Fault.KILLED_AFTER, Fault.INTERRUPTED_AFTER}:
            self._journal.interrupt()
        if fault in {Fault.KILLED_AFTER, Fault.CLOSED_AFTER}:
            return False
        if fault is Fault.UNANSWERED:
            client.read()  # until the client gives up
            return False
        client.write(answer[:-1] if fault is Fault.CLOSED_MIDWAY else answer)
        client.flush()
        return fault is not Fault.CLOSED_MIDWAY


def request_of(method: str, target: str) -> str:
    """What the journal calls a request: its method and what it is about, without bucket and the lake's folder there."""
    parts = urlsplit(target)
    _, _, key = unquote(parts.path).strip("/").partition("/")
    if not key:
        method, key = "LIST", parse_qs(parts.query).get("prefix", [""])[0]
    return f"{method} {_MADE_UP.sub('<name>', key.partition('/')[2])}"


def _read(stream: BufferedRWPair, *, with_body: bool = True) -> bytes:
    """A whole request or answer; empty where the other side is gone."""
    head, length = b"", 0
    while line := stream.readline():
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        assert name.lower() != b"transfer-encoding", "Only bodies of a known length are expected."
        if line == b"\r\n":
            return head + stream.read(length) if with_body else head
    return b""


def _refusal(error: str, *, with_body: bool) -> bytes:
    status, code = error.split()
    body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body if with_body else head).encode()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 50

    def __init__(self, port: int, serve: Callable[[BufferedRWPair, socket.socket], None]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.serve = serve


class _Handler(BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError), self.request.makefile("rwb") as client:
            self.server.serve(client, self.request)
