"""PostgreSQL's wire protocol, as much of it as a proxy must understand: messages, and the statements in them.

What is done with them is in `postgres_proxy.py`.
"""

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104

_CHANGING = (
    (re.compile(r"E?'\[\{.*\}\]'"), "'<files>'"),
    (re.compile(r"'[0-9A-F]{8}-[0-9A-F]{8}-\d+'"), "'<snapshot>'"),
    (re.compile(r"'totes_[0-9a-f]{12}'"), "'<slot>'"),
    (re.compile(r"'[0-9A-F]+/[0-9A-F]+'"), "'<position>'"),
    (re.compile(r"'\d+'::xid"), "'<xid>'::xid"),
    (re.compile(r"\b[0-9a-f]{12,}\b"), "<name>"),
    (re.compile(r"'\d{4}-\d\d-\d\dT[\d:.]+\+00:00'"), "'<moment>'"),
    (re.compile(r"'\{.*\}'"), "'<counts>'"),
)
"""What differs between two runs of the same statement."""

_FIRST_WORDS = 5


@dataclass(frozen=True)
class Message:
    """One message, of either side, after the startup."""

    kind: bytes
    body: bytes

    def encode(self) -> bytes:
        """As it goes over the wire."""
        return self.kind + struct.pack("!i", len(self.body) + 4) + self.body


def read_message(stream: BinaryIO) -> Message | None:
    """The next message; None where the other side is gone."""
    head = stream.read(5)
    if len(head) < 5:
        return None
    kind, length = struct.unpack("!ci", head)
    body = stream.read(length - 4)
    return Message(kind, body) if len(body) == length - 4 else None


def read_startup(stream: BinaryIO) -> tuple[int, bytes] | None:
    """The first packet of a client, which has no kind: its code, and all of its bytes."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    length, code = struct.unpack("!ii", head)
    return code, head + stream.read(length - 8)


def query(statement: str) -> Message:
    """A simple query."""
    return Message(b"Q", statement.encode() + b"\0")


def fatal(sqlstate: str, message: str) -> Message:
    """The answer of a server that does not let a client in."""
    fields = ("SFATAL", "VFATAL", f"C{sqlstate}", f"M{message}")
    return Message(b"E", b"".join(field.encode() + b"\0" for field in fields) + b"\0")


def reported_as(error: Message, sqlstate: str, report: str) -> Message:
    """An error of the server in other words."""
    severity = [field for field in error.body.split(b"\0") if field[:1] in {b"S", b"V"}]
    fields = [*severity, b"C" + sqlstate.encode(), b"M" + report.encode()]
    return Message(error.kind, b"\0".join(fields) + b"\0\0")


class Statements:
    """Knows what a group of a connection's messages asks for: prepared statements are named long before they run."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, str] = {}
        self._copying = ""

    def asked_by(self, group: list[Message]) -> str:
        """The words of the group's request."""
        asked = ""
        for message in group:
            fields = message.body.split(b"\0")
            if message.kind == b"Q":
                asked = fields[0].decode().strip()
            elif message.kind == b"P":
                self._prepared[fields[0]] = fields[1].decode()
                asked = f"prepare {fields[1].decode()}"
            elif message.kind == b"B":
                asked = self._prepared.get(fields[1], "?")
            elif message.kind == b"c":
                return f"end of {self._copying}"
            elif message.kind == b"D" and not asked:
                asked = "describe"
        self._copying = _comparable(asked) or "nothing"
        return self._copying


def _comparable(statement: str) -> str:
    """The statement as it is in every run: without names that were made up, and without an order of the words."""
    for pattern, instead in _CHANGING:
        statement = pattern.sub(instead, statement)
    first, rest = statement.split()[:_FIRST_WORDS], statement.split()[_FIRST_WORDS:]
    # Lists of columns that are alike may come in any order.
    return " ".join([*first, *sorted(word.strip("(),") for word in rest)])
