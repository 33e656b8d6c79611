"""What may stand between a client and PostgreSQL, or in its place: a wire, plain or with TLS, and no server at all.

Threads, because psycopg blocks; each thread ends when its connection does.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

Serve = Callable[[socket.socket], None]

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Listener:
    """A port of this machine at which connections are served."""

    port: int
    connections: list[socket.socket]

    def cut(self) -> None:
        """Close all connections, without a word."""
        for connection in self.connections:
            _close(connection)


@contextmanager
def listening(serve: Serve) -> Iterator[Listener]:
    """Serve connections for as long as the block runs; then nobody listens there."""

    def accept() -> None:
        with suppress(OSError):  # when it is closed
            while True:
                connection, _ = server.accept()
                listener.connections.append(connection)
                threading.Thread(target=_serve, args=(serve, connection), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server.getsockname()[1], [])
        threading.Thread(target=accept, daemon=True).start()
        yield listener
        with suppress(OSError):  # wakes the thread that accepts, which closing does not
            server.shutdown(socket.SHUT_RDWR)
    listener.cut()


def silence(connection: socket.socket) -> None:
    """Take what comes, and never answer."""
    while connection.recv(4096):
        pass


def answer(reply: bytes) -> Serve:
    """A server that answers whatever comes first with this, and hangs up."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(reply)

    return serve


def fatal_error(sqlstate: str, message: str) -> bytes:
    """What PostgreSQL says to a client that it turns away."""
    fields = b"".join(
        kind + value.encode() + b"\0" for kind, value in ((b"S", "FATAL"), (b"C", sqlstate), (b"M", message))
    )
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


def wire_to(port: int) -> Serve:
    """A wire to another port of this machine."""

    def serve(connection: socket.socket) -> None:
        join(connection, socket.create_connection(("127.0.0.1", port)))

    return serve


def tls_to(port: int, certificate: ssl.SSLContext) -> Serve:
    """A wire to a PostgreSQL server that speaks TLS for it, as the server itself does: after asking, in plain."""

    def serve(connection: socket.socket) -> None:
        if connection.recv(len(_SSL_REQUEST)) == _SSL_REQUEST:
            connection.sendall(b"S")
            with suppress(OSError):  # the client does not like our certificate
                join(
                    certificate.wrap_socket(connection, server_side=True), socket.create_connection(("127.0.0.1", port))
                )

    return serve


def _serve(serve: Serve, connection: socket.socket) -> None:
    with suppress(OSError):
        serve(connection)
    _close(connection)


def join(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        _close(end)


def _close(connection: socket.socket) -> None:
    # The other thread that waits for this connection would not notice that it is closed.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
