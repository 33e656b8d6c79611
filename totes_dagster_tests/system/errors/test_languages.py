"""Servers that speak another language than English: what may pass is still told from what will not."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from totes_dagster.errors import (
    DatabaseMissingError,
    DatabaseUnavailableError,
    EncryptionError,
    LoginRefusedError,
    TotesError,
)
from totes_dagster.postgres.database import Database
from totes_dagster_tests.system.faults.wire import Message, read_message, reported_as
from totes_dagster_tests.tcp_postgres import TcpPostgres
from totes_dagster_tests.wires import Serve, listening

_SAID = re.compile(rb"(?:^|\0)C([0-9A-Z]{5})\0")


def translated(message: Message) -> Message:
    """An error in words that only its readers understand; a file's name stays what it is."""
    code = _SAID.search(message.body)
    assert code
    words = "etwas ist schiefgelaufen" + (" (pg_hba.conf-Eintrag)" if b"pg_hba.conf" in message.body else "")
    # The severity, too, is translated, but for the field that is meant for programs.
    error = reported_as(message, code[1].decode(), words)
    return Message(error.kind, re.sub(rb"(^|\0)S[A-Z]+\0", rb"\1SFEHLER\0", error.body))


def german(port: int) -> Serve:
    """A wire to a server, on which all that it reports is translated."""

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:

            def answers() -> None:
                stream = server.makefile("rb")
                while message := read_message(stream):
                    connection.sendall((translated(message) if message.kind == b"E" else message).encode())
                with suppress(OSError):  # the client may be gone
                    connection.shutdown(socket.SHUT_RDWR)

            thread = threading.Thread(target=answers, daemon=True)
            thread.start()
            while data := connection.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
            thread.join()

    return serve


@pytest.fixture
def port(server: TcpPostgres) -> Iterator[int]:
    with listening(german(server.port)) as wire:
        yield wire.port


def failure(url: str) -> TotesError:
    with pytest.raises(TotesError) as raised, Database("totesys", url).connect():
        pass
    assert "etwas ist schiefgelaufen" in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("user", "database", "kind"),
    [
        ("reader:wrong@", "postgres", LoginRefusedError),
        ("nobody@", "postgres", LoginRefusedError),
        ("retired@", "postgres", LoginRefusedError),
        ("visitor@", "no_such_database", DatabaseMissingError),
        ("unlisted@", "postgres", EncryptionError),
        ("limited@", "postgres", DatabaseUnavailableError),
    ],
)
def test_a_refusal_is_understood_in_every_language(port: int, user: str, database: str, kind: type[TotesError]) -> None:
    url = f"postgresql://{user}127.0.0.1:{port}/{database}?sslmode=disable"
    assert type(failure(url)) is kind
