"""Decoding the messages of PostgreSQL's `pgoutput` plugin, version 1 of its protocol.

The format is in PostgreSQL's documentation, "Logical Replication Message Formats". Values are text, as the session that
reads them writes it.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

PROTOCOL_VERSION = 1

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class _Unchanged:
    """The type of `UNCHANGED`."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged()
"""A value that is stored out of line and that an update did not change, so that the log does not have it."""

Value = str | None | _Unchanged
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """The beginning of a committed transaction.

    Attributes:
        position: where its commit is in the log.
        committed_at: when it was committed.
        xid: its 32-bit id.
    """

    position: int
    committed_at: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The end of a transaction; `end` is the position after its commit."""

    end: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, before its first change and after each change of its definition.

    Attributes:
        oid: its OID.
        columns: names of the columns whose values follow, in their order.
    """

    oid: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a row.

    Attributes:
        table: the table's OID.
        old: the row before; None unless its key was changed, it was deleted, or the table has replica identity `full`.
        new: the row after; None if it was deleted.
        is_old_whole: whether all values of the row before are there, and not only its key, the others being null.
    """

    table: int
    old: Row | None
    new: Row | None
    is_old_whole: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """All rows of these tables were removed."""

    tables: tuple[int, ...]


Message = Begin | Commit | Relation | Change | Truncate


def message_of(data: bytes) -> Message | None:
    """The message in these bytes; None for one that says nothing about rows: of an origin, a type, or an application.

    Raises:
        ValueError: these bytes are not such a message.
    """
    kind = data[:1]
    if kind in b"IUD" and kind:
        return _change(data)
    if kind == b"B":
        position, microseconds, xid = struct.unpack_from(">QqI", data, 1)
        return Begin(position, _EPOCH + timedelta(microseconds=microseconds), xid)
    if kind == b"C":
        return Commit(struct.unpack_from(">Q", data, 10)[0])
    if kind == b"R":
        return _relation(data)
    if kind == b"T":
        count, _ = struct.unpack_from(">IB", data, 1)
        return Truncate(struct.unpack_from(f">{count}I", data, 6))
    if kind and kind in b"OYM":
        return None
    raise ValueError(f"A message of pgoutput begins with {kind!r}, which protocol version {PROTOCOL_VERSION} lacks.")


def _change(data: bytes) -> Change:
    (table,) = struct.unpack_from(">I", data, 1)
    old: Row | None = None
    new: Row | None = None
    is_whole = False
    at = 5
    while at < len(data):
        part = data[at : at + 1]
        row, at = _row(data, at + 1)
        if part == b"N":
            new = row
        else:
            old, is_whole = row, part == b"O"
    return Change(table, old, new, is_whole)


def _row(data: bytes, at: int) -> tuple[Row, int]:
    """The row that begins at a position in a message, and where it ends."""
    count = int.from_bytes(data[at : at + 2], "big")
    at += 2
    values: list[Value] = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == _TEXT:
            start = at + 4
            at = start + int.from_bytes(data[at:start], "big")
            values.append(data[start:at].decode())
        else:
            values.append(None if kind == _NULL else UNCHANGED)
    return tuple(values), at


_TEXT, _NULL = b"tn"


def _relation(data: bytes) -> Relation:
    (oid,) = struct.unpack_from(">I", data, 1)
    at = data.index(b"\0", data.index(b"\0", 5) + 1) + 1  # after the schema and the name
    (count,) = struct.unpack_from(">H", data, at + 1)  # after the replica identity
    at += 3
    columns = []
    for _ in range(count):
        end = data.index(b"\0", at + 1)
        columns.append(data[at + 1 : end].decode())
        at = end + 1 + 8  # the type and its modifier
    return Relation(oid, tuple(columns))
