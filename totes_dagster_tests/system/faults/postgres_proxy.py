"""A PostgreSQL server of bad luck: stands before a real one, and lets a chosen request go wrong in a chosen way.

It passes whole requests and their answers, one at a time for each connection, as PostgreSQL's own clients send them.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

import psycopg

from totes_dagster_tests.ports import free_port, release_port
from totes_dagster_tests.system.faults import wire
from totes_dagster_tests.system.faults.points import Fault, Journal
from totes_dagster_tests.system.faults.wire import Message

_REPORTS = {
    Fault.STATEMENT_TIMEOUT: "canceling statement due to statement timeout",
    Fault.DISK_FULL: "could not extend file: No space left on device",
    Fault.DEADLOCK: "deadlock detected",
}
_ANSWER_ENDS = (b"Z", b"G")  # ready for the next query, or for the rows of a COPY
_CHUNK = 2**16


class _GoneError(Exception):
    """One of the two sides has left."""


class PostgresProxy:
    """A port of this machine that behaves like a PostgreSQL server, but for the fault that waits in the journal.

    Args:
        server: what the journal calls it.
        url: libpq URI or connection string of the real database, on a Unix socket.
        journal: asked at every connection and every request.
    """

    def __init__(self, server: str, url: str, journal: Journal) -> None:
        self._server = server
        self._url = url
        self._journal = journal
        parameters = psycopg.conninfo.conninfo_to_dict(url)
        self._user, self._database = parameters["user"], str(parameters["dbname"])
        self._socket = f"{parameters['host']}/.s.PGSQL.{parameters['port']}"
        self._port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close_port()
        release_port(self._port)
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        """The libpq URI that leads through here."""
        return f"postgresql://{self._user}@127.0.0.1:{self._port}/{quote(self._database, safe='')}"

    def close_port(self) -> None:
        """Let nobody in any more, as when there is no server; who is in stays."""
        # Not only closed: the thread that accepts would keep it open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def open_port(self) -> None:
        """Let clients in again."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as requests, contextlib.suppress(_GoneError, OSError):
            startup = _startup(client, requests)
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server,
                contextlib.closing(_Session(client, server, self._url)) as session,
            ):
                fault = self._journal.reach(self._server, "connect")
                if fault is Fault.STARTING_UP:
                    client.sendall(wire.fatal(fault.value, "the database system is starting up").encode())
                    return
                self._happens_before(fault)
                # Connected to only now: a server that is restarted before has to be met after.
                server.connect(self._socket)
                self._pass(session, startup, fault)
                for group in session.groups(requests):
                    self._request(session, group)

    def _request(self, session: "_Session", group: list[Message]) -> None:
        request = session.statements.asked_by(group)
        fault = self._journal.reach(self._server, request)
        self._happens_before(fault)
        if fault is Fault.ADMIN_SHUTDOWN:
            session.be_terminated()
        elif fault in _REPORTS:
            report = _REPORTS[fault]
            session.fail(group, fault.value, report, ends_transaction=request.lower().startswith("commit"))
            return
        self._pass(session, b"".join(message.encode() for message in group), fault)

    def _happens_before(self, fault: Fault | None) -> None:
        if fault in {Fault.KILLED_BEFORE, Fault.INTERRUPTED_BEFORE}:
            self._journal.interrupt()
        if fault in {Fault.KILLED_BEFORE, Fault.CLOSED_BEFORE}:
            raise _GoneError

    def _pass(self, session: "_Session", request: bytes, fault: Fault | None) -> None:
        """Pass a request on, and its answer back, as far as the fault lets it come."""
        answer = session.ask(request)
        if fault in {Fault.KILLED_AFTER, Fault.CLOSED_AFTER, Fault.CLOSED_MIDWAY, Fault.INTERRUPTED_AFTER}:
            whole = b"".join(answer)
            if fault in {Fault.KILLED_AFTER, Fault.INTERRUPTED_AFTER}:
                self._journal.interrupt()
            if fault is Fault.CLOSED_MIDWAY:
                session.client.sendall(whole[: len(whole) // 2])
            if fault is not Fault.INTERRUPTED_AFTER:
                raise _GoneError
            answer = iter([whole])
        for chunk in answer:
            session.client.sendall(chunk)


class _Session:
    """One connection of a client, and the one to the server that is behind it."""

    def __init__(self, client: socket.socket, server: socket.socket, url: str) -> None:
        self.client = client
        self.statements = wire.Statements()
        self._server = server
        self._answers: BinaryIO = server.makefile("rb")
        self._url = url
        self._process = 0
        self._extended_copy = False

    def close(self) -> None:
        self._answers.close()

    def groups(self, requests: BinaryIO) -> Iterator[list[Message]]:
        """The client's messages, in groups that the server answers; rows of a COPY go to the server by themselves."""
        group: list[Message] = []
        while message := wire.read_message(requests):
            if message.kind == b"d":
                self._server.sendall(message.encode())
                continue
            if message.kind == b"X":
                self._server.sendall(message.encode())
                return
            group.append(message)
            if message.kind in {b"Q", b"S"} or (message.kind in {b"c", b"f"} and not self._extended_copy):
                # The rows of a COPY end with a Sync of their own where the COPY was prepared.
                self._extended_copy = message.kind == b"S"
                yield group
                group = []

    def ask(self, request: bytes) -> Iterator[bytes]:
        """Let the server answer, in chunks; what it says on its way down also counts."""
        with contextlib.suppress(BrokenPipeError):
            self._server.sendall(request)
        chunk = b""
        while message := wire.read_message(self._answers):
            if message.kind == b"K":
                self._process = int.from_bytes(message.body[:4])
            chunk += message.encode()
            if message.kind in _ANSWER_ENDS or len(chunk) > _CHUNK:
                yield chunk
                chunk = b""
            if message.kind in _ANSWER_ENDS:
                return
        yield chunk
        raise _GoneError

    def fail(self, group: list[Message], sqlstate: str, report: str, *, ends_transaction: bool) -> None:
        """Let the server fail of something else in the request's place, so that it is truly in the state it reports."""
        if group[0].kind == b"c":
            failing = b"".join(message.encode() for message in [Message(b"f", b"No rows any more.\0"), *group[1:]])
        else:
            failing = wire.query("do $$ begin raise 'A fault was asked for.'; end $$").encode()
        *errors, ready = self._messages(failing)
        if ends_transaction:
            # A commit that fails leaves no transaction behind.
            *_, ready = self._messages(wire.query("rollback").encode())
        for message in (*errors, ready):
            answer = wire.reported_as(message, sqlstate, report) if message.kind == b"E" else message
            self.client.sendall(answer.encode())

    def be_terminated(self) -> None:
        """Have the server's process of this connection ended by the administrator."""
        with psycopg.connect(self._url, autocommit=True) as administrator:
            assert administrator.execute("select pg_terminate_backend(%s, 10000)", [self._process]).fetchone() == (
                True,
            )

    def _messages(self, request: bytes) -> list[Message]:
        self._server.sendall(request)
        found = []
        while message := wire.read_message(self._answers):
            found.append(message)
            if message.kind == b"Z":
                return found
        raise _GoneError


def _startup(client: socket.socket, requests: BinaryIO) -> bytes:
    while packet := wire.read_startup(requests):
        code, whole = packet
        if code not in {wire.SSL_REQUEST, wire.GSS_REQUEST}:
            return whole
        client.sendall(b"N")  # neither encryption is offered
    raise _GoneError
