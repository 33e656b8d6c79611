"""Reading a file of a feed: bytes become rows, each with its line, or one reason why the file cannot be used.

A file is UTF-8, with or without a byte order mark, perhaps compressed with gzip. It holds JSON objects, one on each
line or in one array, or CSV with a header. Which it is, its first character tells. It is read piece by piece, and
nothing in it can take more memory than the limits below allow.
"""

import codecs
import csv
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, NamedTuple, NoReturn

from totes_dagster.errors import FileRefusedError

MOST_BYTES = 256 << 20
"""The most bytes that a file may have, uncompressed."""

LONGEST_ROW = 1 << 20
"""The most characters that a line, a row of CSV, or an object in a JSON array may have."""

_PIECE = 1 << 16
"""How many characters are looked at together, at least: a row that came in many small pieces is copied less often."""

_GZIP = b"\x1f\x8b"
_SPACE = " \t\r\n"
_MOST_DIGITS = 40


class RawRow(NamedTuple):  # there are millions, and a frozen dataclass takes longer to make
    """A row as the file has it.

    Attributes:
        line: the line on which it begins, counted from 1; in a JSON array, its number there.
        values: its values by column; None if it cannot be read.
        text: the row itself, as far as it is known.
        wrong: why it cannot be read; empty if it can.
    """

    line: int
    values: dict[str, Any] | None
    text: str
    wrong: str = ""


@dataclass(frozen=True)
class Header:
    """The columns of a CSV file, in their order."""

    columns: tuple[str, ...]


def rows_of(pieces: Iterable[bytes], *, most_bytes: int = MOST_BYTES) -> Iterator[Header | RawRow]:
    """The rows of a file; before those of a CSV file, its header.

    Args:
        pieces: the file's bytes, in order.
        most_bytes: the most bytes that it may have, uncompressed.

    Raises:
        FileRefusedError: the file cannot be read to its end.
    """
    characters = _joined(_decoded(_bounded(_decompressed(pieces), most_bytes)))
    start = ""
    for text in characters:
        start += text
        if start.strip(_SPACE):
            break
        if len(start) > LONGEST_ROW:
            raise FileRefusedError(f"It begins with more than {LONGEST_ROW:,} blanks.")
    rest = chain([start], characters)
    match start.lstrip(_SPACE)[:1]:
        case "":
            return
        case "[":
            yield from _Array(rest).rows()
        case "{":
            yield from _objects(_lines(rest))
        case "<":
            raise FileRefusedError("It is HTML or XML.")
        case _:
            yield from _csv(_lines(rest))


def _decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a file, which may be one or more members of gzip."""
    source = iter(pieces)
    start = b""
    for piece in source:
        start += piece
        if len(start) >= len(_GZIP):
            break
    if not start.startswith(_GZIP):
        yield start
        yield from source
        return
    yield from _inflated(chain([start], source))


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What is compressed in members of gzip, one after the other."""
    member = zlib.decompressobj(wbits=31)
    is_begun = True
    for piece in pieces:
        data = piece
        while data:
            if not is_begun:
                data = data.lstrip(b"\0")  # some programs pad what they write
                member, is_begun = zlib.decompressobj(wbits=31), bool(data)
                continue
            try:
                yield member.decompress(data, LONGEST_ROW)
                while member.unconsumed_tail:
                    yield member.decompress(member.unconsumed_tail, LONGEST_ROW)
            except zlib.error as error:
                raise FileRefusedError(f"It begins like gzip, but is damaged: {error}.") from None
            data = member.unused_data
            is_begun = not member.eof
    if is_begun:
        raise FileRefusedError("It is gzip that ends too early: the end of the file is missing.")


def _bounded(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > most:
            raise FileRefusedError(f"It has more than {most:,} bytes, uncompressed. Split it.")
        yield piece


def _decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """The characters of a file, without a byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise FileRefusedError(f"It is not UTF-8: {error.reason}.") from None


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    """The same characters in pieces of some size."""
    waiting, size = list[str](), 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield "".join(waiting)
            waiting, size = [], 0
    yield "".join(waiting)


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of a text, with their ends."""
    number, line = 1, ""
    for piece in pieces:
        *whole, last = piece.split("\n")
        for end in whole:
            yield _short(f"{line}{end}\n", number)
            number, line = number + 1, ""
        line = _short(line + last, number)
    if line:
        yield line


def _short(line: str, number: int) -> str:
    if len(line) > LONGEST_ROW:
        raise FileRefusedError(f"Line {number} has more than {LONGEST_ROW:,} characters.")
    return line


def _objects(lines: Iterable[str]) -> Iterator[RawRow]:
    """The JSON objects of a file with one on each line. A line that is none is a row that cannot be read."""
    for number, line in enumerate(lines, 1):
        text = line.strip(_SPACE)
        if text:
            yield _row(number, text)


def _row(number: int, text: str) -> RawRow:
    try:
        values = _DECODER.decode(text)
    except RecursionError:
        return RawRow(number, None, text, "is nested too deeply")
    except ValueError as error:
        return RawRow(number, None, text, f"is not JSON: {_why(error)}")
    if not isinstance(values, dict):
        return RawRow(number, None, text, "is not a JSON object")
    return RawRow(number, values, text)


def _why(error: ValueError) -> str:
    """What the decoder says, without the place: that counts from where a piece of the file begins."""
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


class _Array:
    """Reads the objects in a JSON array. What comes after one that cannot be read cannot be read either."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._text = ""
        self._at = 0

    def rows(self) -> Iterator[RawRow]:
        """The objects, each with its number."""
        self._next()
        self._at += 1  # past the bracket
        number = 0
        while True:
            character = self._next()
            if character == "]" and not number:
                self._at += 1
                break
            number += 1
            if character != "{":
                raise FileRefusedError(f"Element {number} of its JSON array is not an object.")
            yield self._object(number)
            character = self._next()
            self._at += 1
            if character == "]":
                break
            if character != ",":
                raise FileRefusedError(f"It is not JSON: there is no comma after element {number} of its array.")
        if self._text[self._at :].strip(_SPACE) or any(piece.strip(_SPACE) for piece in self._pieces):
            raise FileRefusedError("It is a JSON array with something after its end.")

    def _next(self) -> str:
        """The next character that is no blank, which is not taken yet."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._read():
                raise FileRefusedError("It is a JSON array that ends too early.")

    def _read(self) -> bool:
        """Read another piece; return whether there was one."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._text, self._at = self._text[self._at :] + piece, 0
        return True

    def _object(self, number: int) -> RawRow:
        while True:
            try:
                values, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise FileRefusedError(f"Element {number} of its JSON array is nested too deeply.") from None
            except ValueError as error:
                if len(self._text) - self._at <= LONGEST_ROW and self._read():
                    continue
                raise FileRefusedError(
                    f"Element {number} of its JSON array is not JSON, is longer than {LONGEST_ROW:,} characters, or "
                    f"ends too early: {_why(error)}."
                ) from None
            text, self._at = self._text[self._at : end], end
            if len(text) > LONGEST_ROW:
                raise FileRefusedError(f"Element {number} of its JSON array has more than {LONGEST_ROW:,} characters.")
            return RawRow(number, values, text)


def _csv(lines: Iterator[str]) -> Iterator[Header | RawRow]:
    """The header and rows of a CSV file. A row with more or fewer fields than the header cannot be read."""
    header: tuple[str, ...] = ()
    before = length = 0

    def bounded() -> Iterator[str]:
        nonlocal length
        for line in lines:
            length += len(line)
            if length > LONGEST_ROW:  # a row with line breaks in quotes may go on and on
                raise FileRefusedError(f"The row in line {before + 1} has more than {LONGEST_ROW:,} characters.")
            yield line

    reader = csv.reader(bounded(), strict=True)
    try:
        for fields in reader:
            line, before, length = before + 1, reader.line_num, 0
            if not fields:
                continue
            if not header:
                header = tuple(field.strip() for field in fields)
                if len(set(header)) < len(header):
                    raise FileRefusedError("Its header names a column twice.")
                yield Header(header)
            elif len(fields) != len(header):
                wrong = f"does not have the header's {len(header)} fields, but {len(fields)}"
                yield RawRow(line, None, ",".join(fields), wrong)
            else:
                yield RawRow(line, dict(zip(header, fields, strict=True)), ",".join(fields))
    except csv.Error as error:
        raise FileRefusedError(f"It is not CSV: {error}, in line {reader.line_num}.") from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it has a key twice")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _number(text: str) -> Decimal:
    if len(text) > _MOST_DIGITS:
        raise ValueError("it has a number that is too long")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("it has a number whose exponent is too large") from None


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("it has a number that is too long")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_repetition,
    parse_float=_number,
    parse_int=_whole_number,
    parse_constant=_no_constant,
)
