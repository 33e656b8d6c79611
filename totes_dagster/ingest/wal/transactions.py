"""Transactions of the log, gathered to batches that hold at most one version of each row."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from totes_dagster.ingest.wal.pgoutput import UNCHANGED, Begin, Change, Commit, Message, Relation, Row, Truncate
from totes_dagster.ingest.wal.slot import LogUnusableError

MOST_CHANGES = 200_000
"""How many changes are held in memory; a transaction with more is left to the census."""

MOST_CHARACTERS = 2**28
"""How much text is held in memory; a transaction with more is left to the census, too."""

_XIDS = 2**32


@dataclass(frozen=True)
class LoggedTable:
    """A table whose changes the log tells.

    Attributes:
        name: its name.
        columns: its columns, in the order in which rows of the log have them.
        key: the place of the primary key among them.
    """

    name: str
    columns: tuple[str, ...]
    key: int


@dataclass(frozen=True)
class Version:
    """What a transaction made of a row.

    Attributes:
        row: the values, as text; None if it was deleted.
        committed_at: when the transaction was committed.
    """

    row: tuple[str | None, ...] | None
    committed_at: datetime


Versions = dict[str, dict[int, Version]]
"""Versions of rows by table and primary key."""


@dataclass
class Changes:
    """What some transactions changed, in which each row has one version.

    Attributes:
        versions: the versions.
        position: after the last of the transactions.
        committed_at: when that was committed.
        xids: the 32-bit ids of the transactions.
    """

    position: int
    committed_at: datetime
    versions: Versions = field(default_factory=dict)
    xids: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many versions there are."""
        return sum(map(len, self.versions.values()))

    def has_any_of(self, others: Versions) -> bool:
        """Whether a row has a version here and there."""
        return any(not self.versions.get(table, {}).keys().isdisjoint(rows) for table, rows in others.items())

    def add(self, later: "Changes") -> None:
        """Add a later transaction."""
        for table, rows in later.versions.items():
            self.versions.setdefault(table, {}).update(rows)
        self.position, self.committed_at = later.position, later.committed_at
        self.xids += later.xids


@dataclass(frozen=True)
class SeenBefore:
    """Which transactions earlier batches contain.

    Attributes:
        position: those that were committed before this position,
        xmin: and those that a snapshot shows: every one before this 64-bit id,
        xmax: and none from this one on,
        running: and none of these.
    """

    position: int
    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, position: int, snapshot: str) -> "SeenBefore":
        """From a snapshot as PostgreSQL writes it."""
        xmin, xmax, running = snapshot.split(":")
        return cls(position, int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    def has(self, begin: Begin) -> bool:
        """Whether a transaction is among them."""
        return begin.position < self.position or self.shows(begin.xid)

    def shows(self, xid: int) -> bool:
        """Whether the snapshot shows a committed transaction, by its 32-bit id."""
        full = full_xid(xid, self.xmax)
        return full < self.xmax and full not in self.running


def full_xid(xid: int, near: int) -> int:
    """The 64-bit id of a transaction, which is the nearest one to another with these lower 32 bits."""
    distance = (xid - near + _XIDS // 2) % _XIDS - _XIDS // 2
    return near + distance


def transactions(
    messages: Iterable[Message],
    tables: Mapping[int, LoggedTable],
    seen: SeenBefore,
    shown: SeenBefore | None = None,
) -> Iterator[Changes]:
    """The transactions that no earlier batch contains, each with the last version that it made of each row.

    Args:
        messages: the log.
        tables: the tables by OID; others are passed over.
        seen: what earlier batches contain.
        shown: the first other transaction that is not among these ends it, if given.

    Raises:
        LogUnusableError: the log does not tell all of a transaction, or it is too large.
    """
    gathered: _Transaction | None = None
    columns: dict[int, tuple[str, ...]] = {}
    for message in messages:
        if isinstance(message, Relation):
            columns[message.oid] = message.columns
        elif isinstance(message, Begin):
            if shown and not seen.has(message) and not shown.shows(message.xid):
                return
            gathered = None if seen.has(message) else _Transaction(message, tables, columns)
        elif isinstance(message, Commit):
            if gathered:
                yield replace(gathered.changes, position=message.end)
            gathered = None
        elif gathered:
            gathered.take(message)


def batches(of: Iterable[Changes]) -> Iterator[Changes]:
    """Transactions put together, in their order, as long as no row gets a second version.

    Raises:
        LogUnusableError: the log is of no use from there on, after what came before.
    """
    together: Changes | None = None
    unusable: LogUnusableError | None = None
    try:
        for changes in of:
            if together and (together.has_any_of(changes.versions) or together.count + changes.count > MOST_CHANGES):
                yield together
                together = None
            if together:
                together.add(changes)
            else:
                together = changes
    except LogUnusableError as error:
        unusable = error
    if together:
        yield together
    if unusable:
        raise unusable


class _Transaction:
    """A transaction that is being read."""

    def __init__(self, begin: Begin, tables: Mapping[int, LoggedTable], columns: Mapping[int, tuple[str, ...]]) -> None:
        self.changes = Changes(begin.position, begin.committed_at, xids=[begin.xid])
        self._tables = tables
        self._columns = columns
        self._count = self._size = 0

    def take(self, message: Message) -> None:
        """Take the next message of the transaction."""
        if isinstance(message, Truncate):
            truncated = [self._tables[oid].name for oid in message.tables if oid in self._tables]
            if truncated:
                raise LogUnusableError(f"{', '.join(truncated)} was truncated.")
        elif isinstance(message, Change) and (table := self._tables.get(message.table)):
            self._count += 1
            self._size += sum(len(value) for value in message.new or () if isinstance(value, str))
            if self._count > MOST_CHANGES:
                raise LogUnusableError(f"A transaction has changed more than {MOST_CHANGES:,} rows.")
            if self._size > MOST_CHARACTERS:
                raise LogUnusableError(f"A transaction has written more than {MOST_CHARACTERS:,} characters.")
            if self._columns.get(message.table) != table.columns:
                raise LogUnusableError(f"The log does not have the columns of {table.name}.")
            self._change(table, message)

    def _change(self, table: LoggedTable, change: Change) -> None:
        versions = self.changes.versions.setdefault(table.name, {})
        at = self.changes.committed_at
        old_key = None if change.old is None else _key_of(table, change.old)
        key = None if change.new is None else _key_of(table, change.new)
        new = None
        if change.new is not None and key is not None:
            earlier = versions.get(key if old_key is None else old_key)
            before = change.old if change.is_old_whole else earlier.row if earlier else None
            new = _whole(table, change.new, before)
        if old_key is not None and old_key != key:
            versions[old_key] = Version(None, at)
        if new is not None and key is not None:
            versions[key] = Version(new, at)


def _key_of(table: LoggedTable, row: Row) -> int:
    value = row[table.key]
    if not isinstance(value, str) or not -(2**31) <= int(value) < 2**31:
        raise LogUnusableError(f"The log has a row of {table.name} without a key that the warehouse can store.")
    return int(value)


def _whole(table: LoggedTable, new: Row, before: Row | None) -> tuple[str | None, ...]:
    """A row with the values that an update left unchanged, from the row before, if that is known."""
    row = tuple(old if value is UNCHANGED else value for value, old in zip(new, before or new, strict=True))
    if any(value is UNCHANGED for value in row):
        raise LogUnusableError(
            f"The log lacks long values of {table.name}. With replica identity full it would have them."
        )
    return row  # type: ignore[return-value]
