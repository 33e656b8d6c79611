"""Reading a feed's file by the feed's contract: its rows, those in quarantine, or why it is refused."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from totes_dagster.errors import FileRefusedError
from totes_dagster.feeds.contracts import FeedRow, missing_columns, unknown_columns
from totes_dagster.feeds.declared import Feed
from totes_dagster.feeds.reading import MOST_BYTES, Header, RawRow, rows_of
from totes_dagster.schema.star import key_columns_of

PATH = "path"
LINE = "line"
"""Columns that say where a row is from: the file, and its line or its number there."""

QUARANTINE = pa.schema(
    [
        pa.field(PATH, pa.string(), nullable=False),
        pa.field(LINE, pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""Rows that break the contract: where they are from, the row itself, cut short if it is long, and why."""

MOST_QUARANTINED = 100_000
"""The most rows of a file that may break the contract. A file with more is not the feed's, or its writer is broken."""

_MOST_TEXT = 10_000
_MOST_REASON = 500
_ROWS_AT_ONCE = 1_000
"""How many rows become columns together. More take longer: Python looks through all that wait, again and again."""


def ingested_schema(feed: Feed) -> pa.Schema:
    """The Arrow schema of a feed's rows in the ingestion zone: where a row is from, and the columns of the contract."""
    path = pa.dictionary(pa.int32(), pa.string())  # of millions of rows; a path may have 1,024 bytes
    return pa.schema([pa.field(PATH, path, nullable=False), pa.field(LINE, pa.int64(), nullable=False), *feed.columns])


@dataclass(frozen=True)
class FileRows:
    """The rows of a file.

    Attributes:
        rows: those that keep the contract, in `ingested_schema`.
        quarantined: the others, in `QUARANTINE`.
    """

    rows: pa.Table
    quarantined: pa.Table


class Digested:
    """Bytes that are digested as they pass, and kept if they are few.

    Args:
        pieces: the bytes, in order.
        kept: the most bytes that are kept.
    """

    def __init__(self, pieces: Iterable[bytes], kept: int = 0) -> None:
        self._pieces = iter(pieces)
        self._digest = hashlib.sha256()
        self._most_kept = kept
        self._kept: bytearray | None = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._digest.update(piece)
        if self._kept is not None:
            self._kept += piece
            if len(self._kept) > self._most_kept:
                self._kept = None
        return piece

    def digest(self) -> str:
        """SHA-256 of all bytes, in hexadecimal; those that have not passed are read for it."""
        for _ in self:
            pass
        return self._digest.hexdigest()

    def content(self) -> bytes | None:
        """All bytes, once they have passed; None if they are too many."""
        return None if self._kept is None else bytes(self._kept)


def read_file(feed: Feed, path: str, pieces: Iterable[bytes], *, most_bytes: int = MOST_BYTES) -> FileRows:
    """Read a file to its end.

    Args:
        feed: the feed.
        path: the file's path in the feed's folder.
        pieces: its bytes, in order.
        most_bytes: the most bytes that it may have, uncompressed.

    Raises:
        FileRefusedError: the file cannot be read to its end, or it does not have the feed's columns, or one of its rows
            breaks a contract that holds for the whole file.
    """
    reading = _Reading(feed, path)
    for each in rows_of(pieces, most_bytes=most_bytes):
        if isinstance(each, Header):
            _check_columns(feed.contract, set(each.columns))
        else:
            reading.add(each)
    return reading.finish()


class _Reading:
    """Collects the rows of one file."""

    def __init__(self, feed: Feed, path: str) -> None:
        self._feed = feed
        self._path = path
        self._validate = feed.contract.model_validate
        self._schema = ingested_schema(feed)
        self._tables: list[pa.Table] = [self._schema.empty_table()]
        self._rows: list[tuple[int, FeedRow]] = []
        self._quarantined: list[dict[str, object]] = []
        self._set_aside_before: list[pa.Table] = [QUARANTINE.empty_table()]
        self._first_wrong = ""
        self._wrong = 0
        self._is_of_feed = False

    def add(self, raw: RawRow) -> None:
        if raw.values is None:
            self._set_aside(raw, raw.wrong)
            return
        if not self._is_of_feed:
            given = set(raw.values)
            self._is_of_feed = not (
                missing_columns(self._feed.contract, given) or unknown_columns(self._feed.contract, given)
            )
        try:
            row = self._validate(raw.values)
        except ValidationError as error:
            self._set_aside(raw, _reason(error))
            return
        if not row.is_nothing():
            self._rows.append((raw.line, row))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._store()

    def finish(self) -> FileRows:
        if self._first_wrong and not self._is_of_feed:
            raise FileRefusedError(f"None of its rows has the columns of {self._feed.name}. {self._first_wrong}")
        self._store()
        rows = pa.concat_tables(self._tables)
        if self._feed.contract.whole:
            self._refuse_contradictions(rows)
        return FileRows(rows, pa.concat_tables(self._set_aside_before))

    def _refuse_contradictions(self, rows: pa.Table) -> None:
        key = list(key_columns_of(self._feed.fact))
        said = rows.group_by([*key, *(name for name in self._feed.columns.names if name not in key)]).aggregate([])
        times = said.group_by(key).aggregate([([], "count_all")])
        for twice in times.filter(pc.greater(times.column("count_all"), 1)).slice(0, 1).to_pylist():
            about = " ".join(str(twice[name]) for name in key)
            raise FileRefusedError(f"It says different things of {about}.")

    def _set_aside(self, raw: RawRow, reason: str) -> None:
        wrong = _printable(reason)[:_MOST_REASON]
        sentence = f"Line {raw.line}: {wrong}."
        if self._feed.contract.whole:
            raise FileRefusedError(sentence)
        self._first_wrong = self._first_wrong or sentence
        self._wrong += 1
        if self._wrong > MOST_QUARANTINED:
            raise FileRefusedError(
                f"More than {MOST_QUARANTINED:,} of its rows break the contract. {self._first_wrong}"
            )
        row = {PATH: self._path, LINE: raw.line, "text": raw.text[:_MOST_TEXT], "reason": wrong}
        self._quarantined.append(row)
        if len(self._quarantined) >= _ROWS_AT_ONCE:
            self._store()

    def _store(self) -> None:
        count = len(self._rows)
        path = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), [self._path])
        columns = [path, pa.array([line for line, _ in self._rows], pa.int64())]
        for column in self._feed.columns:
            value_of = attrgetter(column.name)
            columns.append(_stored([value_of(row) for _, row in self._rows], column.type))
        self._tables.append(pa.Table.from_arrays(columns, schema=self._schema))
        self._set_aside_before.append(pa.Table.from_pylist(self._quarantined, QUARANTINE))
        self._rows, self._quarantined = [], []


def _stored(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Values as they are stored: moments, which are in UTC, without their offset."""
    if pa.types.is_timestamp(type_):
        return pa.array(values, pa.timestamp(type_.unit, "UTC")).cast(type_)
    return pa.array(values, type_)


def _check_columns(contract: type[FeedRow], given: set[str]) -> None:
    missing, unknown = missing_columns(contract, given), unknown_columns(contract, given)
    wrong = [f"lacks {name}" for name in missing] + [f"has {_printable(name)[:60]!r}" for name in unknown]
    if wrong:
        raise FileRefusedError(f"Its header does not have the feed's columns: it {', '.join(wrong[:4])}.")


def _reason(error: ValidationError) -> str:
    """What is wrong with a row, without its values."""
    found = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(map(str, fault["loc"]))[:60]
        what = fault["msg"].removeprefix("Value error, ")
        found.append(f"{where}: {what[:1].lower()}{what[1:]}" if where else what)
    return "; ".join(found[:4])


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
